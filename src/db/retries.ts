import type { Database } from "./database.js";
import { number, statement } from "./statement.js";

/** A failed row whose time has come. */
export interface DueEntry {
  readonly mailId: number;
  readonly campaignId: number;
  /** Seconds since its first failure. */
  readonly failingFor: number;
}

const DUE = statement(
  "retry.due",
  `SELECT mail_id, campaign_id, TIMESTAMPDIFF(SECOND, first_failed_at, UTC_TIMESTAMP()) AS failing
   FROM campaignd_retry FORCE INDEX (idx_campaign_due)
   WHERE campaign_id IN (?) AND due_at <= UTC_TIMESTAMP() ORDER BY due_at LIMIT ?`,
);
const NEXT = statement(
  "retry.next",
  `SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), MIN(due_at)) AS seconds
   FROM campaignd_retry FORCE INDEX (idx_campaign_due) WHERE campaign_id IN (?) AND due_at > UTC_TIMESTAMP()
   GROUP BY campaign_id`,
);
const END = statement("retry.forget", `DELETE FROM campaignd_retry WHERE mail_id IN (?)`);

/** The due rows of all running campaigns in one query, the longest due first (contract §4). */
export async function dueEntries(db: Database, campaigns: readonly number[], limit: number): Promise<DueEntry[]> {
  const rows = await db.rows(DUE, [campaigns, limit]);
  return rows.map((row) => ({
    mailId: number(row, "mail_id"),
    campaignId: number(row, "campaign_id"),
    failingFor: number(row, "failing"),
  }));
}

/** Seconds until the next entry of these campaigns is due; undefined when none waits. */
export async function nextDueIn(db: Database, campaigns: readonly number[]): Promise<number | undefined> {
  // A group a campaign: the index is entered once for each, instead of read through all that waits.
  const rows = await db.rows(NEXT, [campaigns]);
  return rows.length === 0 ? undefined : Math.min(...rows.map((row) => number(row, "seconds")));
}

/** Entries whose row is no longer failed with attempts left. */
export async function endEntries(db: Database, mailIds: readonly number[]): Promise<void> {
  if (mailIds.length > 0) await db.run(END, [mailIds]);
}
