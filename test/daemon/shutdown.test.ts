import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { minutes, seconds, systemClock } from "../../src/clock.js";
import { aMail } from "../support/builders.js";
import { countersOf, expectBooksToAgree, rowsOf, statusOf } from "../support/books.js";
import { aListCampaign, anOwner, freshScene, type Scene } from "../support/campaignScene.js";
import { type Daemon, startDaemon } from "../support/daemon.js";
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

/** Small numbers in a fixed order, so that a failure can be repeated. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % sides;
  };
}

describe("SIGTERM", () => {
  it("ends an idle daemon at once with 0, and nothing is left of it", async () => {
    const daemon = await startDaemon(sandbox);
    await daemon.news.next("lease:taken");
    const from = systemClock.monotonic();
    expect(await daemon.term()).toMatchObject({ code: 0, stderr: "" });
    expect(systemClock.monotonic() - from).toBeLessThan(seconds(2));
    await daemon.assertCleanTermination();
  });

  it("lets what is in flight land, and puts every other row back exactly as it was", async () => {
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: [] });
    const queue = (to: string, row: object) => aMail(sandbox, { campaign, to, ...row });
    await queue("slow-2s+due@x.example", { status: "failed", attempts: 2, error: "451 later", age: minutes(20) });
    for (const [i, to] of slow("slow-2s", 7).entries()) await queue(to, { age: minutes(10 + i) });
    await queue("slow-2s+tried@x.example", { attempts: 1, age: minutes(30) });
    const before = await rowsOf(sandbox, campaign);
    const daemon = await startDaemon(sandbox);
    await until("two mails past their dot", async () => (await scene.mails()).length === 2);
    const claimed = (await rowsOf(sandbox, campaign)).filter((row) => row.status === "processing");
    expect(claimed.length).toBeGreaterThan(2);
    expect((await daemon.term()).code).toBe(0);

    const rows = await rowsOf(sandbox, campaign);
    const landed = rows.filter((row) => row.status === "success").map((row) => row.to_mail);
    expect(landed.sort()).toEqual((await scene.mails()).map((mail) => mail.to[0]).sort());
    expect(landed).toHaveLength(2);
    const rest = (all: typeof rows) =>
      all
        .filter((row) => !landed.includes(row.to_mail))
        .map((row) => [row.to_mail, row.status, row.attempt_count, row.error_message, row.updated_at]);
    expect(rest(rows)).toEqual(rest(before));
    expect((await statusOf(sandbox, campaign)).status).toBe("running");
    expect(await countersOf(sandbox, campaign)).toEqual([9, 2, 0, 7]);
    await daemon.assertCleanTermination();
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("twenty times at any moment of a campaign loses no mail and sends none twice", async () => {
    const addresses = [...slow("slow-20ms", 300), ...slow("greylist-1", 10), ...slow("550", 10)];
    const { campaign } = await aListCampaign(sandbox, { owner, addresses });
    const roll = dice(20_261_124);
    for (let round = 0; round < 20; round += 1) {
      const daemon = await startDaemon(sandbox, { claim: { gap: "50ms" } });
      await aMoment(daemon, roll);
      expect(await daemon.term(), `round ${round}`).toMatchObject({ code: 0, stderr: "" });
      expect((await strandedOf(sandbox)).released).toEqual([]);
    }
    const last = await startDaemon(sandbox, {}, untilIdle);
    expect((await last.exit).code).toBe(0);
    await last.assertCleanTermination();
    expect((await statusOf(sandbox, campaign)).status).toBe("completed");
    expect(await countersOf(sandbox, campaign)).toEqual([320, 310, 10, 0]);
    expect(await sandbox.s2("SELECT * FROM campaignd_unknown")).toEqual([]);
    await expectBooksToAgree(sandbox, await scene.mails());
  }, 60_000);

  it("past shutdown.drain gives up with 1 and says so; what was in flight is parked at the next start", async () => {
    const addresses = ["mute-after-dot+x@x.example", "ok.other@x.example"];
    const { campaign } = await aListCampaign(sandbox, { owner, addresses });
    const daemon = await startDaemon(sandbox, { shutdown: { drain: "1s" } });
    await daemon.news.next("mail:sent");
    await until("the mute mail past its dot", async () => (await scene.mails()).length === 2);
    const { code, stderr } = await daemon.term();
    expect(code).toBe(1);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toContain("parked at the next start");
    const next = await startDaemon(sandbox, {}, untilIdle);
    expect(await next.news.next("recovery:done")).toMatchObject({ parked: 1, released: 0 });
    expect((await next.exit).code).toBe(0);
    const [row] = await rowsOf(sandbox, campaign);
    expect(row).toMatchObject({ status: "failed", attempt_count: 5 });
    expect(row?.error_message).toMatch(/^\[UNKNOWN\] /);
    await next.assertCleanTermination();
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("a second time ends it at once", async () => {
    await aListCampaign(sandbox, { owner, addresses: ["mute-after-dot+y@x.example"] });
    const daemon = await startDaemon(sandbox);
    await until("the mute mail past its dot", async () => (await scene.mails()).length === 1);
    const ended = daemon.term();
    await daemon.news.next("daemon:stopping");
    void daemon.term();
    const from = systemClock.monotonic();
    expect((await ended).code).toBe(1);
    expect(systemClock.monotonic() - from).toBeLessThan(seconds(3));
  });
});

describe("SIGKILL in mid-campaign", () => {
  it("parks what may have been sent, puts back what was not, and no mail goes out twice", async () => {
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: slow("slow-20ms", 400) });
    const roll = dice(5);
    let parked = 0;
    for (let round = 0; round < 5; round += 1) {
      const daemon = await startDaemon(sandbox, { claim: { gap: "50ms" } });
      await daemon.news.next("claim:made");
      for (let i = roll(30) + 1; i > 0; i -= 1) await daemon.news.next("mail:sent");
      await daemon.kill();
      const left = await strandedOf(sandbox);
      const next = await startDaemon(sandbox);
      const done = await next.news.next("recovery:done");
      expect(done).toMatchObject({ parked: left.released.length, released: left.untouched.length });
      parked += done.parked;
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
    expect(rows.filter((row) => row.status === "success")).toHaveLength(400 - parked);
    // A window of 32 rows ahead, two in flight, and what waits to be stored: never a whole claim of 500.
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

/** Waits until the daemon has come to some point of its life, early or late. */
async function aMoment({ news }: Daemon, roll: (sides: number) => number): Promise<void> {
  const points = ["db:connected", "lease:taken", "campaign:seen", "claim:made"] as const;
  const point = points[roll(points.length + 4)];
  if (point !== undefined) return void (await news.next(point));
  for (let mails = roll(25) + 1; mails > 0; mails -= 1) await news.next("mail:sent");
}
