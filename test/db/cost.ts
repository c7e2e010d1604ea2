import type { Database } from "../../src/db/database.js";
import type { Run } from "../../src/db/fence.js";
import { number, type Part, type Row, statement, text } from "../../src/db/statement.js";
import type { Sandbox } from "../support/sandbox.js";

/** What one statement did to the server. */
export interface Cost {
  readonly name: string;
  /** Rows and index entries that were looked at, those included that the storage engine left out by itself. */
  readonly read: number;
  readonly ms: number;
  /** One line a table: how it is entered, by which index. */
  readonly plan: readonly PlanLine[];
}

export interface PlanLine {
  readonly table: string;
  readonly type: string;
  readonly key: string;
}

const COUNTERS = statement(
  "cost.counters",
  `SHOW SESSION STATUS WHERE Variable_name LIKE 'Handler_read%' OR Variable_name = 'Handler_icp_attempts'`,
);
const THREAD = statement("cost.thread", "SELECT CONNECTION_ID() AS id");

class Undone extends Error {}

/** Explains a statement, runs it as the daemon's session would, and takes it back. */
export async function costOf(db: Database, part: Part): Promise<Cost> {
  const name = part[0].name;
  const explained = await db.rows(statement(name, `EXPLAIN ${part[0].text}`), part[1]);
  const plan = explained
    .filter((row) => text(row, "select_type") !== "INSERT")
    .map((row) => ({ table: text(row, "table"), type: text(row, "type"), key: text(row, "key") }));
  let cost: Cost | undefined;
  await undone(db, async (run) => {
    const before = await counters(run);
    const from = performance.now();
    await run(...part);
    const ms = performance.now() - from;
    cost = { name, plan, ms, read: (await counters(run)) - before };
  });
  if (cost === undefined) throw new Error(`${name} was not measured`);
  return cost;
}

/** How many rows these statements hold locked together, before they are taken back. */
export async function locksOf(sandbox: Sandbox, db: Database, parts: readonly Part[]): Promise<number> {
  let locks = 0;
  await undone(db, async (run) => {
    for (const part of parts) await run(...part);
    const thread = number((await run(THREAD)).rows[0] ?? {}, "id");
    const [status] = await sandbox.s2<{ Status: string }>("SHOW ENGINE INNODB STATUS");
    const transactions = status?.Status.split("---TRANSACTION") ?? [];
    const mine = transactions.find((said) => said.includes(`thread id ${thread},`));
    if (mine === undefined) throw new Error("the transaction is not listed");
    locks = Number(/(\d+) row lock/.exec(mine)?.[1] ?? 0);
  });
  return locks;
}

async function undone(db: Database, work: (run: Run) => Promise<void>): Promise<void> {
  const ended = db.transaction("cost", async (run) => {
    await work(run);
    throw new Undone("measured, now taken back");
  });
  await ended.catch((error: unknown) => {
    if (!String(error).includes("measured, now taken back")) throw error;
  });
}

async function counters(run: Run): Promise<number> {
  const { rows } = await run(COUNTERS);
  return rows.reduce((sum: number, row: Row) => sum + number(row, "Value"), 0);
}
