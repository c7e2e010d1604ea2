import type { Database } from "./database.js";
import { FENCED, fenced } from "./fence.js";
import { number, statement, text } from "./statement.js";

/** campaignd's own notes on a campaign (Server 2). */
export interface Notes {
  readonly fillSource: string;
  readonly fillCursor: number;
  readonly filled: boolean;
}

const NOTES = statement(
  "campaignNotes.read",
  `SELECT fill_source, fill_cursor, filled_at FROM campaignd_campaign WHERE campaign_id = ?`,
);
export const NOTE_FILL = statement(
  "campaignNotes.fill",
  `INSERT INTO campaignd_campaign (campaign_id, fill_source, fill_cursor, filled_at)
   SELECT ?, ?, ?, IF(? = 1, UTC_TIMESTAMP(), NULL) FROM campaignd_fence f WHERE f.k = ? AND f.epoch = ? LOCK IN SHARE MODE
   ON DUPLICATE KEY UPDATE fill_source = VALUES(fill_source), fill_cursor = VALUES(fill_cursor), filled_at = VALUES(filled_at)`,
);
const NOTE_HOLD = statement(
  "campaignNotes.hold",
  `INSERT INTO campaignd_campaign (campaign_id, hold_reason, held_at) VALUES (?, ?, UTC_TIMESTAMP())
   ON DUPLICATE KEY UPDATE hold_reason = VALUES(hold_reason), held_at = VALUES(held_at)`,
);
const CLEAR_HOLD = statement(
  "campaignNotes.clearHold",
  `UPDATE campaignd_campaign c ${FENCED} SET c.hold_reason = NULL, c.held_at = NULL WHERE c.campaign_id = ? AND c.hold_reason IS NOT NULL`,
);
/** Whoever starts the campaign again wants the recipients that have come since; rows that are there already stay. */
const REFILL = statement(
  "campaignNotes.refill",
  `UPDATE campaignd_campaign c ${FENCED} SET c.fill_cursor = 0, c.filled_at = NULL WHERE c.campaign_id = ?`,
);
const UNKNOWNS = statement(
  "unknown.count",
  `SELECT COUNT(*) AS n FROM campaignd_unknown WHERE campaign_id = ? AND resolution IS NULL`,
);

export async function readNotes(db: Database, campaignId: number): Promise<Notes> {
  const row = (await db.rows(NOTES, [campaignId]))[0] ?? {};
  return {
    fillSource: text(row, "fill_source"),
    fillCursor: number(row, "fill_cursor"),
    filled: text(row, "filled_at") !== "",
  };
}

export async function noteHold(db: Database, campaignId: number, reason: string): Promise<void> {
  await db.run(NOTE_HOLD, [campaignId, reason.slice(0, 500)]);
}

export async function clearHold(db: Database, epoch: number, campaignId: number): Promise<void> {
  await db.run(CLEAR_HOLD, [...fenced(epoch), campaignId]);
}

/** The next run of this campaign looks through its whole source again. */
export async function refillLater(db: Database, epoch: number, campaignId: number): Promise<void> {
  await db.run(REFILL, [...fenced(epoch), campaignId]);
}

export async function countUnknowns(db: Database, campaignId: number): Promise<number> {
  return number((await db.rows(UNKNOWNS, [campaignId]))[0] ?? {}, "n");
}
