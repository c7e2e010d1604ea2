import { afterAll, beforeAll, describe, it, onTestFinished } from "vitest";
import { type FaultBench, outage, startFaultBench, startRun } from "./faultBench.js";
import { timing } from "./timing.js";

let bench: FaultBench;

beforeAll(async () => {
  bench = await startFaultBench({ layout: "one" });
});
afterAll(() => bench.stop());

describe("both databases on one server", () => {
  const share = { emailId: 23, crm: 23 };

  it("send a campaign through its death and return, within both shares together", {
    timeout: timing.test,
  }, async () => {
    const run = await startRun(bench, { share });
    await run.sending();
    bench.sandbox.crm.kill("SIGKILL");
    await run.daemon.news.next("db:lost");
    await bench.sandbox.crm.restart();
    await run.recovers();
    await run.completes();
  });

  it("go on after a black hole before both", { timeout: timing.test }, async () => {
    const run = await startRun(bench, { share });
    await run.sending();
    await Promise.all([bench.emailId.set("hole"), bench.crm.set("hole")]);
    await outage();
    await Promise.all([bench.emailId.set("pass"), bench.crm.set("pass")]);
    await run.recovers();
    await run.completes();
  });
});

describe("servers whose optional features are all switched off", () => {
  it("send a campaign through an outage with every optional setting of ours off too", {
    timeout: timing.test,
  }, async () => {
    const { s1 } = bench.sandbox;
    const [before] = await s1<{ all: string }>("SELECT @@global.optimizer_switch AS `all`");
    onTestFinished(async () => void (await s1("SET GLOBAL optimizer_switch = ?", [before?.all ?? "default"])));
    // One of the two ways to run a sub-query must stay.
    const off = (before?.all ?? "").replaceAll("=on", "=off").replace("in_to_exists=off", "in_to_exists=on");
    const settings = {
      accounts: { resetSentToday: false },
      compat: { unescape: false },
      suppression: { bounced: false },
    };
    const run = await startRun(bench, {
      share: { emailId: 23, crm: 23 },
      settings,
      before: async () => {
        await s1("SET GLOBAL optimizer_switch = ?", [off]);
        await s1("SET GLOBAL query_cache_type = 0");
        await s1("SET GLOBAL event_scheduler = 0");
      },
    });
    await run.sending();
    await Promise.all([bench.emailId.set("refuse"), bench.crm.set("refuse")]);
    await outage();
    await Promise.all([bench.emailId.set("pass"), bench.crm.set("pass")]);
    await run.recovers();
    await run.completes();
  });
});
