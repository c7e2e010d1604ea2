import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import type { RowDataPacket } from "mysql2/promise";
import type { Mail } from "../test/support/mailbox.js";
import type { Sandbox } from "../test/support/sandbox.js";
import { untouchedRows } from "../test/support/seed/bystanders.js";
import { addressKey, totalRows } from "../test/support/seed/expectation.js";
import type { Databases } from "../test/support/seed/rows.js";
import type { Seeded, SeededCampaign } from "../test/support/seed.js";
import { counted, green, red, say } from "./terminal.js";

interface Outcome {
  readonly sandbox: Sandbox;
  readonly db: Databases;
  readonly seeded: Seeded;
  /** The usage table before the run. */
  readonly usedBefore: readonly Usage[];
  readonly ended: { readonly code: number | null };
}

/** Mails that an account has sent in an hour of the legacy zone. */
export interface Usage {
  readonly account: number;
  readonly date: string;
  readonly hour: number;
  readonly mails: number;
}

/** What the SMTP server holds: recipients by campaign, mails by login, and what must not be. */
interface Arrived {
  readonly mails: number;
  readonly recipients: ReadonlyMap<number, Set<string>>;
  readonly byLogin: ReadonlyMap<string, number>;
  readonly wrong: readonly string[];
}

/** Compares queue, status, usage and mailbox with each other and with what was expected, and prints a line each; true when all agree. */
export async function checkOutcome(outcome: Outcome): Promise<boolean> {
  const { sandbox, db, seeded, ended } = outcome;
  await sandbox.smtp.count(); // writes what is still in memory
  const arrived = await readArrived(sandbox.smtp.mailbox);
  const campaigns = [seeded.newsletter, seeded.invoices];
  const checks: [string, readonly string[]][] = [
    ["campaignd ended well", ended.code === 0 ? [] : [`exit code ${ended.code ?? "none: a signal"}`]],
    [
      `${counted(arrived.mails, "mail")} at the SMTP server: each Message-ID once, each mail to one recipient`,
      arrived.wrong,
    ],
    ["everybody who should have a mail has one, and nobody else", campaigns.flatMap((c) => recipients(c, arrived))],
    ["queue, campaign counters and SMTP server agree to the unit", await counters(db, campaigns, arrived)],
    ["no account is over a limit, and usage agrees with the SMTP server to the unit", await usage(outcome, arrived)],
    [
      "paused and completed campaigns are as they were",
      (await untouchedRows(db, seeded.bystanders.campaignIds)) === seeded.bystanders.before
        ? []
        : ["rows were changed"],
    ],
  ];
  for (const [claim, wrong] of checks) {
    say(wrong.length === 0 ? `  ${green("✓")} ${claim}` : `  ${red("✗")} ${claim}`);
    for (const what of wrong.slice(0, 5)) say(`      ${red(what)}`);
    if (wrong.length > 5) say(`      ${red(`and ${wrong.length - 5} more`)}`);
  }
  return checks.every(([, wrong]) => wrong.length === 0);
}

/** Reads the mailbox line by line, so that a big one needs little memory. */
async function readArrived(mailbox: string): Promise<Arrived> {
  const recipients = new Map<number, Set<string>>();
  const byLogin = new Map<string, number>();
  const ids = new Set<string>();
  const wrong: string[] = [];
  let mails = 0;
  for await (const line of createInterface({ input: createReadStream(mailbox, "utf8") })) {
    if (line === "") continue;
    const { messageId, to, user } = JSON.parse(line) as Mail;
    mails += 1;
    byLogin.set(user, (byLogin.get(user) ?? 0) + 1);
    // The left part of a Message-ID is the same on every attempt, whichever account sends.
    const id = /^<(c(\d+)\.m\d+)@/.exec(messageId);
    if (id?.[1] === undefined) wrong.push(`Message-ID ${messageId || "missing"} names no campaign and row`);
    else if (ids.has(id[1])) wrong.push(`Message-ID ${messageId} came twice`);
    else ids.add(id[1]);
    if (to.length !== 1) wrong.push(`${messageId} went to ${counted(to.length, "recipient")}`);
    const campaignId = Number(id?.[2]);
    const seen = recipients.get(campaignId) ?? new Set<string>();
    recipients.set(campaignId, seen);
    for (const address of to.map(addressKey)) {
      if (seen.has(address)) wrong.push(`${address} has campaign ${campaignId} twice`);
      seen.add(address);
    }
  }
  return { mails, recipients, byLogin, wrong };
}

