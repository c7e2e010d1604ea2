import { lockFence } from "./claims.js";
import type { Database } from "./database.js";
import { FENCED, fenced } from "./fence.js";
import { number, type Part, type Row, statement, text } from "./statement.js";

/** How many rows of a slice are in which state (contract §4). */
export interface SliceTally {
  readonly sent: number;
  /** failed with five attempts: final. */
  readonly failed: number;
  /** pending, processing, and failed with attempts left. */
  readonly open: number;
  /** failed with attempts left, a part of `open`. */
  readonly retryable: number;
  /** status '' or NULL, a part of `open` until healed. */
  readonly odd: number;
}

const SLICE = `id > ? AND id <= ? AND campaign_id = ?`;
const TALLY = statement(
  "mailBlaster.tally",
  `SELECT COALESCE(status, '') AS state, COALESCE(attempt_count, 0) >= 5 AS spent, COUNT(*) AS n
   FROM mail_blaster FORCE INDEX (PRIMARY) WHERE ${SLICE} GROUP BY state, spent`,
);

/** A permanent refusal in a text that the legacy worker left: 550, 551, 553, 554, or an enhanced 5.1.x. */
const PERMANENT = "(^|[^0-9])55[0134]([^0-9]|$)|(^|[^0-9.])5[.]1[.][0-9]";
const HEAL = statement(
  "mailBlaster.heal",
  `UPDATE mail_blaster m FORCE INDEX (PRIMARY) ${FENCED}
   SET m.attempt_count = IF(COALESCE(m.attempt_count, 0) >= 5 OR m.error_message REGEXP ?, 5, COALESCE(m.attempt_count, 0)),
       m.status = 'failed'
   WHERE m.id > ? AND m.id <= ? AND m.campaign_id = ? AND (m.status = '' OR m.status IS NULL)`,
);
const ADOPT = statement(
  "retry.adopt",
  `INSERT INTO campaignd_retry (mail_id, campaign_id, due_at, class, account_id, first_failed_at)
   SELECT m.id, m.campaign_id, UTC_TIMESTAMP(), 'adopted', NULL, UTC_TIMESTAMP()
   FROM mail_blaster m FORCE INDEX (PRIMARY) ${FENCED} LEFT JOIN campaignd_retry r ON r.mail_id = m.id
   WHERE m.id > ? AND m.id <= ? AND m.campaign_id = ? AND m.status = 'failed' AND COALESCE(m.attempt_count, 0) < 5
     AND r.mail_id IS NULL`,
);

/** Counts the campaign's rows with after < id <= upTo; the primary key bounds what is read, whoever the rows belong to. */
export async function tallySlice(db: Database, campaignId: number, after: number, upTo: number): Promise<SliceTally> {
  const rows = await db.rows(TALLY, [after, upTo, campaignId]);
  const count = (where: (state: string, spent: boolean) => boolean) =>
    rows.reduce((sum, row) => (where(text(row, "state"), isSpent(row)) ? sum + number(row, "n") : sum), 0);
  return {
    sent: count((state) => state === "success"),
    failed: count((state, spent) => state === "failed" && spent),
    open: count((state, spent) => state !== "success" && !(state === "failed" && spent)),
    retryable: count((state, spent) => state === "failed" && !spent),
    odd: count((state) => state === ""),
  };
}

const isSpent = (row: Row): boolean => number(row, "spent") === 1;

/** Gives rows with an empty status, as the legacy worker leaves them, their true one; returns how many. */
export async function healSlice(
  db: Database,
  epoch: number,
  campaignId: number,
  after: number,
  upTo: number,
): Promise<number> {
  return (await db.run(HEAL, [...fenced(epoch), PERMANENT, after, upTo, campaignId])).affected;
}

/** Makes failed rows of the legacy system that have attempts left due now; returns how many. */
export async function adoptSlice(
  db: Database,
  epoch: number,
  campaignId: number,
  after: number,
  upTo: number,
): Promise<number> {
  // INSERT … SELECT reads the fence without a lock: held beside it, or a former leader's entries could slip in.
  const parts: Part[] = [lockFence(epoch), [ADOPT, [...fenced(epoch), after, upTo, campaignId]]];
  return db.packet("retry.adopt", parts, ([, adopted]) => adopted?.affected ?? 0);
}
