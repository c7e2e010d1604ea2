import { CampaigndError } from "../errors.js";
import type { Database } from "./database.js";
import { FENCED, fenced, type Run } from "./fence.js";
import { QUEUE } from "./sideTables.js";
import { number, type Part, type Row, type Scalar, statement, text } from "./statement.js";

/** A row as it was before it was claimed; a release puts exactly this back. */
export interface Before {
  readonly mailId: number;
  readonly status: "pending" | "failed";
  /** Seconds since 1970 of updated_at; 0 stands for a zero date. */
  readonly updatedAt: number;
}

/** What campaignd_claim says of one batch: its rows in order, and how many from the front may have reached a connection. */
export interface ClaimRecord {
  readonly batch: string;
  readonly released: number;
  readonly rows: readonly Before[];
}

const RECORD = statement(
  "claim.record",
  `INSERT INTO campaignd_claim (batch, epoch, released, ids)
   SELECT ?, f.epoch, ?, ? FROM campaignd_fence f WHERE f.k = ? AND f.epoch = ? LOCK IN SHARE MODE`,
);
const MARK = statement("claim.release", `UPDATE campaignd_claim SET released = ? WHERE batch = ? AND epoch = ?`);
const FORGET = statement("claim.forget", `DELETE FROM campaignd_claim WHERE batch IN (?) AND epoch = ?`);
const TOMBSTONE = statement(
  "claim.tombstone",
  `INSERT INTO campaignd_claim (batch, epoch, released, ids) VALUES (?, 0, 0, '') ON DUPLICATE KEY UPDATE batch = VALUES(batch)`,
);
const FOUND = statement("claim.found", `SELECT epoch FROM campaignd_claim WHERE batch = ?`);
const BURY = statement("claim.bury", `DELETE FROM campaignd_claim WHERE batch = ? AND epoch = 0`);
const ADOPT = statement("claim.adopt", `UPDATE campaignd_claim SET epoch = ? WHERE epoch < ?`);
const ALL = statement("claim.all", `SELECT batch, released, ids FROM campaignd_claim WHERE epoch = ?`);
const FORGET_ALL = statement("claim.forgetAll", `DELETE FROM campaignd_claim WHERE epoch = ?`);

const claimTexts = new Map<number, ReturnType<typeof statement>>();

/** One UPDATE for a batch over n accounts; its text depends on n alone. */
function claimStatement(accounts: number) {
  let known = claimTexts.get(accounts);
  if (known) return known;
  const byAccount = `CASE ${"WHEN m.id IN (?) THEN ? ".repeat(accounts)}END`;
  known = statement(
    "mailBlaster.claim",
    `UPDATE mail_blaster m FORCE INDEX (PRIMARY) ${FENCED}
     SET m.status = 'processing', m.smtpid = ${byAccount}, m.smtp_account_id = ${byAccount}, m.smtp_email = ${byAccount},
         m.delivery_date = CURDATE(), m.delivery_time = CURTIME()
     WHERE m.id IN (?) AND m.status = ? AND m.attempt_count <=> ?`,
  );
  claimTexts.set(accounts, known);
  return known;
}

/** One row to claim: as it is now, and the account that shall send it. */
export interface Wanted extends Before {
  readonly attempts: number | null;
  readonly accountId: number;
  readonly accountEmail: string;
}

/**
 * Claims a whole batch or nothing: the record and the rows in one transaction, under the fence.
 * Throws `fenced` when another daemon leads, `row` when somebody changed a row meanwhile.
 */
export async function claim(
  db: Database,
  epoch: number,
  batch: string,
  released: number,
  wanted: readonly Wanted[],
): Promise<void> {
  const groups = [...groupBy(wanted, (row) => `${row.status}/${row.attempts}`).values()];
  const parts: Part[] = [
    [RECORD, [batch, released, encode(wanted), ...fenced(epoch)]],
    ...groups.map((g) => claimPart(g, epoch)),
  ];
  await db.packet("claim", parts, ([record, ...updates]) => {
    if (record?.affected !== 1)
      throw new CampaigndError("fenced", "another daemon leads this queue: nothing was claimed");
    const won = updates.reduce((sum, result) => sum + result.affected, 0);
    if (won !== wanted.length)
      throw new CampaigndError("row", `only ${won} of ${wanted.length} rows could be claimed`, { won });
  });
}

function claimPart(group: readonly Wanted[], epoch: number): Part {
  const accounts = [...groupBy(group, (row) => row.accountId).values()];
  const when = (value: (row: Wanted) => Scalar) =>
    accounts.flatMap((rows) => [rows.map((r) => r.mailId), value(rows[0] as Wanted)]);
  const { status, attempts } = group[0] as Wanted;
  return [
    claimStatement(accounts.length),
    [
      ...fenced(epoch),
      ...when((r) => r.accountId),
      ...when((r) => r.accountId),
      ...when((r) => r.accountEmail),
      group.map((r) => r.mailId),
      status,
      attempts,
    ],
  ];
}

/** After a claim whose answer was lost: true when it was stored, false when it now never will be. */
export async function claimStored(db: Database, batch: string): Promise<boolean> {
  // Waits for the lost transaction's lock on this key; once our row stands, its commit has failed for ever.
  await db.run(TOMBSTONE, [batch]);
  const epoch = number((await db.rows(FOUND, [batch]))[0] ?? {}, "epoch");
  if (epoch !== 0) return true;
  await db.run(BURY, [batch]);
  return false;
}

/** Moves the released mark ahead; throws `fenced` when the record is not ours any more. */
export async function markReleased(db: Database, epoch: number, batch: string, released: number): Promise<void> {
  const { affected } = await db.run(MARK, [released, batch, epoch]);
  if (affected !== 1) throw new CampaigndError("fenced", "another daemon leads this queue: no further row may be sent");
}

export const forgetClaims = (batches: readonly string[], epoch: number): Part => [FORGET, [batches, epoch]];

/** Inside the take-over: makes every older record ours and reads it. */
export async function adoptRecords(run: Run, epoch: number): Promise<ClaimRecord[]> {
  await run(ADOPT, [epoch, epoch]);
  return (await run(ALL, [epoch])).rows.map(decode);
}

/** Inside the re-take of one's own lease: the claims live on under the new epoch. */
export async function moveRecords(run: Run, epoch: number): Promise<void> {
  await run(ADOPT, [epoch, epoch]);
}

export async function forgetRecords(run: Run, epoch: number): Promise<void> {
  await run(FORGET_ALL, [epoch]);
}

export const lockFence = (epoch: number): Part => [
  statement("fence.hold", `SELECT epoch FROM campaignd_fence WHERE k = ? AND epoch = ? LOCK IN SHARE MODE`),
  [QUEUE, epoch],
];

function encode(rows: readonly Before[]): string {
  return rows.map((row) => `${row.mailId}:${row.status}:${row.updatedAt}`).join(",");
}

function decode(row: Row): ClaimRecord {
  const rows = text(row, "ids")
    .split(",")
    .filter((entry) => entry !== "")
    .map((entry) => {
      const [mailId, status, updatedAt] = entry.split(":");
      return {
        mailId: Number(mailId),
        status: status === "failed" ? "failed" : "pending",
        updatedAt: Number(updatedAt),
      } as const;
    });
  return { batch: text(row, "batch"), released: number(row, "released"), rows };
}

export function groupBy<T, K>(list: readonly T[], key: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of list) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}
