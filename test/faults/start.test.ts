import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type FaultBench, outage, startFaultBench, startRun } from "./faultBench.js";
import { timing } from "./timing.js";

let bench: FaultBench;

beforeAll(async () => {
  bench = await startFaultBench();
});
afterAll(() => bench.stop());

describe("a start without", () => {
  it.each(["emailId", "crm"] as const)(
    "server %s: the daemon waits for it and then sends",
    { timeout: timing.test },
    async (name) => {
      await bench[name].set("refuse");
      const run = await startRun(bench, { addresses: 100 });
      await run.daemon.news.next("db:waiting", (line) => line.server === name);
      await outage();
      expect(await run.arrived()).toBe(0);
      await bench[name].set("pass");
      await run.recovers();
      await run.completes();
    },
  );

  it("both servers, for long: few words, no more memory, and then it sends", {
    timeout: timing.test + 2 * timing.outage,
  }, async () => {
    await Promise.all([bench.emailId.set("hole"), bench.crm.set("hole")]);
    const run = await startRun(bench, { addresses: 100 });
    await run.daemon.news.next("db:waiting");
    await outage();
    const before = await run.memory();
    await outage();
    expect((await run.memory()) - before).toBeLessThan(10 * 2 ** 20);
    expect(run.complaints()["db:waiting"]).toBeLessThanOrEqual(2 + (2 * 2 * timing.outage) / 30_000);
    await Promise.all([bench.emailId.set("pass"), bench.crm.set("pass")]);
    await run.recovers();
    await run.completes();
  });

  it("a login that is accepted ends with 78, and says so", { timeout: timing.test }, async () => {
    const run = await startRun(bench, {
      addresses: 1,
      settings: { servers: { crm: { port: bench.crm.port, user: "nobody" } } },
    });
    const exit = await run.daemon.exit;
    expect(exit.code).toBe(78);
    expect(exit.stderr).toMatch(/servers\.crm refuses us: .*Access denied/);
  });
});
