import { expect } from "vitest";
import type { Mail } from "./mailbox.js";
import type { Sandbox } from "./sandbox.js";

/** A row of the queue as the database has it, times as strings. */
export interface QueueRow {
  readonly id: number;
  readonly campaign_id: number;
  readonly to_mail: string;
  readonly status: string | null;
  readonly attempt_count: number | null;
  readonly error_message: string | null;
  readonly smtpid: number;
  readonly smtp_account_id: number | null;
  readonly smtp_email: string | null;
  readonly csv_list_id: number | null;
  readonly user_id: number | null;
  readonly sent_at: string | null;
  readonly updated_at: string;
}

export interface StatusRow {
  readonly status: string;
  readonly total_emails: number;
  readonly pending_emails: number;
  readonly sent_emails: number;
  readonly failed_emails: number;
  readonly end_time: string | null;
}

/** A campaign's rows, oldest first. */
export function rowsOf({ s2 }: Pick<Sandbox, "s2">, campaign: number): Promise<QueueRow[]> {
  return s2<QueueRow>("SELECT * FROM mail_blaster WHERE campaign_id = ? ORDER BY id", [campaign]);
}

/** The row of this address; throws when the campaign has none. */
export async function rowTo(db: Pick<Sandbox, "s2">, campaign: number, address: string): Promise<QueueRow> {
  const row = (await rowsOf(db, campaign)).find((each) => each.to_mail === address);
  if (!row) throw new Error(`campaign ${campaign} has no row to ${address}`);
  return row;
}

export async function statusOf({ s1 }: Pick<Sandbox, "s1">, campaign: number): Promise<StatusRow> {
  const [row] = await s1<StatusRow>("SELECT * FROM campaign_status WHERE campaign_id = ?", [campaign]);
  if (!row) throw new Error(`campaign ${campaign} has no status`);
  return row;
}

/** The counters of a campaign in the order total, sent, failed, pending. */
export async function countersOf(db: Pick<Sandbox, "s1">, campaign: number): Promise<number[]> {
  const row = await statusOf(db, campaign);
  return [row.total_emails, row.sent_emails, row.failed_emails, row.pending_emails];
}

/** Whom the mails are to, in order of the alphabet. */
export function recipientsOf(mails: readonly Mail[]): string[] {
  return mails.map((mail) => mail.to.join()).sort();
}

/** The accounts that sent a campaign's mails, each once, lowest id first. */
export async function accountsOf(db: Pick<Sandbox, "s2">, campaign: number): Promise<number[]> {
  const ids = (await rowsOf(db, campaign)).map((row) => row.smtp_account_id ?? 0);
  return [...new Set(ids)].sort((a, b) => a - b);
}

/**
 * Every book of the sandbox agrees to the unit: the queue, campaign_status, smtp_usage, the accounts' counters and what the
 * SMTP server holds of each campaign. `lost` are mails parked as unknown that the server does not have.
 */
export async function expectBooksToAgree(sandbox: Sandbox, mails: readonly Mail[], { lost = 0 } = {}): Promise<void> {
  const { s1, s2 } = sandbox;
  const rows = await s2<QueueRow>("SELECT * FROM mail_blaster");
  const unknown = await s2<{ mail_id: number }>("SELECT mail_id FROM campaignd_unknown WHERE account_id IS NOT NULL");
  const parked = new Set(unknown.map((entry) => entry.mail_id));
  const gone = rows.filter((row) => row.status === "success" || parked.has(row.id));
  expect(mails.length, "mails at the SMTP server").toBe(gone.length - lost);
  expect(new Set(mails.map((mail) => mail.messageId)).size, "no mail twice").toBe(mails.length);

  const byAccount = count(gone.map((row) => row.smtp_account_id));
  const usage = await s2<Counted>("SELECT smtp_id AS id, SUM(emails_sent) AS n FROM smtp_usage GROUP BY smtp_id");
  const accounts = await s2<Counted>("SELECT id, total_sent AS n FROM smtp_accounts WHERE total_sent > 0");
  expect(asCounts(usage), "smtp_usage").toEqual(byAccount);
  expect(asCounts(accounts), "smtp_accounts.total_sent").toEqual(byAccount);

  for (const { campaign_id } of await s1<{ campaign_id: number }>("SELECT campaign_id FROM campaign_status")) {
    const own = rows.filter((row) => row.campaign_id === campaign_id);
    const sent = own.filter((row) => row.status === "success").length;
    const failed = own.filter((row) => row.status === "failed" && (row.attempt_count ?? 0) >= 5).length;
    const open = own.length - sent - failed;
    expect(await countersOf(sandbox, campaign_id), `counters of campaign ${campaign_id}`).toEqual([
      own.length,
      sent,
      failed,
      open,
    ]);
  }
}

interface Counted {
  readonly id: number;
  readonly n: number | string;
}

const asCounts = (rows: readonly Counted[]) => Object.fromEntries(rows.map((row) => [row.id, Number(row.n)]));

function count(ids: readonly (number | null)[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const id of ids) counts[String(id)] = (counts[String(id)] ?? 0) + 1;
  return counts;
}
