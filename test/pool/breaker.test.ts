import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.js";
import { statement } from "../../src/db/statement.js";
import { timed } from "../support/looks.js";
import { LOGIN } from "../support/sandboxDatabases.js";
import { type ServerBench, sleeping, startServerBench } from "../support/serverBench.js";
import { until } from "../support/until.js";

let bench: ServerBench;

beforeAll(async () => {
  bench = await startServerBench();
});
afterAll(() => bench.stop());

const WRITE = statement("test.write", "UPDATE campaignd_meta SET v = v WHERE k = 'probe'");

const tries = (server: Awaited<ReturnType<ServerBench["open"]>>, n: number) =>
  Promise.all(Array.from({ length: n }, () => timed(server.db.run(sleeping(0)))));

describe("the breaker", () => {
  it("opens after three failures in a row, not after one", async () => {
    const server = await bench.open({ pulse: false, pool: { tries: 1 } });
    await server.db.run(sleeping(0));
    await server.proxy.set("holeDown");
    await tries(server, 1);
    expect(server.db.breaker.state).toBeUndefined();
    await server.proxy.set("pass");
    await server.db.run(sleeping(0));
    await server.proxy.set("holeDown");
    await tries(server, 3);
    expect(server.edges).toEqual(["unreachable"]);
  });

  it("refuses at once while open, so that nobody waits for a dead server", async () => {
    const server = await bench.open({ pulse: false });
    await server.proxy.set("refuse");
    await tries(server, 3);
    for (const { ms, error } of await tries(server, 50)) {
      expect(error).toMatchObject({ kind: "unreachable", facts: { refused: true } });
      expect(ms).toBeLessThan(20);
    }
  });

  it("sends one probe a second while the server is unreachable, and says each edge once", async () => {
    const server = await bench.open();
    await server.proxy.set("rst");
    await tries(server, 3);
    await server.until("unreachable");
    await server.proxy.set("rst");
    const before = server.proxy.connects;
    await systemClock.sleep(5000); // the pace under test
    const probes = server.proxy.connects - before;
    expect(probes).toBeGreaterThanOrEqual(4);
    expect(probes).toBeLessThanOrEqual(7);
    await server.proxy.set("pass");
    await server.until(undefined);
    expect(server.edges).toEqual(["unreachable", "recovered"]);
  });

  it("opens at once when the login is refused, and asks as seldom as the pool's health is looked at", async () => {
    const server = await bench.open({ pool: { healthEvery: "1500ms" } });
    await bench.sandbox.s2(`ALTER USER '${LOGIN}'@'127.0.0.1' ACCOUNT LOCK`);
    onTestFinished(async () => void (await bench.sandbox.s2(`ALTER USER '${LOGIN}'@'127.0.0.1' ACCOUNT UNLOCK`)));
    const { ms } = await timed(server.db.run(sleeping(0)));
    expect(ms).toBeLessThan(600);
    expect(server.db.breaker.state).toBe("misconfigured");
    await server.proxy.set("pass");
    const before = server.proxy.connects;
    await systemClock.sleep(3500); // the pace under test
    expect(server.proxy.connects - before).toBeLessThanOrEqual(3);
    await bench.sandbox.s2(`ALTER USER '${LOGIN}'@'127.0.0.1' ACCOUNT UNLOCK`);
    await server.until(undefined);
    expect(server.edges).toEqual(["misconfigured", "recovered"]);
  });

  it("tells a server that is read-only from one that is gone, and closes when a write succeeds again", async () => {
    const server = await bench.open();
    await server.db.run(WRITE);
    await bench.sandbox.s2("SET GLOBAL read_only = 1");
    onTestFinished(async () => void (await bench.sandbox.s2("SET GLOBAL read_only = 0")));
    const { error } = await timed(server.db.run(WRITE));
    expect(error).toMatchObject({ kind: "readOnly" });
    expect(server.edges).toEqual(["readOnly"]);
    await systemClock.sleep(2500); // long enough for two probes, whose reads must not close it
    expect(server.edges).toEqual(["readOnly"]);
    await bench.sandbox.s2("SET GLOBAL read_only = 0");
    await server.until(undefined);
    expect(server.edges).toEqual(["readOnly", "recovered"]);
    await server.db.run(WRITE);
  });

  it("tells Server 1's read-only state by its variable, having no table there to write to", async () => {
    const server = await bench.open({ server: "emailId", maxConnections: 3 });
    await bench.sandbox.s1("SET GLOBAL read_only = 1");
    onTestFinished(async () => void (await bench.sandbox.s1("SET GLOBAL read_only = 0")));
    const write = statement("test.write", "UPDATE campaign_status SET status = status WHERE id = 0");
    await timed(server.db.run(write));
    await systemClock.sleep(2500); // long enough for two probes
    expect(server.edges).toEqual(["readOnly"]);
    await bench.sandbox.s1("SET GLOBAL read_only = 0");
    await server.until(undefined);
  });

  it("never opens for a row's data, a duplicate or a lock", async () => {
    const server = await bench.open();
    const long = statement("test.long", "UPDATE campaignd_meta SET v = REPEAT('x', 70000) WHERE k = 'schema_version'");
    const twice = statement("test.twice", "INSERT INTO campaignd_meta (k, v) VALUES ('schema_version', '1')");
    for (let i = 0; i < 5; i += 1) {
      expect((await timed(server.db.run(long))).error).toMatchObject({ kind: "row" });
      expect((await timed(server.db.run(twice))).error).toMatchObject({ kind: "row" });
    }
    expect(server.edges).toEqual([]);
  });

  it("opens when writes find the disk full, though reads are answered in between", async () => {
    const { s2 } = bench.sandbox;
    const full = "FOR EACH ROW SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table is full'";
    for (const when of ["INSERT", "UPDATE"])
      await s2(`CREATE TRIGGER full_${when} BEFORE ${when} ON campaignd_meta ${full}`);
    const server = await bench.open({ pool: { healthEvery: "1s" } });
    const write = statement("test.write", "UPDATE campaignd_meta SET v = v WHERE k = 'schema_version'");
    for (let i = 0; i < 3; i += 1) {
      expect(server.edges).toEqual([]);
      expect((await timed(server.db.run(write))).error).toMatchObject({ kind: "resources" });
      if (i < 2) await server.db.run(sleeping(0));
    }
    expect(server.edges).toEqual(["resources"]);
    await systemClock.sleep(1500); // long enough for a probe, which must be a write
    expect(server.edges).toEqual(["resources"]);
    for (const when of ["INSERT", "UPDATE"]) await s2(`DROP TRIGGER full_${when}`);
    await server.until(undefined);
  });

  it("opens as schema for a missing column, and the rows stay as they are", async () => {
    const server = await bench.open({ pulse: false });
    const gone = statement("test.gone", "SELECT no_such_column FROM campaignd_meta");
    expect((await timed(server.db.run(gone))).error).toMatchObject({ kind: "schema" });
    expect(server.edges).toEqual(["schema"]);
  });

  it("is one for each server: the other is used on", async () => {
    const [one, two] = [
      await bench.open({ server: "emailId", maxConnections: 3 }),
      await bench.open({ server: "crm" }),
    ];
    await one.proxy.set("refuse");
    await tries(one, 3);
    expect(one.db.breaker.state).toBe("unreachable");
    await two.db.run(sleeping(0));
    expect(two.edges).toEqual([]);
  });

  it("lets nobody past while a frozen server is asked, and serves again once it runs", async () => {
    const server = await bench.open();
    await server.db.run(sleeping(0));
    bench.sandbox.crm.kill("SIGSTOP");
    onTestFinished(() => bench.sandbox.crm.kill("SIGCONT"));
    const ends = await tries(server, 25);
    for (const { error } of ends) expect(error).toMatchObject({ kind: "unreachable" });
    expect(Math.max(...ends.map(({ ms }) => ms))).toBeLessThan(1100);
    await server.until("unreachable");
    bench.sandbox.crm.kill("SIGCONT");
    await server.until(undefined);
    await until("a statement to be served", async () => (await tries(server, 1))[0]?.error === undefined);
    expect((await bench.threads()).length).toBeLessThanOrEqual(20);
  });
});
