import { createHash, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ParsedMail, simpleParser } from "mailparser";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.js";
import { zonedStamp } from "../../src/zone.js";
import { accountsOf, expectBooksToAgree, recipientsOf, rowsOf, rowTo, statusOf } from "../support/books.js";
import { aCampaign, anAccount, anImport, anUnsubscriber, aTemplate, someEmails } from "../support/builders.js";
import { aListCampaign, anOwner, freshScene, type Scene } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
import type { Mail } from "../support/mailbox.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { until } from "../support/until.js";

let sandbox: Sandbox;
let scene: Scene;

beforeAll(async () => {
  sandbox = await startSandbox();
});
afterAll(() => sandbox.stop());
beforeEach(async () => {
  scene = await freshScene(sandbox);
});

/** Runs everything that is running to its end. */
async function runUntilIdle(): Promise<void> {
  const daemon = await startDaemon(sandbox, {}, { args: ["--until-idle"] });
  expect((await daemon.exit).code).toBe(0);
  await daemon.assertCleanTermination();
}

const parse = (mail: Mail): Promise<ParsedMail> => simpleParser(Buffer.from(mail.raw, "latin1"));

describe("a campaign", () => {
  it("to a list reaches every valid address once, is completed, and all books agree", async () => {
    const { owner } = await anOwner(sandbox, { accounts: 3 });
    const { campaign, addresses, list } = await aListCampaign(sandbox, { owner, addresses: 60, subject: "Grüße ₹" });
    await someEmails(sandbox, { list, userId: owner, addresses: ["unchecked@x.example"], validationStatus: null });
    await someEmails(sandbox, { list, userId: owner, addresses: ["dead@x.example"], domainStatus: 0 });
    const from = systemClock.now();
    await runUntilIdle();

    const mails = await scene.mails();
    expect(recipientsOf(mails)).toEqual([...addresses].sort());
    for (const mail of mails) {
      const read = await parse(mail);
      expect(read.subject).toBe("Grüße ₹");
      expect(read.text).toContain("Here is the news of the week.");
      expect(read.html).toContain("<p>Here is the news of the week.</p>");
    }
    const status = await statusOf(sandbox, campaign);
    expect(status).toMatchObject({ status: "completed", total_emails: 60, sent_emails: 60, pending_emails: 0 });
    const kolkata = (at: number) => zonedStamp(at, "Asia/Kolkata");
    expect(status.end_time && status.end_time >= kolkata(from) && status.end_time <= kolkata(systemClock.now())).toBe(
      true,
    );
    for (const row of await rowsOf(sandbox, campaign)) {
      expect(row).toMatchObject({ status: "success", attempt_count: 1, error_message: null, csv_list_id: list });
      expect(row).toMatchObject({ user_id: owner, smtpid: row.smtp_account_id });
      expect(row.sent_at).not.toBeNull();
    }
    await expectBooksToAgree(sandbox, mails);
  });

  it("carries the sender's name, its server's Reply-To, an id made of campaign, row and domain, and one recipient", async () => {
    const owner = (await anOwner(sandbox, { accounts: 0 })).owner;
    const server = {
      port: sandbox.smtp.tlsPort,
      host: "localhost",
      encryption: "ssl",
      replyTo: "office@firm.example",
    } as const;
    await anAccount(sandbox, { server, email: "news@firm.example", fromName: "Ünal & Söhne, Büro", userId: owner });
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: ["ok.headers@recipients.example"] });
    await runUntilIdle();

    const [mail] = await scene.mails();
    const [row] = await rowsOf(sandbox, campaign);
    expect(mail).toMatchObject({ port: "tls", user: "news@firm.example", from: "news@firm.example" });
    const read = await parse(mail as Mail);
    expect(read.messageId).toBe(`<c${campaign}.m${row?.id}@firm.example>`);
    expect(read.from?.value).toEqual([{ name: "Ünal & Söhne, Büro", address: "news@firm.example" }]);
    expect(read.replyTo?.text).toBe("office@firm.example");
    expect(read.to).toMatchObject({ value: [{ address: "ok.headers@recipients.example" }] });
    expect(read.headers.has("x-mailer")).toBe(false);
  });

  it("to an import merges each row's columns into subject and template, and leaves no place unfilled", async () => {
    const { owner } = await anOwner(sandbox);
    const template = await aTemplate(sandbox, {
      userId: owner,
      html: "<h1>Dear [[Name]]</h1><ul><li>Bill [[billnumber]]: [[Price]] + [[Tax]]</li></ul><p>[[Nonsense]][[Slogan]]</p>",
    });
    const common = { batch: "b1", userId: owner };
    await anImport(sandbox, {
      ...common,
      address: "ok.one@x.example",
      columns: { BilledName: "M/s <Ärger> & Co", BillNumber: "INV/1", Price: "1,000" },
      extra: { Slogan: "[[Price]] $& ünder" },
    });
    await anImport(sandbox, { ...common, address: " ok.two@x.example ", columns: { BilledName: "", Price: "n/a" } });
    await anImport(sandbox, { ...common, address: "ok.off@x.example", active: false });
    await anImport(sandbox, { batch: "b1", address: "ok.alien@x.example", userId: owner + 1 });
    const subject = "Reminder for [[name]] ([[BILLNUMBER]])";
    const campaign = await aCampaign(sandbox, { batch: "b1", template, subject, userId: owner });
    await runUntilIdle();

    const mails = await scene.mails();
    const to = async (address: string) => parse(mails.find((mail) => mail.to[0] === address) as Mail);
    expect(recipientsOf(mails)).toEqual(["ok.one@x.example", "ok.two@x.example"]);
    const one = await to("ok.one@x.example");
    expect(one.subject).toBe("Reminder for M/s <Ärger> & Co (INV/1)");
    expect(one.html).toContain("<h1>Dear M/s &lt;Ärger&gt; &amp; Co</h1>");
    expect(one.text).toContain("Bill INV/1: 1,000 + ");
    expect(one.text).toContain("[[Price]] $& ünder");
    const two = await to("ok.two@x.example");
    expect(two.text).toContain("n/a");
    expect(`${two.subject}${two.text}${two.html}`).not.toContain("[[");
    expect(await statusOf(sandbox, campaign)).toMatchObject({ status: "completed", sent_emails: 2, total_emails: 2 });
    await expectBooksToAgree(sandbox, mails);
  });

  it("in plain text is sent as plain text alone", async () => {
    const { owner } = await anOwner(sandbox);
    const address = "ok.plain@recipients.example";
    const { campaign } = await aListCampaign(sandbox, {
      owner,
      addresses: [address],
      body: "Hello [[Email]],\r\n.a dot\r\n",
    });
    await sandbox.s1("UPDATE campaign_master SET send_as_html = 0 WHERE campaign_id = ?", [campaign]);
    await runUntilIdle();
    const read = await parse((await scene.mails())[0] as Mail);
    expect(read.text?.trim()).toBe(`Hello ${address},\n.a dot`);
    expect(read.html).toBe(false);
  });

  it("brings its attachments and inline images byte for byte", async () => {
    const { owner } = await anOwner(sandbox);
    const files = { "price list ü.pdf": randomBytes(100_000), "logo.png": randomBytes(3_000), "b.bin": randomBytes(1) };
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(sandbox.dir, "files", name), bytes);
    await aListCampaign(sandbox, {
      owner,
      addresses: 5,
      body: `<p>With a logo: <img alt="logo" src="logo.png"></p>`,
      attachments: `price list ü.pdf, ${join(sandbox.dir, "files/b.bin")}`,
    });
    await runUntilIdle();
    const mails = await scene.mails();
    expect(mails).toHaveLength(5);
    const hash = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
    for (const mail of mails) {
      const read = await parse(mail);
      const found = Object.fromEntries(read.attachments.map((file) => [file.filename, hash(file.content)]));
      expect(found).toEqual(Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, hash(bytes)])));
      const logo = read.attachments.find((file) => file.filename === "logo.png");
      expect(logo).toMatchObject({ related: true, contentType: "image/png" });
      expect(mail.raw.replace(/=\r\n/g, "")).toContain(`src=3D"cid:${logo?.cid}"`);
    }
  });
});

