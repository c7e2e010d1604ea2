import fc from "fast-check";
import { simpleParser } from "mailparser";
import { describe, expect, test } from "vitest";
import { lookup, type RecipientFields } from "../../src/campaign/fields.js";
import {
  bodyProblem,
  compile,
  type Mail,
  type MessageSource,
  messageId,
  needsRecipient,
  render,
} from "../../src/campaign/message.js";

const source = (over: Partial<MessageSource> = {}): MessageSource => ({
  subject: "Hello [[Name]]",
  html: "<p>Dear [[Name]], welcome.</p>",
  text: null,
  images: [],
  attachments: [],
  ...over,
});

const mail = (fields: Readonly<Record<string, string>> = {}, over: Partial<Mail> = {}): Mail => ({
  to: "bob@client.example",
  fields: new Map(Object.entries(fields)),
  from: { name: "Shop", address: "news@shop.example" },
  messageId: messageId(7, 42, "news@shop.example"),
  date: Date.UTC(2026, 10, 24, 6),
  ...over,
});

const logo = {
  src: "logo.png",
  cid: "logo@campaign",
  name: "logo.png",
  contentType: "image/png",
  content: Buffer.from("picture"),
};

const send = (from: MessageSource, to: Mail) => render(compile(from), to);

const headersOf = (raw: string) => raw.slice(0, raw.indexOf("\r\n\r\n"));
const headerNames = (raw: string) => [...headersOf(raw).matchAll(/^([A-Za-z-]+):/gm)].map((match) => match[1]);

/** The types of all parts in order of appearance. */
const typesOf = (raw: string) => [...raw.matchAll(/^Content-Type: ([a-z]+\/[a-z-]+)/gm)].map((match) => match[1]);

/** RFC 5322 §2.1.1 and RFC 2045: CRLF alone, at most 76 columns, ASCII, an end of line at the end. */
function expectWellFormed(raw: Buffer): void {
  const text = raw.toString("latin1");
  expect(text.endsWith("\r\n")).toBe(true);
  expect(text.replaceAll("\r\n", "")).not.toMatch(/[\r\n\0]/);
  for (const line of text.split("\r\n")) expect(line).toMatch(/^[\t -~]{0,78}$/);
}

