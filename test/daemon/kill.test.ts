import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { minutes } from "../../src/clock.js";
import { expectBooksToAgree, rowsOf } from "../support/books.js";
import { aMail } from "../support/builders.js";
import { aListCampaign, anOwner, freshScene, type Scene } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
import { dice } from "../support/dice.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { strandedOf } from "../support/stranded.js";
import { until } from "../support/until.js";

let sandbox: Sandbox;
let scene: Scene;
let owner: number;

beforeAll(async () => {
  sandbox = await startSandbox();
});
afterAll(() => sandbox.stop());
beforeEach(async () => {
  scene = await freshScene(sandbox);
  owner = (await anOwner(sandbox)).owner;
});

const untilIdle = { args: ["--until-idle"] };
const slow = (word: string, count: number) => Array.from({ length: count }, (_, i) => `${word}+${i}@x.example`);

describe("SIGKILL in mid-campaign", () => {
  it("parks what may have been sent, puts back what was not, and no mail goes out twice", async () => {
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: slow("slow-20ms", 800) });
    const roll = dice(5);
    let parked = 0;
    for (let round = 0; round < 5; round += 1) {
      const daemon = await startDaemon(sandbox, { claim: { gap: "50ms" } });
      await daemon.news.next("claim:made");
      for (let i = roll(30) + 1; i > 0; i -= 1) await daemon.news.next("mail:sent");
      await daemon.kill();
      const left = await strandedOf(sandbox);
      const next = await startDaemon(sandbox);
      await next.news.next("lease:taken");
      if (left.records > 0) {
        const done = await next.news.next("recovery:done");
        expect(done).toMatchObject({ parked: left.released.length, released: left.untouched.length });
      }
      parked += left.released.length;
      expect((await next.term()).code).toBe(0);
    }
    const last = await startDaemon(sandbox, {}, untilIdle);
    expect((await last.exit).code).toBe(0);
    expect(last.news.all("legacy:seen")).toEqual([]);
    await last.assertCleanTermination();

    const mails = await scene.mails();
    const arrived = new Set(mails.map((mail) => mail.to[0]));
    const rows = await rowsOf(sandbox, campaign);
    const unknown = rows.filter((row) => row.error_message?.startsWith("[UNKNOWN]"));
    expect(unknown).toHaveLength(parked);
    expect(rows.filter((row) => row.status === "success")).toHaveLength(800 - parked);
    // A window of 16 rows ahead, two in flight, and what waits to be stored: never a whole claim of 500.
    expect(parked / 5).toBeLessThan(80);
    await expectBooksToAgree(sandbox, mails, { lost: unknown.filter((row) => !arrived.has(row.to_mail)).length });
  }, 60_000);

  it("puts rows that were not released back with status, attempts and updated_at", async () => {
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: [] });
    // Fast ones first: the pace that they show makes the next claim much longer than its released window.
    const addresses = [...slow("ok", 60), ...slow("slow-500ms", 150)];
    for (const [i, to] of addresses.entries()) await aMail(sandbox, { campaign, to, age: minutes(10 + i) });
    const before = new Map((await rowsOf(sandbox, campaign)).map((row) => [row.id, row]));
    const daemon = await startDaemon(sandbox, { claim: { horizon: "1m" } });
    await until("a claim that is longer than its released window", async () => {
      return (await strandedOf(sandbox)).untouched.length > 20;
    });
    await daemon.kill();
    const { untouched, released } = await strandedOf(sandbox);
    expect(untouched.length).toBeGreaterThan(0);
    await sandbox.s1("UPDATE campaign_status SET status = 'paused'");
    const next = await startDaemon(sandbox);
    await next.news.next("recovery:done");
    expect((await next.term()).code).toBe(0);
    await next.assertCleanTermination();
    const after = new Map((await rowsOf(sandbox, campaign)).map((row) => [row.id, row]));
    for (const { id } of untouched) {
      const { status, attempt_count, updated_at } = before.get(id) ?? {};
      expect(after.get(id)).toMatchObject({ status, attempt_count, updated_at });
    }
    for (const id of released) expect(after.get(id)?.error_message).toMatch(/^\[UNKNOWN\] /);
  });
});
