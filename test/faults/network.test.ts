import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.js";
import type { Fault } from "../support/faultProxy.js";
import { type FaultBench, type FaultRun, outage, startFaultBench, startRun } from "./faultBench.js";
import { timing } from "./timing.js";

let bench: FaultBench;

beforeAll(async () => {
  bench = await startFaultBench();
});
afterEach(() => Promise.all([bench.emailId.set("pass"), bench.crm.set("pass")]));
afterAll(() => bench.stop());

/** The network does this to Server 2 for an outage; afterwards everything goes on by itself. */
async function suffers(run: FaultRun, fault: Fault): Promise<void> {
  await run.sending();
  await bench.crm.set(fault);
  await outage();
  await bench.crm.set("pass");
  await run.recovers();
}

/** What was said of a server's breaker, in order. */
const edges = ({ daemon: { news } }: FaultRun, server: "emailId" | "crm") =>
  [...news.all("db:lost"), ...news.all("db:recovered")]
    .filter((line) => line.server === server)
    .sort((a, b) => a.time.localeCompare(b.time))
    .map(({ event }) => event);

describe("Server 2 in mid-campaign", () => {
  it.each<Fault>(["hole", "holeUp", "holeDown", "rst", "refuse"])(
    "behind %s: every mail once, by itself",
    { timeout: timing.test },
    async (fault) => {
      const run = await startRun(bench);
      await suffers(run, fault);
      expect(edges(run, "crm")).toEqual(["db:lost", "db:recovered"]);
      expect(edges(run, "emailId")).toEqual([]);
      await run.completes();
    },
  );

  it("away for longer than the lease: nothing goes out meanwhile, and the same daemon goes on", {
    timeout: timing.test + 2 * timing.outage,
  }, async () => {
    const run = await startRun(bench);
    await run.sending();
    await bench.crm.set("hole");
    await run.daemon.news.next("db:lost");
    await outage();
    const quiet = await run.arrived();
    await outage();
    expect(await run.arrived()).toBe(quiet);
    await bench.crm.set("pass");
    await run.recovers();
    await run.daemon.news.next("lease:taken", (line) => line.retaken);
    await run.completes();
  });

  it("whose answers drip in byte by byte is cut off at the deadline", { timeout: timing.test }, async () => {
    const run = await startRun(bench);
    await suffers(run, { byteAtATime: timing.outage / 20 });
    await run.completes();
  });

  it("on a slow line goes on, and nothing is said to be lost", { timeout: timing.test }, async () => {
    const run = await startRun(bench, { addresses: 200 });
    await run.sending();
    await bench.crm.set({ slow: 60 });
    await outage();
    await bench.crm.set("pass");
    expect(edges(run, "crm")).toEqual([]);
    await run.completes();
  });

  it("on a flapping line: one probe at a time, the campaign goes on, few words", {
    timeout: timing.test + timing.flapping.for,
  }, async () => {
    const { phase, mails, drift } = timing.flapping;
    const run = await startRun(bench, { addresses: mails });
    await run.sending();
    await bench.crm.set({ flap: { up: phase, down: phase } });
    const sizes: number[] = [];
    for (const end = systemClock.monotonic() + timing.flapping.for; systemClock.monotonic() < end; ) {
      sizes.push(await run.memory());
      await systemClock.sleep(phase / 5);
    }
    expect(bench.crm.busiestSecond).toBeLessThan(30); // every place once, when the line comes up
    await bench.crm.set("pass");
    const third = Math.floor(sizes.length / 3);
    expect(median(sizes.slice(-third)) - median(sizes.slice(0, third))).toBeLessThan(drift);
    await run.recovers();
    await run.completes();
  });
});

describe("Server 1 in mid-campaign", () => {
  it("away: what is claimed is sent, nothing new is claimed, and its counters come later", {
    timeout: timing.test,
  }, async () => {
    const run = await startRun(bench);
    await run.sending();
    await bench.emailId.set("refuse");
    await run.daemon.news.next("db:lost", (line) => line.server === "emailId");
    const claimed = run.daemon.news.all("claim:made").length;
    await outage();
    expect(run.daemon.news.all("claim:made").length).toBe(claimed);
    expect(edges(run, "crm")).toEqual([]);
    await bench.emailId.set("pass");
    await run.recovers();
    await run.completes();
  });

  it("away for longer than we may be blind: nothing is sent any more, then everything", {
    timeout: timing.test + 2 * timing.blind,
  }, async () => {
    const run = await startRun(bench, { addresses: 2 * timing.mails, settings: { claim: { horizon: "20s" } } });
    await run.sending();
    await bench.emailId.set("hole");
    const from = systemClock.monotonic();
    await systemClock.sleep(timing.blind + timing.outage / 2);
    const quiet = await run.arrived();
    expect(systemClock.monotonic() - from).toBeGreaterThan(timing.blind);
    await systemClock.sleep(timing.outage / 2);
    expect(await run.arrived()).toBe(quiet);
    await bench.emailId.set("pass");
    await run.recovers();
    await run.completes();
  });
});

describe("both servers in mid-campaign", () => {
  it("away together: every mail once, by itself", { timeout: timing.test }, async () => {
    const run = await startRun(bench);
    await run.sending();
    await Promise.all([bench.emailId.set("hole"), bench.crm.set("hole")]);
    await outage();
    await Promise.all([bench.emailId.set("pass"), bench.crm.set("pass")]);
    await run.recovers();
    await run.completes();
  });
});

const median = (sizes: readonly number[]) => [...sizes].sort((a, b) => a - b)[Math.floor(sizes.length / 2)] ?? 0;
