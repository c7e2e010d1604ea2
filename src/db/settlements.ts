import { CampaigndError } from "../errors.js";
import { type Before, forgetClaims, groupBy } from "./claims.js";
import type { Database } from "./database.js";
import { FENCED, fenced } from "./fence.js";
import { number, type Part, type Scalar, statement } from "./statement.js";

/** How one claimed row ends, in the words of the row contract (contract §4). */
export type Settlement =
  | { readonly kind: "sent"; readonly mailId: number }
  | {
      readonly kind: "failed";
      readonly mailId: number;
      readonly attempts: number;
      readonly text: string;
      readonly retry?: Retry;
    }
  | { readonly kind: "unknown"; readonly mailId: number; readonly text: string; readonly unknown: Unknown }
  | { readonly kind: "released"; readonly mailId: number; readonly before: Before };

/** When a failed row is due again. */
export interface Retry {
  readonly campaignId: number;
  readonly dueInSeconds: number;
  readonly class: string;
  readonly accountId: number | null;
}

export interface Unknown {
  readonly campaignId: number;
  readonly messageId: string;
  readonly accountId: number | null;
  readonly why: string;
}

/** Mails that an account sent in one calendar hour of `legacyZone`. */
export interface Usage {
  readonly accountId: number;
  readonly userId: number;
  readonly date: string;
  readonly hour: number;
  readonly stamp: string;
  readonly count: number;
}

export interface SettleBatch {
  readonly epoch: number;
  /** Counts this daemon's settles; with the epoch it tells after a lost answer whether the batch was stored. */
  readonly seq: number;
  readonly rows: readonly Settlement[];
  readonly usage: readonly Usage[];
  /** Rows whose entry in campaignd_retry has ended. */
  readonly ended: readonly number[];
  /** Claim records whose last row this batch settles. */
  readonly batches: readonly string[];
}

const LANE = 0;
const LANE_SET = statement(
  "settle.lane",
  `INSERT INTO campaignd_batch (lane, epoch, seq)
   SELECT ?, f.epoch, ? FROM campaignd_fence f WHERE f.k = ? AND f.epoch = ? LOCK IN SHARE MODE
   ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), seq = VALUES(seq)`,
);
const LANE_READ = statement("settle.laneRead", `SELECT epoch, seq FROM campaignd_batch WHERE lane = ? FOR UPDATE`);
const SENT = statement(
  "mailBlaster.sent",
  `UPDATE mail_blaster m FORCE INDEX (PRIMARY) ${FENCED}
   SET m.status = 'success', m.attempt_count = LEAST(COALESCE(m.attempt_count, 0) + 1, 5), m.error_message = NULL,
       m.delivery_date = CURDATE(), m.delivery_time = CURTIME(), m.sent_at = NOW()
   WHERE m.id IN (?) AND m.status = 'processing'`,
);
const RELEASED = statement(
  "mailBlaster.released",
  `UPDATE mail_blaster m FORCE INDEX (PRIMARY) ${FENCED}
   SET m.status = ?, m.updated_at = IF(? = 0, '0000-00-00 00:00:00', FROM_UNIXTIME(?))
   WHERE m.id IN (?) AND m.status = 'processing'`,
);
const USAGE = statement(
  "smtpUsage.add",
  `INSERT INTO smtp_usage (smtp_id, date, hour, timestamp, emails_sent, user_id) VALUES ?
   ON DUPLICATE KEY UPDATE emails_sent = emails_sent + VALUES(emails_sent), timestamp = VALUES(timestamp)`,
);
const RETRY = `INSERT INTO campaignd_retry (mail_id, campaign_id, due_at, class, account_id, first_failed_at) VALUES `;
const RETRY_ROW = `(?, ?, UTC_TIMESTAMP() + INTERVAL ? SECOND, ?, ?, UTC_TIMESTAMP())`;
const RETRY_END = ` ON DUPLICATE KEY UPDATE due_at = VALUES(due_at), class = VALUES(class), account_id = VALUES(account_id)`;
const RETRY_DELETE = statement("retry.end", `DELETE FROM campaignd_retry WHERE mail_id IN (?)`);
const UNKNOWN = `INSERT INTO campaignd_unknown (mail_id, campaign_id, message_id, account_id, at, why) VALUES `;
const UNKNOWN_ROW = `(?, ?, ?, ?, UTC_TIMESTAMP(), ?)`;
const UNKNOWN_END = ` ON DUPLICATE KEY UPDATE message_id = VALUES(message_id), account_id = VALUES(account_id), at = VALUES(at),
  why = VALUES(why), resolution = NULL`;

/**
 * Stores a batch of outcomes with everything that belongs to them, as a whole or not at all (contract §5).
 * Returns how many rows really changed. Throws `fenced` when another daemon leads.
 */
export async function settle(db: Database, batch: SettleBatch): Promise<number> {
  const parts: Part[] = [[LANE_SET, [LANE, batch.seq, ...fenced(batch.epoch)]], ...rowParts(batch)];
  const rowCount = parts.length;
  parts.push(...bookParts(batch));
  return db.packet("settle", parts, (results) => {
    if (results[0]?.affected === 0)
      throw new CampaigndError("fenced", "another daemon leads this queue: outcomes not stored");
    return results.slice(1, rowCount).reduce((sum, result) => sum + result.affected, 0);
  });
}

