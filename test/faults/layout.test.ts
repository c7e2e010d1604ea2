import { afterAll, beforeAll, describe, it } from "vitest";
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
