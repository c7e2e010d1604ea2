import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { minutes, seconds, systemClock } from "../../src/clock.js";
import { countersOf, expectBooksToAgree, recipientsOf, rowsOf, statusOf } from "../support/books.js";
import { aMail } from "../support/builders.js";
import { aListCampaign, anOwner, freshScene, type Scene } from "../support/campaignScene.js";
import { type Daemon, startDaemon } from "../support/daemon.js";
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
    expect(landed.sort()).toEqual(recipientsOf(await scene.mails()));
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

/** Waits until the daemon has come to some point of its life, early or late. */
async function aMoment({ news }: Daemon, roll: (sides: number) => number): Promise<void> {
  const points = ["db:connected", "lease:taken", "campaign:seen", "claim:made"] as const;
  const point = points[roll(points.length + 4)];
  if (point !== undefined) return void (await news.next(point));
  for (let mails = roll(25) + 1; mails > 0; mails -= 1) await news.next("mail:sent");
}
