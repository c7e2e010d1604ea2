import { type Before, lockFence } from "./claims.js";
import type { Database } from "./database.js";
import { FENCED, fenced } from "./fence.js";
import { askEach, number, type Part, type Row, statement, text } from "./statement.js";

/** A row that can be claimed. */
export interface Candidate extends Before {
  readonly to: string;
  readonly attempts: number | null;
}

const COLUMNS = `id, to_mail, status, attempt_count, UNIX_TIMESTAMP(updated_at) AS updated`;

const FRESH = statement(
  "mailBlaster.fresh",
  `SELECT ${COLUMNS} FROM mail_blaster FORCE INDEX (idx_campaign_pending)
   WHERE campaign_id = ? AND status = 'pending' AND attempt_count = 0 AND id > ? ORDER BY id LIMIT ?`,
);
const REOPENED = statement(
  "mailBlaster.reopened",
  `SELECT ${COLUMNS} FROM mail_blaster FORCE INDEX (idx_campaign_pending)
   WHERE campaign_id = ? AND status = 'pending' ORDER BY attempt_count, id LIMIT ?`,
);
const WINDOW = statement(
  "mailBlaster.window",
  `SELECT ${COLUMNS} FROM mail_blaster FORCE INDEX (PRIMARY)
   WHERE id > ? AND id <= ? AND campaign_id = ? AND status = 'pending' ORDER BY id LIMIT ?`,
);
const BY_ID = statement(
  "mailBlaster.byId",
  `SELECT ${COLUMNS}, campaign_id FROM mail_blaster FORCE INDEX (PRIMARY) WHERE id IN (?)`,
);
const BOUNDS = statement(
  "mailBlaster.bounds",
  `SELECT MIN(id) AS lowest, MAX(id) AS highest FROM mail_blaster WHERE campaign_id = ?`,
);
const NEXT_ID = statement(
  "mailBlaster.nextId",
  `SELECT MIN(id) AS id FROM mail_blaster WHERE campaign_id = ? AND id > ?`,
);

const WINDOW_IDS = 50_000;

/** Pending rows never tried, in id order behind the cursor: the index gives exactly these, however large the table. */
export async function freshRows(db: Database, campaignId: number, cursor: number, limit: number): Promise<Candidate[]> {
  return (await db.rows(FRESH, [campaignId, cursor, limit])).map(candidate);
}

/** Pending rows of any attempt, for what the web application re-opened. */
export async function reopenedRows(db: Database, campaignId: number, limit: number): Promise<Candidate[]> {
  return (await db.rows(REOPENED, [campaignId, limit])).map(candidate);
}

/** The same without the index that some production lacks: the primary key in windows, so that no statement reads a whole table. */
export async function windowRows(
  db: Database,
  campaignId: number,
  cursor: number,
  limit: number,
): Promise<Candidate[]> {
  let from = cursor;
  for (;;) {
    const next = number((await db.rows(NEXT_ID, [campaignId, from]))[0] ?? {}, "id");
    if (next === 0) return [];
    const rows = await db.rows(WINDOW, [next - 1, next - 1 + WINDOW_IDS, campaignId, limit]);
    if (rows.length > 0) return rows.map(candidate);
    from = next - 1 + WINDOW_IDS;
  }
}

export async function rowsById(
  db: Database,
  ids: readonly number[],
): Promise<(Candidate & { campaignId: number; raw: string })[]> {
  if (ids.length === 0) return [];
  const rows = await db.rows(BY_ID, [ids]);
  return rows.map((row) => ({ ...candidate(row), campaignId: number(row, "campaign_id"), raw: text(row, "status") }));
}

/** Lowest and highest id of a campaign's rows; zeros when it has none. */
export async function idBounds(db: Database, campaignId: number): Promise<{ lowest: number; highest: number }> {
  const row = (await db.rows(BOUNDS, [campaignId]))[0] ?? {};
  return { lowest: number(row, "lowest"), highest: number(row, "highest") };
}

/** The campaign's first id above `after`, 0 when there is none: lets slices skip what belongs to others. */
export async function nextId(db: Database, campaignId: number, after: number): Promise<number> {
  return number((await db.rows(NEXT_ID, [campaignId, after]))[0] ?? {}, "id");
}

function candidate(row: Row): Candidate {
  return {
    mailId: number(row, "id"),
    to: text(row, "to_mail"),
    status: text(row, "status") === "failed" ? "failed" : "pending",
    attempts: row.attempt_count === null ? null : number(row, "attempt_count"),
    updatedAt: number(row, "updated"),
  };
}

