import type { MysqlSession } from "../pool/mysqlSession.js";
import type { Database } from "./database.js";
import { QUEUE } from "./sideTables.js";
import { number, type Row, type Scalar, statement, text } from "./statement.js";

/**
 * The lease decides who leads, by the database's own clock; the fence's epoch keeps a former leader from writing.
 * Every claim, settle and release joins the fence: a sub-query would read it without a lock and would not fence.
 */
export const FENCED = "JOIN campaignd_fence f ON f.k = ? AND f.epoch = ?";

/** The values that FENCED binds. */
export const fenced = (epoch: number): Scalar[] => [QUEUE, epoch];

const TAKE = statement(
  "lease.take",
  `UPDATE campaignd_lease SET owner = ?, expires_at = UTC_TIMESTAMP() + INTERVAL ? SECOND
   WHERE k = ? AND (expires_at < UTC_TIMESTAMP() OR owner = ? OR owner = ?)`,
);
const ADVANCE = statement("fence.advance", `UPDATE campaignd_fence SET epoch = LAST_INSERT_ID(epoch + 1) WHERE k = ?`);
const ADVANCED = statement("fence.read", `SELECT LAST_INSERT_ID() AS epoch`);
const RENEW = statement(
  "lease.renew",
  `UPDATE campaignd_lease SET expires_at = UTC_TIMESTAMP() + INTERVAL ? SECOND
   WHERE k = ? AND owner = ? AND expires_at >= UTC_TIMESTAMP()`,
);
const HOLDER = statement(
  "lease.holder",
  `SELECT owner, TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), expires_at) AS seconds FROM campaignd_lease WHERE k = ?`,
);
const GIVE_BACK = statement(
  "lease.giveBack",
  `UPDATE campaignd_lease SET expires_at = UTC_TIMESTAMP() - INTERVAL 1 SECOND WHERE k = ? AND owner = ?`,
);

export type Run = Parameters<Parameters<Database["transaction"]>[1]>[0];

const MINE = statement("lease.mine", `SELECT owner FROM campaignd_lease WHERE k = ? FOR UPDATE`);

/**
 * Inside a transaction: takes a free lease, our own, or our dead predecessor's, and draws the next epoch.
 * `wasOurs` tells that nobody else has led since we did, whatever the epoch: the answer to an earlier take may have been lost.
 * Undefined when somebody else leads. Waits for statements that still run under the old epoch, which is wanted.
 */
export async function takeLease(
  run: Run,
  owner: string,
  predecessor: string,
  ttl: number,
): Promise<{ epoch: number; wasOurs: boolean } | undefined> {
  const wasOurs = text((await run(MINE, [QUEUE])).rows[0] ?? {}, "owner") === owner;
  const taken = await run(TAKE, [owner, Math.ceil(ttl / 1000), QUEUE, owner, predecessor]);
  if (taken.affected === 0) return undefined;
  await run(ADVANCE, [QUEUE]);
  return { epoch: number((await run(ADVANCED)).rows[0] as Row, "epoch"), wasOurs };
}

export async function leaseHolder(db: Database): Promise<{ owner: string; seconds: number }> {
  const row = (await db.rows(HOLDER, [QUEUE]))[0];
  return row ? { owner: text(row, "owner"), seconds: number(row, "seconds") } : { owner: "", seconds: 0 };
}

/** Lets the next daemon start at once; a clean end only. */
export async function giveLeaseBack(db: Database, owner: string): Promise<void> {
  await db.run(GIVE_BACK, [QUEUE, owner]);
}

/** Renews on the lease's own connection; false when the lease is not ours any more. Throws the driver's error or a time-out. */
export async function renewLease(session: MysqlSession, owner: string, ttl: number, timeout: number): Promise<boolean> {
  const header = (await session.query(RENEW.text, [Math.ceil(ttl / 1000), QUEUE, owner], timeout)) as {
    affectedRows?: number;
  };
  return header.affectedRows === 1;
}
