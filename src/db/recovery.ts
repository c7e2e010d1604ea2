import { type Before, type ClaimRecord, groupBy } from "./claims.js";
import { FENCED, fenced, type Run } from "./fence.js";
import { countersPart, type Usage, usagePart } from "./settlements.js";
import { number, type Row, slices, statement, text } from "./statement.js";

/** A row that a claim record names and that is still processing, as the dead daemon left it. */
export interface Stranded {
  readonly before: Before;
  readonly campaignId: number;
  readonly accountId: number;
  readonly accountEmail: string;
  /** Whether any record that names it let it reach a connection. */
  readonly released: boolean;
}

const LEFT = statement(
  "recovery.left",
  `SELECT id, campaign_id, smtp_account_id, smtp_email FROM mail_blaster FORCE INDEX (PRIMARY)
   WHERE id IN (?) AND status = 'processing' AND smtpid = smtp_account_id FOR UPDATE`,
);
const PARK = statement(
  "recovery.park",
  `UPDATE mail_blaster m FORCE INDEX (PRIMARY) ${FENCED}
   SET m.status = 'failed', m.attempt_count = 5, m.error_message = CONCAT('[UNKNOWN] ', ?)
   WHERE m.id IN (?) AND m.status = 'processing'`,
);
const PARKED = `INSERT INTO campaignd_unknown (mail_id, campaign_id, message_id, account_id, at, why) VALUES `;
/** A row that was resolved once and is parked again is an open question again. */
const PARKED_AGAIN = ` ON DUPLICATE KEY UPDATE message_id = VALUES(message_id), account_id = VALUES(account_id), at = VALUES(at),
  why = VALUES(why), resolution = NULL`;
const RESTORE = statement(
  "recovery.restore",
  `UPDATE mail_blaster m FORCE INDEX (PRIMARY) ${FENCED}
   SET m.status = ?, m.updated_at = IF(? = 0, '0000-00-00 00:00:00', FROM_UNIXTIME(?))
   WHERE m.id IN (?) AND m.status = 'processing'`,
);
const OWNERS = statement(
  "recovery.owners",
  `SELECT id, COALESCE(user_id, 0) AS owner FROM smtp_accounts WHERE id IN (?)`,
);
const RETRY_END = statement("recovery.retryEnd", `DELETE FROM campaignd_retry WHERE mail_id IN (?)`);

const PAGE = 1000;

/** Inside the take-over: which rows of these records are still processing and ours; the ownership token is the record. */
export async function strandedRows(run: Run, records: readonly ClaimRecord[]): Promise<Stranded[]> {
  const named = new Map<number, { before: Before; released: boolean }>();
  for (const record of records) {
    for (const [index, before] of record.rows.entries()) {
      const released = index < record.released || named.get(before.mailId)?.released === true;
      named.set(before.mailId, { before, released });
    }
  }
  const found: Stranded[] = [];
  for (const ids of slices([...named.keys()], PAGE)) {
    for (const row of (await run(LEFT, [ids])).rows) found.push(stranded(row, named));
  }
  return found;
}

function stranded(row: Row, named: ReadonlyMap<number, { before: Before; released: boolean }>): Stranded {
  const entry = named.get(number(row, "id"));
  if (!entry) throw new Error("a row that no record names");
  return {
    ...entry,
    campaignId: number(row, "campaign_id"),
    accountId: number(row, "smtp_account_id"),
    accountEmail: text(row, "smtp_email"),
  };
}

/** Puts rows back exactly as they were before the claim. */
export async function restoreRows(run: Run, epoch: number, rows: readonly Before[]): Promise<void> {
  for (const group of groupBy(rows, (row) => `${row.status}/${row.updatedAt}`).values()) {
    const { status, updatedAt } = group[0] as Before;
    for (const piece of slices(group, PAGE)) {
      await run(RESTORE, [...fenced(epoch), status, updatedAt, updatedAt, piece.map((row) => row.mailId)]);
    }
  }
}

/** Parks rows that may have been sent: final, named in campaignd_unknown, and counted as sent in their account's usage. */
export async function parkRows(
  run: Run,
  epoch: number,
  rows: readonly (Stranded & { messageId: string })[],
  why: string,
  hour: { date: string; hour: number; stamp: string },
): Promise<void> {
  for (const piece of slices(rows, PAGE)) {
    const ids = piece.map((row) => row.before.mailId);
    await run(PARK, [...fenced(epoch), why, ids]);
    const values = piece.flatMap((row) => [row.before.mailId, row.campaignId, row.messageId, row.accountId, why]);
    const places = piece.map(() => "(?, ?, ?, ?, UTC_TIMESTAMP(), ?)").join(", ");
    await run(statement("recovery.unknown", PARKED + places + PARKED_AGAIN), values);
    await run(RETRY_END, [ids]);
    for (const part of await usageParts(run, piece, hour)) await run(...part);
  }
}

async function usageParts(run: Run, rows: readonly Stranded[], hour: { date: string; hour: number; stamp: string }) {
  const byAccount = groupBy(rows, (row) => row.accountId);
  const owners = (await run(OWNERS, [[...byAccount.keys()]])).rows;
  const usage: Usage[] = owners.map((row) => ({
    accountId: number(row, "id"),
    userId: number(row, "owner"),
    count: byAccount.get(number(row, "id"))?.length ?? 0,
    ...hour,
  }));
  return usage.length > 0 ? [usagePart(usage), countersPart(usage)] : [];
}