describe("accounts", () => {
  it("are shared by campaigns that run at once, none left behind", async () => {
    const { owner, accounts } = await anOwner(sandbox, { accounts: 2 });
    const campaigns: number[] = [];
    for (const [i, size] of [200, 30, 30].entries()) {
      const addresses = Array.from({ length: size }, (_, n) => `slow-40ms+${i}.${n}@x.example`);
      campaigns.push((await aListCampaign(sandbox, { owner, addresses })).campaign);
    }
    await runUntilIdle();
    const mails = await scene.mails();
    await expectBooksToAgree(sandbox, mails);
    for (const campaign of campaigns) expect(await accountsOf(sandbox, campaign)).toEqual(accounts);
    const place = (campaign: number) => mails.findLastIndex((mail) => mail.messageId.startsWith(`<c${campaign}.`));
    const [large = 0, ...small] = campaigns.map(place);
    for (const last of small) expect(last).toBeLessThan(large);
  });

  it("of two owners are never mixed, and a campaign without owner may use all", async () => {
    const [first, second] = [await anOwner(sandbox, { accounts: 2 }), await anOwner(sandbox, { accounts: 2 })];
    const mine = await aListCampaign(sandbox, { owner: first.owner, addresses: 40 });
    const yours = await aListCampaign(sandbox, { owner: second.owner, addresses: 40 });
    const free = await aListCampaign(sandbox, { addresses: 40 });
    await runUntilIdle();
    expect(await accountsOf(sandbox, mine.campaign)).toEqual(first.accounts);
    expect(await accountsOf(sandbox, yours.campaign)).toEqual(second.accounts);
    expect(await accountsOf(sandbox, free.campaign)).toEqual([...first.accounts, ...second.accounts]);
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("stand in smtpid and smtp_account_id while their mail is processing", async () => {
    const { owner, accounts } = await anOwner(sandbox);
    const address = "slow-2s@recipients.example";
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: [address] });
    const daemon = await startDaemon(sandbox, {}, { args: ["--until-idle"] });
    await daemon.news.next("claim:made");
    const row = await rowTo(sandbox, campaign, address);
    const [email] = await sandbox.s2<{ email: string }>("SELECT email FROM smtp_accounts");
    const [id] = accounts;
    expect(row).toMatchObject({ status: "processing", smtpid: id, smtp_account_id: id, smtp_email: email?.email });
    expect(row.attempt_count).toBe(0);
    expect((await daemon.exit).code).toBe(0);
  });

  it("that are switched off, or whose server is, send nothing", async () => {
    const { owner, accounts } = await anOwner(sandbox, { accounts: 3 });
    const [on = 0, off = 0, serverOff = 0] = accounts;
    await sandbox.s2("UPDATE smtp_accounts SET is_active = 0 WHERE id = ?", [off]);
    await sandbox.s2(
      "UPDATE smtp_servers SET is_active = 0 WHERE id = (SELECT smtp_server_id FROM smtp_accounts WHERE id = ?)",
      [serverOff],
    );
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 20 });
    await runUntilIdle();
    expect(await accountsOf(sandbox, campaign)).toEqual([on]);
  });
});