/** After a settle whose answer was lost: was this very batch stored? Waits for the lost transaction's lock. */
export function settled(db: Database, epoch: number, seq: number): Promise<boolean> {
  return db.transaction("settle.ask", async (run) => {
    const row = (await run(LANE_READ, [LANE])).rows[0];
    return row !== undefined && number(row, "epoch") === epoch && number(row, "seq") === seq;
  });
}

function rowParts(batch: SettleBatch): Part[] {
  const { epoch, rows } = batch;
  const sent = rows.filter((row) => row.kind === "sent").map((row) => row.mailId);
  const failed = rows.filter((row) => row.kind === "failed" || row.kind === "unknown");
  const released = rows.filter((row) => row.kind === "released");
  const parts: Part[] = [];
  if (sent.length > 0) parts.push([SENT, [...fenced(epoch), sent]]);
  if (failed.length > 0) parts.push(failedPart(epoch, failed));
  for (const group of groupBy(released, (row) => `${row.before.status}/${row.before.updatedAt}`).values()) {
    const { status, updatedAt } = (group[0] as (typeof released)[number]).before;
    parts.push([RELEASED, [...fenced(epoch), status, updatedAt, updatedAt, group.map((row) => row.mailId)]]);
  }
  return parts;
}

type Failed = Extract<Settlement, { kind: "failed" | "unknown" }>;
const attemptsOf = (row: Failed) => (row.kind === "unknown" ? 5 : row.attempts);

/** One UPDATE for all failures: rows that share attempt count and text share a branch. */
function failedPart(epoch: number, rows: readonly Failed[]): Part {
  const byText = [...groupBy(rows, (row) => row.text).values()];
  const byAttempts = [...groupBy(rows, attemptsOf).values()];
  const branch = (groups: readonly unknown[]) => `CASE ${"WHEN m.id IN (?) THEN ? ".repeat(groups.length)}END`;
  const bind = (groups: Failed[][], value: (row: Failed) => Scalar) =>
    groups.flatMap((group) => [group.map((row) => row.mailId), value(group[0] as Failed)]);
  const text = statement(
    "mailBlaster.failed",
    `UPDATE mail_blaster m FORCE INDEX (PRIMARY) ${FENCED}
     SET m.status = 'failed', m.attempt_count = ${branch(byAttempts)}, m.error_message = ${branch(byText)},
         m.delivery_date = CURDATE(), m.delivery_time = CURTIME()
     WHERE m.id IN (?) AND m.status = 'processing'`,
  );
  const values = [...bind(byAttempts, attemptsOf), ...bind(byText, (row) => row.text), rows.map((row) => row.mailId)];
  return [text, [...fenced(epoch), ...values]];
}

function bookParts(batch: SettleBatch): Part[] {
  const parts: Part[] = [];
  if (batch.usage.length > 0) parts.push(usagePart(batch.usage), countersPart(batch.usage));
  const retries = batch.rows.flatMap((row) =>
    row.kind === "failed" && row.retry ? [{ mailId: row.mailId, ...row.retry }] : [],
  );
  if (retries.length > 0) {
    const values = retries.flatMap((r) => [r.mailId, r.campaignId, Math.ceil(r.dueInSeconds), r.class, r.accountId]);
    parts.push([statement("retry.set", RETRY + retries.map(() => RETRY_ROW).join(", ") + RETRY_END), values]);
  }
  if (batch.ended.length > 0) parts.push([RETRY_DELETE, [batch.ended]]);
  const unknowns = batch.rows.flatMap((row) =>
    row.kind === "unknown" ? [{ mailId: row.mailId, ...row.unknown }] : [],
  );
  if (unknowns.length > 0) {
    const values = unknowns.flatMap((u) => [u.mailId, u.campaignId, u.messageId, u.accountId, u.why.slice(0, 255)]);
    parts.push([statement("unknown.set", UNKNOWN + unknowns.map(() => UNKNOWN_ROW).join(", ") + UNKNOWN_END), values]);
  }
  if (batch.batches.length > 0) parts.push(forgetClaims(batch.batches, batch.epoch));
  return parts;
}

/** Keys sorted: two writers that touch the same hours in different orders deadlock at once. */
export function usagePart(usage: readonly Usage[]): Part {
  const sorted = [...usage].sort(
    (a, b) => a.accountId - b.accountId || a.date.localeCompare(b.date) || a.hour - b.hour,
  );
  return [USAGE, [sorted.map((u) => [u.accountId, u.date, u.hour, u.stamp, u.count, u.userId])]];
}

export function countersPart(usage: readonly Usage[]): Part {
  const byAccount = [...groupBy(usage, (u) => u.accountId)].sort(([a], [b]) => a - b);
  const sums = byAccount.map(([accountId, list]) => [accountId, list.reduce((sum, u) => sum + u.count, 0)] as const);
  const add = `CASE id ${"WHEN ? THEN ? ".repeat(sums.length)}END`;
  const text = statement(
    "smtpAccounts.count",
    `UPDATE smtp_accounts SET sent_today = sent_today + ${add}, total_sent = total_sent + ${add} WHERE id IN (?)`,
  );
  return [text, [...sums.flat(), ...sums.flat(), sums.map(([accountId]) => accountId)]];
}