const EXISTING = statement(
  "mailBlaster.existing",
  `SELECT to_mail FROM mail_blaster WHERE campaign_id = ? AND to_mail IN (?)`,
);
const INSERT = statement(
  "mailBlaster.insert",
  `INSERT IGNORE INTO mail_blaster
   (campaign_id, to_mail, csv_list_id, user_id, status, attempt_count, error_message, smtpid, delivery_date, delivery_time) VALUES ?`,
);
const STAMP = statement("mailBlaster.now", `SELECT CURDATE() AS today, CURTIME() AS now`);

export interface NewRow {
  readonly to: string;
  /** Absent for a pending row; the reason of a row that ends as failed/5 at once. */
  readonly failure?: string | undefined;
}

export async function existingAddresses(
  db: Database,
  campaignId: number,
  addresses: readonly string[],
): Promise<string[]> {
  const rows = await askEach(addresses, (some) => db.rows(EXISTING, [campaignId, some]));
  return rows.map((row) => text(row, "to_mail"));
}

/** Server 2's own date and time of day, for the delivery columns of inserted rows (contract §4). */
export async function serverStamp(db: Database): Promise<{ today: string; now: string }> {
  const row = (await db.rows(STAMP))[0] ?? {};
  return { today: text(row, "today"), now: text(row, "now") };
}

export function insertRows(
  campaign: { id: number; listId: number | null; userId: number | null },
  rows: readonly NewRow[],
  stamp: { today: string; now: string },
): Part {
  const values = rows.map((row) => [
    campaign.id,
    row.to,
    campaign.listId,
    campaign.userId,
    row.failure === undefined ? "pending" : "failed",
    row.failure === undefined ? 0 : 5,
    row.failure ?? null,
    0,
    stamp.today,
    stamp.now,
  ]);
  return [INSERT, [values]];
}

const FOREIGN = statement(
  "mailBlaster.processing",
  `SELECT id, campaign_id, UNIX_TIMESTAMP() - UNIX_TIMESTAMP(updated_at) AS age FROM mail_blaster
   WHERE campaign_id IN (?) AND status = 'processing' LIMIT ?`,
);

/** Rows being sent by anybody, with the seconds since they were last written. */
export async function processingRows(
  db: Database,
  campaigns: readonly number[],
  limit: number,
): Promise<{ mailId: number; campaignId: number; age: number }[]> {
  if (campaigns.length === 0) return [];
  const rows = await db.rows(FOREIGN, [campaigns, limit]);
  return rows.map((row) => ({
    mailId: number(row, "id"),
    campaignId: number(row, "campaign_id"),
    age: number(row, "age"),
  }));
}

const STALE = `m.id IN (?) AND m.status = 'processing' AND m.updated_at <= NOW() - INTERVAL ? SECOND`;
const PARK_RECORD = statement(
  "unknown.parkForeign",
  `INSERT INTO campaignd_unknown (mail_id, campaign_id, message_id, account_id, at, why)
   SELECT m.id, m.campaign_id, '', NULL, UTC_TIMESTAMP(), ? FROM mail_blaster m FORCE INDEX (PRIMARY) ${FENCED} WHERE ${STALE}
   ON DUPLICATE KEY UPDATE at = VALUES(at), why = VALUES(why), resolution = NULL`,
);
const PARK = statement(
  "mailBlaster.parkForeign",
  `UPDATE mail_blaster m FORCE INDEX (PRIMARY) ${FENCED}
   SET m.status = 'failed', m.attempt_count = 5, m.error_message = CONCAT('[UNKNOWN] ', ?) WHERE ${STALE}`,
);
const REOPEN = statement(
  "mailBlaster.releaseForeign",
  `UPDATE mail_blaster m FORCE INDEX (PRIMARY) ${FENCED}
   SET m.status = IF(COALESCE(m.attempt_count, 0) = 0, 'pending', 'failed') WHERE ${STALE}`,
);

/** Ends rows that somebody else left in `processing` for at least `seconds`; returns how many. */
export async function settleForeign(
  db: Database,
  epoch: number,
  ids: readonly number[],
  seconds: number,
  how: "park" | "release",
  why: string,
): Promise<number> {
  if (ids.length === 0) return 0;
  if (how === "release") return (await db.run(REOPEN, [...fenced(epoch), ids, seconds])).affected;
  // The fence is held first: INSERT … SELECT reads it without a lock, and could name rows that the UPDATE then leaves alone.
  const parts: Part[] = [
    lockFence(epoch),
    [PARK_RECORD, [why, ...fenced(epoch), ids, seconds]],
    [PARK, [...fenced(epoch), why, ids, seconds]],
  ];
  return db.packet("mailBlaster.parkForeign", parts, ([, , parked]) => parked?.affected ?? 0);
}