describe("a rendered mail", () => {
  test("says what the campaign says, to one person", async () => {
    const raw = send(source(), mail({ name: "Zoë & <Co>" }, { replyTo: "desk@shop.example" }));
    expectWellFormed(raw);
    const parsed = await simpleParser(raw);
    expect(parsed.subject).toBe("Hello Zoë & <Co>");
    expect(parsed.html).toContain("Dear Zoë &amp; &lt;Co&gt;, welcome.");
    expect(parsed.text?.trim()).toBe("Dear Zoë & <Co>, welcome.");
    expect(parsed.from?.value).toEqual([{ name: "Shop", address: "news@shop.example" }]);
    expect(parsed.to).toMatchObject({ value: [{ address: "bob@client.example" }] });
    expect(parsed.replyTo?.text).toBe("desk@shop.example");
    expect(parsed.messageId).toBe("<c7.m42@shop.example>");
    expect(parsed.date).toEqual(new Date(Date.UTC(2026, 10, 24, 6)));
    expect(headersOf(raw.toString())).not.toMatch(/^X-/m);
  });

  test.each([
    ["HTML alone", {}, ["multipart/alternative", "text/plain", "text/html"]],
    ["plain text", { html: null, text: "Hello there" }, ["text/plain"]],
    [
      "an image",
      { html: '<p>x<img src="logo.png"></p>', images: [logo] },
      ["multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png"],
    ],
    [
      "an attachment",
      { attachments: [{ name: "a.pdf", contentType: "application/pdf", content: Buffer.from("x") }] },
      ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf"],
    ],
    [
      "plain text with an attachment",
      {
        html: null,
        text: "Hello there",
        attachments: [{ name: "a", contentType: "message/rfc822", content: Buffer.from("x") }],
      },
      ["multipart/mixed", "text/plain", "application/octet-stream"],
    ],
    [
      "HTML that has no words",
      { html: '<img src="logo.png">', images: [logo] },
      ["multipart/related", "text/html", "image/png"],
    ],
  ])("has the parts that %s needs", (_, over, types) => {
    expect(typesOf(send(source(over), mail()).toString())).toEqual(types);
  });

  test("carries pictures and files byte for byte, under any name", async () => {
    const content = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 256));
    const name = 'Preis "Liste" für März — 2026.pdf';
    const from = source({
      html: '<p>Look: <img src="logo.png"> logo.png</p>',
      images: [logo],
      attachments: [{ name, contentType: "application/pdf", content }],
    });
    const raw = send(from, mail());
    expectWellFormed(raw);
    const { attachments, html } = await simpleParser(raw, { skipImageLinks: true });
    expect(attachments.map(({ filename }) => filename)).toEqual(["logo.png", name]);
    expect(attachments[0]).toMatchObject({ cid: "logo@campaign", related: true, content: logo.content });
    expect(attachments[1]?.content.equals(content)).toBe(true);
    expect(html).toContain('<img src="cid:logo@campaign"> logo.png');
  });

  test("turns a data: picture into a part", () => {
    const raw = send(source({ html: `<p>word<img src="data:image/gif;base64,R0lGODlh"></p>` }), mail()).toString();
    expect(typesOf(raw)).toContain("image/gif");
    expect(raw).not.toContain("data:image");
  });

  test("offers a way out where one is set", () => {
    const raw = send(source({ listUnsubscribe: { url: "https://u.example/{campaign}/{mail}" } }), mail()).toString();
    expect(raw).toContain(
      "List-Unsubscribe: <https://u.example/7/42>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click",
    );
  });

  test("says nothing for an unknown field and leaves no marker", () => {
    const raw = send(source({ subject: "Hi [[Nobody]]", html: "<p>Dear [[Nobody]] [[]] x</p>" }), mail());
    expect(raw.toString()).not.toContain("[[");
  });

  test("is the same for the same input", () => {
    expect(send(source(), mail({ name: "Bob" })).equals(send(source(), mail({ name: "Bob" })))).toBe(true);
  });

  test.each([
    ["quoted attributes", '<a title="[[Name]]">x</a>', '" onclick="x', '<a title="&quot; onclick=&quot;x">'],
    ["attributes without quotes", "<a title=[[Name]]>x</a>", "a onclick=x", "<a title=a&#32;onclick&#61;x>"],
    ["links", '<a href="[[Name]]">x</a>', "javascript:x", '<a href="">'],
    ["text", "<p>[[Name]]</p>", "<script>", "<p>&lt;script&gt;</p>"],
  ])("keeps a value from becoming markup in %s", async (_, html, value, expected) => {
    expect((await simpleParser(send(source({ html }), mail({ name: value })))).html).toContain(expected);
  });
});

/** Values that try to be more than text. */
const hostile = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.constantFrom(
    "x\r\nBcc: victim@x.example\r\n\r\nbody",
    "x\n.\nMAIL FROM:<a@b.c>",
    "\0\u0001",
    "[[Name]]",
    "$& $1 `",
    "__proto__",
    "=_1_",
    "--boundary--",
    "\ud800 \udc00",
    "אבג \u202e abc",
    "😀".repeat(60),
    "x".repeat(5_000),
    "=?UTF-8?Q?=0D=0ABcc:?=",
  ),
);