describe("suppression", () => {
  it("ends unsubscribed and excluded recipients as failed with the reason, and sends them nothing", async () => {
    const { owner } = await anOwner(sandbox);
    const addresses = ["OK.Gone@x.example", "ok.stay@x.example", "any@barred.example", "noreply@x.example"];
    const { campaign } = await aListCampaign(sandbox, { owner, addresses });
    await anUnsubscriber(sandbox, { email: "ok.gone@X.example" });
    await sandbox.s1("INSERT INTO exclude_domains (domain) VALUES ('barred.example')");
    await sandbox.s1("INSERT INTO exclude_accounts (account) VALUES ('noreply')");
    await runUntilIdle();
    const mails = await scene.mails();
    expect(mails.map((mail) => mail.to[0])).toEqual(["ok.stay@x.example"]);
    const said = Object.fromEntries((await rowsOf(sandbox, campaign)).map((row) => [row.to_mail, row.error_message]));
    expect(said).toEqual({
      "OK.Gone@x.example": "[SUPPRESSED] unsubscribed",
      "ok.stay@x.example": null,
      "any@barred.example": "[SUPPRESSED] excluded domain",
      "noreply@x.example": "[SUPPRESSED] excluded account",
    });
    expect(await statusOf(sandbox, campaign)).toMatchObject({ status: "completed", sent_emails: 1, failed_emails: 3 });
    await expectBooksToAgree(sandbox, mails);
  });

  it("also holds for who unsubscribes after the queue was filled", async () => {
    const { owner, accounts } = await anOwner(sandbox);
    const late = "ok.late@x.example";
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: ["ok.early@x.example", late] });
    await sandbox.s2("UPDATE smtp_accounts SET is_active = 0");
    const daemon = await startDaemon(sandbox, {}, { args: ["--until-idle"] });
    await daemon.news.next("campaign:filled");
    await until("the queue to be filled", async () => (await rowsOf(sandbox, campaign)).length === 2);
    await anUnsubscriber(sandbox, { email: late });
    await sandbox.s2("UPDATE smtp_accounts SET is_active = 1 WHERE id = ?", [accounts[0] ?? 0]);
    expect((await daemon.exit).code).toBe(0);
    expect(await rowTo(sandbox, campaign, late)).toMatchObject({
      status: "failed",
      attempt_count: 5,
      error_message: "[SUPPRESSED] unsubscribed",
    });
    const mails = await scene.mails();
    expect(mails.map((mail) => mail.to[0])).toEqual(["ok.early@x.example"]);
    await expectBooksToAgree(sandbox, mails);
  });
});

describe("--until-idle", () => {
  it("exits 0 at once when nothing runs", async () => {
    await aListCampaign(sandbox, { addresses: 3, status: "paused" });
    await runUntilIdle();
    expect(await scene.mails()).toEqual([]);
  });

  it("completes a campaign without recipients, with zeros", async () => {
    const { owner } = await anOwner(sandbox);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: [] });
    await runUntilIdle();
    expect(await statusOf(sandbox, campaign)).toMatchObject({ status: "completed", total_emails: 0, sent_emails: 0 });
  });
});
