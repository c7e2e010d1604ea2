import type { Connection } from "mysql2/promise";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.js";
import { statement } from "../../src/db/statement.js";
import { timed } from "../support/looks.js";
import { type OpenServer, type ServerBench, sleeping, startServerBench } from "../support/serverBench.js";
import { until } from "../support/until.js";

let bench: ServerBench;

beforeAll(async () => {
  bench = await startServerBench();
  await bench.sandbox.s2("CREATE TABLE notebook (k INT PRIMARY KEY, v INT NOT NULL) ENGINE=InnoDB");
  await bench.sandbox.s2("GRANT ALL ON CRM.notebook TO 'campaignd'@'127.0.0.1'");
});
beforeEach(async () => {
  await bench.sandbox.s2("REPLACE INTO notebook VALUES (1, 0), (2, 0)");
});
afterAll(() => bench.stop());

const ADD = statement("test.add", "UPDATE notebook SET v = v + 1 WHERE k = ?");
const READ = statement("test.read", "SELECT k, v FROM notebook ORDER BY k");

const values = async () => (await bench.sandbox.s2<{ v: number }>(READ.text)).map(({ v }) => v);
const kill = (id: number) => bench.sandbox.s2(`KILL ${id}`);

/** The thread of ours that runs this statement now. */
function running(name: string) {
  return until(`${name} to run`, async () => (await bench.threads()).find(({ info }) => info?.includes(name)));
}

async function onlyThread(): Promise<number> {
  const threads = await bench.threads();
  expect(threads.length).toBe(1);
  return threads[0]?.id ?? 0;
}

async function withServer(options: Parameters<ServerBench["open"]>[0], work: (server: OpenServer) => Promise<void>) {
  const server = await bench.open(options);
  try {
    await work(server);
  } finally {
    await server.close();
    await until("no thread of ours to be left", async () => (await bench.threads()).length === 0);
  }
}

describe("a connection that the server killed", () => {
  it("while idle is replaced and the caller never knows", () =>
    withServer({}, async ({ db, pool }) => {
      await db.run(sleeping(0));
      await kill(await onlyThread());
      await db.run(sleeping(0));
      expect(pool.stats().destroyed).toEqual({ lost: 1 });
    }));

  it("in the middle of an idempotent statement makes the statement run again", () =>
    withServer({}, async ({ db, pool }) => {
      const asked = db.run(sleeping(0.4));
      await kill((await running("test.sleep")).id);
      expect((await asked).rows).toEqual([{ slept: 0 }]);
      expect(pool.stats().created).toBe(2);
    }));

  it("in the middle of a transaction leaves nothing of it, and the caller hears of it", () =>
    withServer({}, async ({ db }) => {
      const asked = timed(
        db.transaction("test.half", async (run) => {
          await run(ADD, [1]);
          await run(sleeping(5));
          await run(ADD, [2]);
        }),
      );
      await kill((await running("test.sleep")).id);
      expect((await asked).error).toMatchObject({ kind: "unreachable" });
      expect(await values()).toEqual([0, 0]);
    }));

  it("in the middle of a packet leaves nothing of it", () =>
    withServer({}, async ({ db }) => {
      const parts = [[ADD, [1]] as const, [sleeping(5), []] as const, [ADD, [2]] as const];
      const asked = timed(db.packet("test.packet", parts, () => undefined));
      await kill((await running("SLEEP(5)")).id);
      expect((await asked).error).toMatchObject({ kind: "unreachable" });
      expect(await values()).toEqual([0, 0]);
    }));

  it("by KILL QUERY only is kept, and the statement runs again", () =>
    withServer({ pool: { lockWait: "9s", statementTimeout: "10s" } }, async ({ db, pool }) => {
      const holder = await lockRow(1);
      const asked = timed(db.run(ADD, [1]));
      await bench.sandbox.s2(`KILL QUERY ${(await running("test.add")).id}`);
      await holder.query("COMMIT");
      await holder.end();
      expect((await asked).error).toBeUndefined();
      expect(await values()).toEqual([6, 0]);
      expect(pool.stats().destroyed).toEqual({});
    }));
});

describe("a statement whose deadline passed", () => {
  it("is killed on the server too, so that what it waited for is not done behind our back", () =>
    withServer({ pool: { lockWait: "9s" } }, async ({ db, pool }) => {
      const holder = await lockRow(1);
      const { error, ms } = await timed(db.run(ADD, [1]));
      expect(error).toMatchObject({ kind: "unreachable", facts: { timedOut: true } });
      expect(ms).toBeLessThan(1100);
      await until("the lost thread to be gone", async () => pool.stats().lingering === 0);
      await holder.query("COMMIT");
      await holder.end();
      expect(await values()).toEqual([5, 0]);
      await db.run(ADD, [1]);
      expect(await values()).toEqual([6, 0]);
    }));
});

