import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { rowsOf } from "../support/books.js";
import { aListCampaign } from "../support/campaignScene.js";
import { type FaultBench, outage, startFaultBench, startRun } from "./faultBench.js";
import { timing } from "./timing.js";

let bench: FaultBench;
let made = 0;

beforeAll(async () => {
  bench = await startFaultBench();
});
afterAll(() => bench.stop());
beforeEach(() => {
  made += 1;
});

const limit = { timeout: timing.test };
const addresses = (n: number) => Array.from({ length: n }, (_, i) => `ok.${made}x${i}@recipients.example`);

describe("tables that are not what they should be", () => {
  it("latin1 throughout, and data with emoji: every row ends, the server is blamed for none", limit, async () => {
    const strange = ["ok.müller@recipients.example", "ok.plain@recipients.example"];
    const run = await startRun(bench, {
      addresses: strange,
      before: async ({ sandbox: { s1, s2 } }) => {
        const tables = ["mail_blaster", "smtp_usage", "smtp_accounts"];
        for (const table of tables) await s2(`ALTER TABLE ${table} CONVERT TO CHARACTER SET latin1`);
        await s1("UPDATE campaign_master SET mail_subject = 'Hello 😀', mail_body = '<p>😀 ünd 漢字</p>'");
        await s1("UPDATE emails SET raw_emailid = 'ok.😀@recipients.example' WHERE raw_emailid LIKE '%ller%'");
      },
    });
    await run.daemon.news.next("campaign:completed");
    const rows = await rowsOf(bench.sandbox, run.campaign);
    expect(rows.find((row) => row.to_mail === "ok.plain@recipients.example")?.status).toBe("success");
    expect(rows.every(({ status, attempt_count }) => status === "success" || attempt_count === 5)).toBe(true);
    expect(run.daemon.news.all("db:lost")).toEqual([]);
    expect((await run.daemon.term()).code).toBe(0);
  });

  it.each(["", "TRADITIONAL,ANSI_QUOTES"])("a global sql_mode of '%s' changes nothing", limit, async (mode) => {
    const { s1, s2 } = bench.sandbox;
    const before = [
      await s1<{ mode: string }>("SELECT @@global.sql_mode AS mode"),
      await s2<{ mode: string }>("SELECT @@global.sql_mode AS mode"),
    ];
    const set = (value: string) =>
      Promise.all([s1("SET GLOBAL sql_mode = ?", [value]), s2("SET GLOBAL sql_mode = ?", [value])]);
    onTestFinished(async () => void (await set(before[0]?.[0]?.mode ?? "")));
    const run = await startRun(bench, { addresses: addresses(50), before: () => set(mode) });
    await run.completes();
  });

  it("a small max_allowed_packet: claims and results still fit", limit, async () => {
    const { s1, s2 } = bench.sandbox;
    const set = (bytes: number) =>
      Promise.all([s1, s2].map((query) => query(`SET GLOBAL max_allowed_packet = ${bytes}`)));
    onTestFinished(async () => void (await set(16 << 20)));
    const run = await startRun(bench, { addresses: addresses(1000), before: () => set(512 << 10) });
    await run.completes();
    expect(run.daemon.news.all("db:lost")).toEqual([]);
  });

  it(
    "a body too large for max_allowed_packet: that campaign waits, the other is sent, the pool is healthy",
    limit,
    async () => {
      const { s1 } = bench.sandbox;
      const set = (bytes: number) => s1(`SET GLOBAL max_allowed_packet = ${bytes}`);
      onTestFinished(async () => void (await set(16 << 20)));
      let large = 0;
      const run = await startRun(bench, {
        addresses: addresses(50),
        before: async ({ sandbox }) => {
          await s1("ALTER TABLE campaign_master MODIFY mail_body LONGTEXT");
          const campaign = await aListCampaign(sandbox, { addresses: ["ok.large@recipients.example"] });
          large = campaign.campaign;
          await s1("UPDATE campaign_master SET mail_body = REPEAT('x', 2000000) WHERE campaign_id = ?", [large]);
          await set(1 << 20);
        },
      });
      await run.daemon.news.next("campaign:completed", (line) => line.campaignId === run.campaign, timing.test);
      expect(run.daemon.news.all("db:lost")).toEqual([]);
      expect((await rowsOf(bench.sandbox, large)).filter(({ status }) => status === "failed")).toEqual([]);
      expect((await run.daemon.term()).code).toBe(0);
    },
  );

  it("without the unique key nothing is filled, and the reason is kept", limit, async () => {
    const run = await startRun(bench, { addresses: addresses(20), before: ({ sandbox }) => dropKey(sandbox) });
    await run.daemon.news.next("schema:missing", ({ what }) => /unique key on \(campaign_id, to_mail\)/.test(what));
    const { reason } = await run.daemon.news.next("campaign:held");
    expect(reason).toMatch(/unique key/);
    expect(await rowsOf(bench.sandbox, run.campaign)).toEqual([]);
    expect((await run.daemon.term()).code).toBe(0);
  });

  it("without the unique key, but guarded by order, each address gets one row and one mail", limit, async () => {
    const run = await startRun(bench, {
      addresses: addresses(60),
      settings: { fill: { guardWithoutUniqueKey: true, page: 10, pause: "1ms" } },
      before: ({ sandbox }) => dropKey(sandbox),
    });
    await run.completes();
  });

  it(
    "a column that goes while mails are sent: the breaker says schema, no row fails, and it goes on when it is back",
    limit,
    async () => {
      const run = await startRun(bench);
      await run.sending();
      const { s2 } = bench.sandbox;
      await s2("ALTER TABLE mail_blaster DROP COLUMN smtp_email");
      const lost = await run.daemon.news.next("db:lost");
      expect(lost).toMatchObject({ server: "crm", kind: "schema" });
      await outage();
      expect((await rowsOf(bench.sandbox, run.campaign)).filter(({ status }) => status === "failed")).toEqual([]);
      await s2("ALTER TABLE mail_blaster ADD COLUMN smtp_email VARCHAR(255) NULL");
      await run.recovers();
      await run.completes();
    },
  );
});

/** Drops what keeps an address from being queued twice. */
async function dropKey({ s2 }: FaultBench["sandbox"]): Promise<void> {
  const sql = `SELECT INDEX_NAME AS name FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = 'CRM' AND TABLE_NAME = 'mail_blaster' AND NON_UNIQUE = 0 AND INDEX_NAME <> 'PRIMARY' GROUP BY INDEX_NAME`;
  for (const { name } of await s2<{ name: string }>(sql)) await s2(`ALTER TABLE mail_blaster DROP INDEX \`${name}\``);
}
