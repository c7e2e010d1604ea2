import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SessionSetup } from "../../src/db/sessionSetup.js";
import { statement } from "../../src/db/statement.js";
import { MysqlSession } from "../../src/pool/mysqlSession.js";
import { startMariadb } from "../support/mariadb.js";
import { type OpenServer, type ServerBench, startServerBench } from "../support/serverBench.js";

let bench: ServerBench;

beforeAll(async () => {
  bench = await startServerBench();
});
afterAll(() => bench.stop());

const WANTED = {
  mode: "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
  isolation: "READ-COMMITTED",
  lock_wait: 1,
  wait: 60,
  interactive: 60,
  net_read: 10,
  net_write: 10,
  charset: "utf8mb4",
  collation: "utf8mb4_unicode_ci",
};
const READ = statement(
  "test.session",
  `SELECT CONNECTION_ID() AS id, @@sql_mode AS mode, @@tx_isolation AS isolation, @@innodb_lock_wait_timeout AS lock_wait,
  @@wait_timeout AS wait, @@interactive_timeout AS interactive, @@net_read_timeout AS net_read, @@net_write_timeout AS net_write,
  @@character_set_client AS charset, @@collation_connection AS collation, SLEEP(0.1) AS slept`,
);

/** What every connection that the pool lends at once has really set. */
async function readAll({ db }: OpenServer, n: number) {
  const all = await Promise.all(Array.from({ length: n }, () => db.rows(READ)));
  return all.map((rows) => rows[0] ?? {});
}

describe("a new connection", () => {
  it.each([
    ["emailId", 3, 2],
    ["crm", 20, 18],
  ] as const)("to %s has every session setting, each of them", async (name, maxConnections, lent) => {
    const server = await bench.open({ server: name, maxConnections });
    const sessions = await readAll(server, lent);
    expect(new Set(sessions.map(({ id }) => id)).size).toBe(lent);
    for (const { id: _, slept: __, ...session } of sessions) expect(session).toEqual(WANTED);
    expect(server.setup.traits).toMatchObject({ isolationVariable: "tx_isolation", isolation: "READ-COMMITTED" });
    await server.close();
  });

  it("has them again after every connection was lost", async () => {
    const server = await bench.open({ maxConnections: 6 });
    const before = await readAll(server, 4);
    for (const { id } of before) await bench.sandbox.s2(`KILL ${Number(id)}`);
    const after = await readAll(server, 4);
    for (const session of after) expect(session).toMatchObject(WANTED);
    await server.close();
  });

  it("has the stricter isolation where statement-based replication forbids the lighter one", async () => {
    const { dir } = bench.sandbox;
    const extra = ["--log-bin=log", "--binlog-format=STATEMENT", "--server-id=1"];
    const master = await startMariadb({ dir, name: "master", extra });
    const { port, rootPassword: password } = master;
    const address = { host: "127.0.0.1", port, user: "root", password, database: "mysql" };
    const session = await MysqlSession.open({ address, connectTimeout: 1000, packets: false }, () => undefined);
    const setup = new SessionSetup({
      lockWait: 5000,
      sessionTimeout: 60_000,
      netTimeout: 10_000,
      statementTimeout: 1000,
    });
    await setup.apply(session);
    expect(await session.query("SELECT @@tx_isolation AS isolation", [], 1000)).toEqual([
      { isolation: "REPEATABLE-READ" },
    ]);
    await session.close(1000);
    await master.stop();
  });

  it("is strict and works the same though the server's own mode is lax, or stricter than ours", async () => {
    const { s2 } = bench.sandbox;
    const [before] = await s2<{ mode: string }>("SELECT @@global.sql_mode AS mode");
    for (const mode of ["", "ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,TRADITIONAL"]) {
      await s2("SET GLOBAL sql_mode = ?", [mode]);
      const server = await bench.open({ maxConnections: 4 });
      expect((await readAll(server, 1))[0]).toMatchObject({ mode: WANTED.mode });
      await server.close();
    }
    await s2("SET GLOBAL sql_mode = ?", [before?.mode ?? ""]);
  });
});
