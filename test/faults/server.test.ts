import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { rowsOf } from "../support/books.js";
import { LOGIN } from "../support/sandboxDatabases.js";
import { type FaultBench, outage, startFaultBench, startRun } from "./faultBench.js";
import { timing } from "./timing.js";

let bench: FaultBench;

beforeAll(async () => {
  bench = await startFaultBench();
});
afterAll(() => bench.stop());

const limit = { timeout: timing.test };

describe("mariadbd of Server 2 under load", () => {
  it("frozen (SIGSTOP): every mail once, by itself", limit, async () => {
    const run = await startRun(bench);
    await run.sending();
    bench.sandbox.crm.kill("SIGSTOP");
    await outage();
    bench.sandbox.crm.kill("SIGCONT");
    await run.recovers();
    await run.completes();
  });

  it.each(["SIGTERM", "SIGKILL"] as const)(
    "ended by %s and started again: outcomes waited in memory",
    limit,
    async (signal) => {
      const run = await startRun(bench);
      await run.sending();
      bench.sandbox.crm.kill(signal);
      await run.daemon.news.next("db:lost", (line) => line.server === "crm");
      await bench.sandbox.crm.restart();
      await run.recovers();
      await run.completes();
    },
  );

  it("made read-only: told apart, nothing claimed, nothing lost, and it goes on by itself", limit, async () => {
    const run = await startRun(bench);
    await run.sending();
    const { s2 } = bench.sandbox;
    onTestFinished(async () => void (await s2("SET GLOBAL read_only = 0")));
    await s2("SET GLOBAL read_only = 1");
    const lost = await run.daemon.news.next("db:lost");
    expect(lost).toMatchObject({ server: "crm", kind: "readOnly" });
    const claims = run.daemon.news.all("claim:made").length;
    await outage();
    expect(run.daemon.news.all("claim:made").length).toBe(claims);
    expect(run.complaints()["db:lost"]).toBe(1);
    await s2("SET GLOBAL read_only = 0");
    await run.recovers();
    await run.completes();
  });

  it("out of connections for us: no storm of dials, and it goes on by itself", limit, async () => {
    const run = await startRun(bench);
    await run.sending();
    const { s2, crm } = bench.sandbox;
    onTestFinished(async () => void (await s2("SET GLOBAL max_connections = 200")));
    await s2("SET GLOBAL max_connections = 10");
    // Others take every place: ours are ended, and what comes instead finds none.
    const others = await Promise.all(Array.from({ length: 11 }, () => crm.root().catch(() => undefined)));
    await s2(`KILL USER '${LOGIN}'@'127.0.0.1'`);
    const more = await Promise.all(Array.from({ length: 11 }, () => crm.root().catch(() => undefined)));
    await run.daemon.news.next("db:lost", ({ err }) => /Too many connections/.test(err));
    await bench.crm.set("pass"); // counts anew
    await outage();
    expect(bench.crm.busiestSecond).toBeLessThan(5);
    for (const other of [...others, ...more]) other?.destroy();
    await s2("SET GLOBAL max_connections = 200");
    await run.recovers();
    await run.completes();
  });

  it(
    "with our password changed and changed back: said as misconfigured, asked seldom, and it goes on by itself",
    limit,
    async () => {
      const run = await startRun(bench);
      await run.sending();
      const { s2 } = bench.sandbox;
      const account = `'${LOGIN}'@'127.0.0.1'`;
      const sql = "SELECT authentication_string AS hash FROM mysql.user WHERE User = ? AND Host = '127.0.0.1'";
      const [before] = await s2<{ hash: string }>(sql, [LOGIN]);
      const back = () => s2(`ALTER USER ${account} IDENTIFIED BY PASSWORD '${before?.hash}'`);
      onTestFinished(async () => void (await back()));
      await s2(`ALTER USER ${account} IDENTIFIED BY 'changed'`);
      await s2(`KILL USER ${account}`);
      const lost = await run.daemon.news.next("db:lost", ({ kind }) => kind === "misconfigured");
      expect(lost.err).toMatch(/Access denied/);
      await bench.crm.set("pass"); // counts anew
      await outage();
      expect(bench.crm.busiestSecond).toBeLessThan(3);
      await back();
      await run.recovers();
      await run.completes();
    },
  );

  it("out of disk for our writes: said as resources, nothing lost, and it goes on by itself", limit, async () => {
    const run = await startRun(bench);
    await run.sending();
    const { s2 } = bench.sandbox;
    // What InnoDB answers when its files cannot grow; the statements before it in a transaction have succeeded.
    const full = "FOR EACH ROW SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table is full'";
    const tables = ["campaignd_claim", "campaignd_batch", "campaignd_meta", "smtp_usage"];
    for (const table of tables) await s2(`CREATE TRIGGER full_${table} BEFORE INSERT ON ${table} ${full}`);
    const lost = await run.daemon.news.next("db:lost");
    expect(lost).toMatchObject({ server: "crm", kind: "resources" });
    await outage();
    expect((await rowsOf(bench.sandbox, run.campaign)).filter(({ status }) => status === "failed")).toEqual([]);
    for (const table of tables) await s2(`DROP TRIGGER full_${table}`);
    await run.recovers();
    await run.completes();
  });

  it(
    "with a grant taken away and given back: said as misconfigured, no row fails, and it goes on by itself",
    limit,
    async () => {
      const run = await startRun(bench);
      await run.sending();
      const { s2 } = bench.sandbox;
      const account = `'${LOGIN}'@'127.0.0.1'`;
      const grants = (await s2(`SHOW GRANTS FOR ${account}`)).map((row) => String(Object.values(row)[0]));
      const granted = grants.filter((grant) => /mail_blaster/.test(grant));
      const back = async () => {
        for (const grant of granted) await s2(grant);
      };
      onTestFinished(back);
      for (const grant of granted) {
        await s2(
          grant
            .replace(/^GRANT/, "REVOKE")
            .replace(` TO `, " FROM ")
            .replace(/ (IDENTIFIED|WITH) .*$/, ""),
        );
      }
      expect(await run.daemon.news.next("db:lost")).toMatchObject({ server: "crm", kind: "misconfigured" });
      await outage();
      expect((await rowsOf(bench.sandbox, run.campaign)).filter(({ status }) => status === "failed")).toEqual([]);
      await back();
      await run.recovers();
      await run.completes();
    },
  );
});

describe("mariadbd of Server 1 under load", () => {
  it.each(["SIGTERM", "SIGKILL"] as const)(
    "ended by %s and started again: every mail once, counters right",
    limit,
    async (signal) => {
      const run = await startRun(bench);
      await run.sending();
      bench.sandbox.emailId.kill(signal);
      await run.daemon.news.next("db:lost", (line) => line.server === "emailId");
      await bench.sandbox.emailId.restart();
      await run.recovers();
      await run.completes();
    },
  );

  it("made read-only: said once, and counters come later", limit, async () => {
    const run = await startRun(bench);
    await run.sending();
    const { s1 } = bench.sandbox;
    onTestFinished(async () => void (await s1("SET GLOBAL read_only = 0")));
    await s1("SET GLOBAL read_only = 1");
    expect(await run.daemon.news.next("db:lost")).toMatchObject({ server: "emailId", kind: "readOnly" });
    await outage();
    expect(run.complaints()["db:lost"]).toBe(1);
    await s1("SET GLOBAL read_only = 0");
    await run.recovers();
    await run.completes();
  });
});