function recipients({ campaignId, name, expected }: SeededCampaign, arrived: Arrived): string[] {
  const seen = arrived.recipients.get(campaignId) ?? new Set<string>();
  const missing = [...expected.delivered].filter((address) => !seen.has(address));
  const strange = [...seen].filter((address) => !expected.delivered.has(address) && !expected.either.has(address));
  return [
    ...missing.map((address) => `${name}: ${address} has no mail`),
    ...strange.map((address) => `${name}: ${address} should have none`),
  ];
}

async function counters(
  { s1, s2 }: Databases,
  campaigns: readonly SeededCampaign[],
  arrived: Arrived,
): Promise<string[]> {
  const wrong: string[] = [];
  for (const { campaignId, name, expected } of campaigns) {
    const [[status]] = await s1.query<RowDataPacket[]>("SELECT * FROM campaign_status WHERE campaign_id = ?", [
      campaignId,
    ]);
    const [[row]] = await s2.query<RowDataPacket[]>(
      "SELECT COUNT(*) AS total, SUM(status = 'success') AS sent, SUM(status = 'failed' AND attempt_count >= 5) AS failed FROM mail_blaster WHERE campaign_id = ?",
      [campaignId],
    );
    const [total, sent, failed] = [Number(row?.total), Number(row?.sent), Number(row?.failed)];
    const here = arrived.recipients.get(campaignId)?.size ?? 0;
    const differ = (what: string, is: number, should: number): void => {
      if (is !== should) wrong.push(`${name}: ${what} is ${is}, should be ${should}`);
    };
    if (status?.status !== "completed") wrong.push(`${name}: status is ${status?.status}, should be completed`);
    differ("rows in the queue", total, totalRows(expected));
    differ("rows sent", sent, here + expected.alreadySent.size);
    differ("rows failed", failed, total - sent);
    differ("total_emails", Number(status?.total_emails), total);
    differ("sent_emails", Number(status?.sent_emails), sent);
    differ("failed_emails", Number(status?.failed_emails), failed);
    differ("pending_emails", Number(status?.pending_emails), 0);
  }
  const others = [...arrived.recipients.keys()].filter((id) => !campaigns.some(({ campaignId }) => campaignId === id));
  return [...wrong, ...others.map((id) => `campaign ${id} should have sent nothing`)];
}

/** Reads the usage table, several rows of one hour added up. */
export async function readUsage({ s2 }: Databases): Promise<Usage[]> {
  const [rows] = await s2.query<RowDataPacket[]>(
    "SELECT smtp_id, date, hour, SUM(emails_sent) AS mails FROM smtp_usage GROUP BY smtp_id, date, hour",
  );
  return rows.map(({ smtp_id, date, hour, mails }) => {
    return { account: Number(smtp_id), date: String(date), hour: Number(hour), mails: Number(mails) };
  });
}

async function usage({ db, seeded, usedBefore }: Outcome, arrived: Arrived): Promise<string[]> {
  const before = new Map(usedBefore.map((row) => [`${row.account} ${row.date} ${row.hour}`, row.mails]));
  const after = await readUsage(db);
  const wrong: string[] = [];
  for (const { id, email, hourlyLimit, dailyLimit } of seeded.accounts) {
    const days = new Map<string, { mails: number; added: number }>();
    let written = 0;
    for (const { account, date, hour, mails } of after) {
      if (account !== id) continue;
      const added = mails - (before.get(`${id} ${date} ${hour}`) ?? 0);
      written += added;
      const day = days.get(date) ?? { mails: 0, added: 0 };
      days.set(date, { mails: day.mails + mails, added: day.added + added });
      if (added > 0 && hourlyLimit > 0 && mails > hourlyLimit) {
        wrong.push(`${email}: ${mails} in hour ${hour}, limit ${hourlyLimit}`);
      }
    }
    for (const [date, { mails, added }] of days) {
      if (added > 0 && mails > dailyLimit) wrong.push(`${email}: ${mails} on ${date}, limit ${dailyLimit}`);
    }
    const here = arrived.byLogin.get(email) ?? 0;
    if (written !== here) wrong.push(`${email}: usage says ${written}, the SMTP server has ${here}`);
  }
  const known = new Set(seeded.accounts.map(({ email }) => email));
  for (const [login, n] of arrived.byLogin) {
    if (!known.has(login))
      wrong.push(`${login || "no login"}: ${counted(n, "mail")} through an account that may not send these`);
  }
  return wrong;
}
