import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { seconds, systemClock } from "../../src/clock.js";
import { expectBooksToAgree, rowsOf } from "../support/books.js";
import { aListCampaign, anOwner, freshScene, type Scene } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
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

/** The monitor's longest interval in these tests, and the time in which a gate closes. */
const SOON = seconds(1) + seconds(1);
/** Rows that are kept released ahead while few connections are open. */
const WINDOW = 32;
const many = (word: string, count: number) => Array.from({ length: count }, (_, i) => `${word}+${i}@x.example`);

describe("mails of a large claim that had no turn at a session", () => {
  it("go back after a SIGKILL; what is parked is bounded by the released window, not by the claim", async () => {
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: many("slow-100ms", 300) });
    const daemon = await startDaemon(sandbox, { claim: { horizon: "1m" }, smtp: { maxConnectionsPerAccount: 2 } });
    await daemon.news.next("claim:made", (line) => line.mails >= 200);
    await daemon.news.coming("mail:sent");
    await daemon.kill();
    const left = await strandedOf(sandbox);
    const next = await startDaemon(sandbox, { smtp: { maxConnectionsPerAccount: 10 } });
    const { released, parked } = await next.news.next("recovery:done");
    expect({ released, parked }).toEqual({ released: left.untouched.length, parked: left.released.length });
    // Two windows ahead of the last turn, and the turns whose outcome was not stored yet.
    expect(parked).toBeLessThanOrEqual(3 * WINDOW);
    expect(released).toBeGreaterThan(parked);
    await next.news.next("campaign:completed");
    expect((await next.term()).code).toBe(0);
    const mails = await scene.mails();
    const arrived = new Set(mails.map((mail) => mail.to[0]));
    const unknown = (await rowsOf(sandbox, campaign)).filter((row) => row.error_message?.startsWith("[UNKNOWN]"));
    expect(unknown).toHaveLength(parked);
    await expectBooksToAgree(sandbox, mails, { lost: unknown.filter((row) => !arrived.has(row.to_mail)).length });
  });
});

describe("mails that wait behind two mute sessions", () => {
  it("go back as they were as soon as their campaign is paused; the two in flight stay until their deadline", async () => {
    const { campaign } = await aListCampaign(sandbox, {
      owner,
      addresses: [...many("mute-after-dot", 2), ...many("ok", 30)],
    });
    const timeouts = { afterDot: "6s" };
    const daemon = await startDaemon(sandbox, { smtp: { maxConnectionsPerAccount: 2, timeouts } });
    await until("both sessions to be past their dot", async () => (await scene.mails()).length === 2);
    const sentAt = systemClock.monotonic();
    const processing = async () => (await rowsOf(sandbox, campaign)).filter((row) => row.status === "processing");
    await until("mails that wait behind them", async () => (await processing()).length > 2);
    await sandbox.s1("UPDATE campaign_status SET status = 'paused'");
    const paused = systemClock.monotonic();
    await until("the waiting ones to be back", async () => (await processing()).length === 2);
    expect(systemClock.monotonic() - paused).toBeLessThan(SOON);
    expect(systemClock.monotonic() - sentAt).toBeLessThan(seconds(5));
    const rows = await rowsOf(sandbox, campaign);
    expect(new Set(rows.map((row) => `${row.to_mail.split("+")[0]} ${row.status} ${row.attempt_count}`))).toEqual(
      new Set(["mute-after-dot processing 0", "ok pending 0"]),
    );
    await daemon.news.next("mail:unknown");
    await daemon.news.next("mail:unknown");
    expect(systemClock.monotonic() - sentAt).toBeGreaterThan(seconds(5));
    await daemon.news.next("campaign:left", (line) => line.campaignId === campaign && line.due === 30);
    expect((await daemon.term()).code).toBe(0);
    expect(await scene.mails()).toHaveLength(2);
    await expectBooksToAgree(sandbox, await scene.mails());
    await daemon.assertCleanTermination();
  });
});
