import MailComposer from "nodemailer/lib/mail-composer";
import { recipientFields } from "../src/campaign/fields.js";
import { fillTemplate, parseTemplate, valueFor } from "../src/campaign/merge.js";
import { compile, type Mail, messageId, render } from "../src/campaign/message.js";
import { readableText } from "../src/campaign/text.js";
import { systemClock } from "../src/clock.js";

// `npm run build:tools && node build/scripts/bench-message.js [mails]`: microseconds a mail of render() and of nodemailer's
// MailComposer for the same 5 KB mail with a dozen places, both from the recipient's row to the finished bytes.
const mails = Number(process.argv[2] ?? 5000);

const paragraph = "<p>Our offer of the week: the same tools, a fair price, and people who answer the phone.</p>\n";
const html =
  "<html><body><h1>Dear [[Name]],</h1>\n<p>[[Company]], [[Address]], [[District]]: invoice [[BillNumber]] of [[BillDate]]" +
  ` over [[NetPrice]] is [[Days]] days late. <a href="https://shop.example/pay?n=[[BillNumber]]">Pay it here</a>.</p>\n` +
  `${paragraph.repeat(42)}<p>[[ExecutiveName]], [[Phone]]</p></body></html>`;
const subject = "Invoice [[BillNumber]] for [[Name]]";
const text = readableText(html);
const from = { name: "Accounts", address: "billing@sender.example" };

const compiled = compile({ subject, html, text: null, images: [], attachments: [] });
const templates = { subject: parseTemplate(subject), html: parseTemplate(html), text: parseTemplate(text) };

async function measure(name: string, write: (mail: Mail) => Buffer | Promise<Buffer>): Promise<number> {
  for (let i = 0; i < mails / 5; i++) await write(mailOf(i));
  const began = systemClock.monotonic();
  let bytes = 0;
  for (let i = 0; i < mails; i++) bytes += (await write(mailOf(i))).length;
  const micros = ((systemClock.monotonic() - began) * 1000) / mails;
  process.stdout.write(`${name.padEnd(14)} ${micros.toFixed(1)} µs a mail, ${Math.round(bytes / mails)} bytes\n`);
  return micros;
}

function compose(mail: Mail): Promise<Buffer> {
  const fill = (part: keyof typeof templates) =>
    fillTemplate(templates[part], (field) =>
      valueFor(part === "html" ? "html" : "text", mail.fields.get(field.toLowerCase()) ?? ""),
    );
  return new MailComposer({
    from: mail.from,
    to: mail.to,
    subject: fill("subject"),
    html: fill("html"),
    text: fill("text"),
    messageId: mail.messageId,
  })
    .compile()
    .build();
}

function mailOf(i: number): Mail {
  const row = {
    id: i,
    Emails: `customer${i}@client.example`,
    BilledName: i % 3 === 0 ? `Zoë Müller ${i}` : `Customer ${i}`,
    Company: "Client & Sons",
    Address: "12 Long Street, Old Town",
    District: "Pune",
    BillNumber: `INV-${i}`,
    BillDate: "01-11-2026",
    Price: "1,200",
    Days: "12",
    ExecutiveName: "A. Person",
    Phone: "+91 20 1234 5678",
  };
  const now = { epochMs: 1_795_500_000_000, zone: "Asia/Kolkata" };
  const fields = recipientFields(row, "import", { defaults: {}, now });
  return { to: row.Emails, fields, from, messageId: messageId(1, i, from.address), date: now.epochMs };
}

const ours = await measure("render", (mail) => render(compiled, mail));
const theirs = await measure("MailComposer", compose);
process.stdout.write(`render is ${(theirs / ours).toFixed(1)} times as fast\n`);