describe("whatever the values hold", () => {
  test("a mail keeps its headers, its parts and its one recipient, and its texts read back", async () => {
    const compiled = compile(
      source({
        subject: "[[A]] and [[B]]",
        html: '<p>Hello [[A]]<b>[[B]]</b> <a href="https://x.example/?q=[[A]]">go</a></p>\n<img src="logo.png">',
        text: "Hello [[A]]|[[B]]",
        images: [logo],
      }),
    );
    const expected = headerNames(render(compiled, mail()).toString());
    await fc.assert(
      fc.asyncProperty(hostile, hostile, hostile, async (a, b, name) => {
        const raw = render(compiled, mail({ a, b }, { from: { name, address: "news@shop.example" } }));
        expectWellFormed(raw);
        expect(headerNames(raw.toString())).toEqual(expected);
        const parsed = await simpleParser(raw);
        expect(parsed.to).toMatchObject({ value: [{ address: "bob@client.example" }] });
        expect(parsed.bcc).toBeUndefined();
        expect(parsed.from?.value.map(({ address }) => address)).toEqual(["news@shop.example"]);
        expect(parsed.attachments).toHaveLength(1);
        expect(unbroken(parsed.text ?? "")).toBe(unbroken(`Hello ${a}|${b}`));
        expect((parsed.html || "").match(/<\w+/g)).toEqual(["<p", "<b", "<a", "<img"]);
      }),
      { numRuns: 300 },
    );
  });

  test("what comes from the accounts and the row's address adds no header either", () => {
    fc.assert(
      fc.property(hostile, hostile, (a, b) => {
        const raw = send(source(), mail({}, { to: a, replyTo: `r${b}`, messageId: b, from: { name: a, address: b } }));
        expect(headerNames(raw.toString())).toEqual([
          "From",
          "To",
          "Reply-To",
          "Subject",
          "Message-ID",
          "Date",
          "MIME-Version",
          "Content-Type",
        ]);
      }),
    );
  });

  test("a random campaign's texts come out as they went in", async () => {
    const part = fc.oneof(
      fc.string({ unit: fc.constantFrom("a", "word ", "é", "=", ".", "\n", " ", "[", "😀"), maxLength: 120 }),
      fc.constantFrom("[[Name]]", "[[Company]]", "[[None]]"),
    );
    const template = fc.array(part, { maxLength: 12 }).map((parts) => `x${parts.join("")}x`);
    await fc.assert(
      fc.asyncProperty(template, template, hostile, async (subject, text, value) => {
        const fields = { name: value, company: "A & B" };
        const raw = send(source({ subject, html: null, text }), mail(fields));
        expectWellFormed(raw);
        const parsed = await simpleParser(raw);
        expect(unbroken(parsed.text ?? "")).toBe(unbroken(filled(text, mail(fields).fields)));
      }),
      { numRuns: 300 },
    );
  });
});

/** Without control characters, with one kind of line break and valid UTF-8; what mailparser does to the very end is left out. */
function unbroken(text: string): string {
  const plain = text.replace(/[^\P{Cc}\t\n\r]/gu, "").replace(/\r\n|\r/g, "\n");
  return Buffer.from(plain, "utf8").toString("utf8").trimEnd();
}

function filled(template: string, fields: RecipientFields): string {
  return template.replace(/\[\[([^\]]*)\]\]/g, (_, field: string) => lookup(fields, field));
}

test("needsRecipient is true only where a place exists", () => {
  expect(needsRecipient(compile(source({ subject: "x", html: "<p>constant words</p>" })))).toBe(false);
  expect(needsRecipient(compile(source({ html: "<p>constant words</p>" })))).toBe(true);
  expect(needsRecipient(compile(source({ subject: "x" })))).toBe(true);
});

test.each([
  [{ html: null, text: null }, "no body"],
  [{ html: "   \n", text: null }, "no body"],
  [{ html: " <p>x</p> ", text: null }, "8 characters"],
  [{ html: null, text: "[[ERROR: no template]]" }, "error text"],
  [{ html: "{{ERROR loading}}", text: null }, "error text"],
])("bodyProblem(%j) says %s", (body, words) => {
  expect(bodyProblem(body)).toContain(words);
});

test("bodyProblem lets a real body pass", () => {
  expect(bodyProblem({ html: null, text: "Ten chars." })).toBeNull();
});

test("messageId keeps its left part whatever the account", () => {
  expect(messageId(1, 2, "a@Shop.example")).toBe("<c1.m2@shop.example>");
  expect(messageId(1, 2, "a@bücher.example")).toBe("<c1.m2@xn--bcher-kva.example>");
  expect(messageId(1, 2, "")).toBe("<c1.m2@localhost>");
});