describe("a connection that was lost", () => {
  it("while it logged in, after the server had greeted, is killed before anything else is dialled", () =>
    withServer({ maxConnections: 4 }, async ({ db, pool, proxy }) => {
      // The greeting of 10.11 is under 120 bytes; what follows the login is swallowed, and so is our close.
      await proxy.set({ slow: 30 });
      const dial = timed(pool.open());
      await until("the server to have let us in", async () => (await bench.threads()).length === 1);
      await proxy.set("hole");
      expect((await dial).error).toMatchObject({ code: "ETIMEDOUT" });
      expect(pool.stats().lingering).toBe(1);
      const [stranded] = await bench.threads();
      await proxy.set("pass");
      await until("the stranded thread to be gone", async () => pool.stats().lingering === 0);
      expect((await bench.threads()).map(({ id }) => id)).not.toContain(stranded?.id);
      await db.run(sleeping(0));
    }));

  it("while it said good-bye is killed too", () =>
    withServer({ maxConnections: 4, pool: { idleLimit: "50ms" } }, async ({ db, pool, proxy }) => {
      await db.run(sleeping(0));
      const [before] = await bench.threads();
      await proxy.set("holeUp");
      await systemClock.sleep(60); // longer than it may idle: the next use says good-bye to it
      await timed(db.run(sleeping(0)));
      expect(pool.stats().lingering).toBeGreaterThan(0);
      await proxy.set("pass");
      await until("the lost thread to be gone", async () => pool.stats().lingering === 0);
      expect((await bench.threads()).map(({ id }) => id)).not.toContain(before?.id);
    }));
});

describe("locks", () => {
  it("a lock wait time-out leaves no transaction open and is tried again", () =>
    withServer({ maxConnections: 4, pool: { statementTimeout: "10s" } }, async ({ db }) => {
      const holder = await lockRow(2);
      const before = await lockWaits();
      const asked = timed(
        db.transaction("test.blocked", async (run) => {
          await run(ADD, [1]);
          await run(ADD, [2]);
        }),
      );
      await until("the second try to wait", async () => (await lockWaits()) >= before + 2);
      await holder.query("COMMIT");
      await holder.end();
      expect((await asked).error).toBeUndefined();
      expect(await values()).toEqual([1, 6]);
      expect(await openTransactions()).toBe(0);
    }));

  it("a lock that is never freed ends as contention, without an open transaction and without blame for the server", () =>
    withServer({ pool: { statementTimeout: "10s" } }, async ({ db, edges }) => {
      const holder = await lockRow(2);
      const { error } = await timed(
        db.packet("test.blocked", [[ADD, [1]] as const, [ADD, [2]] as const], () => undefined),
      );
      expect(error).toMatchObject({ kind: "contention" });
      expect(await openTransactions()).toBe(1);
      await holder.query("ROLLBACK");
      await holder.end();
      expect(await values()).toEqual([0, 0]);
      expect(edges).toEqual([]);
    }));

  it("deadlocked transactions both succeed in the end", () =>
    withServer({}, async ({ db }) => {
      const both = ([first, second]: [number, number]) =>
        db.transaction("test.crossed", async (run) => {
          await run(ADD, [first]);
          await run(sleeping(0.1));
          await run(ADD, [second]);
        });
      await Promise.all([both([1, 2]), both([2, 1])]);
      expect(await values()).toEqual([2, 2]);
    }));
});

const openTransactions = async () =>
  Number((await bench.sandbox.s2<{ n: number }>("SELECT COUNT(*) AS n FROM information_schema.INNODB_TRX"))[0]?.n);

/** How often a row lock was waited for since the server started. */
const lockWaits = async () =>
  Number((await bench.sandbox.s2<{ Value: string }>("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_waits'"))[0]?.Value);

/** Somebody else's transaction that has set this row to 5 and is not committed. */
async function lockRow(k: number): Promise<Connection> {
  const holder = await bench.sandbox.crm.root();
  onTestFinished(() => holder.destroy());
  await holder.query(`USE CRM; START TRANSACTION; UPDATE notebook SET v = 5 WHERE k = ${k}`);
  return holder;
}
