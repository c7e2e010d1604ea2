import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { dueEntries, endEntries, nextDueIn } from "../../src/db/retries.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { type Setup, setup } from "./setup.js";

let sandbox: Sandbox;
let t: Setup;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(async () => {
  t = await setup(sandbox);
  return () => t.end();
});
afterAll(() => sandbox.stop());

/** An entry that is due in so many seconds, or was due so many ago. */
function entry(mailId: number, campaignId: number, dueIn: number, failingFor = 600): Promise<unknown> {
  const due = `UTC_TIMESTAMP() + INTERVAL ${dueIn} SECOND`;
  const failed = `UTC_TIMESTAMP() - INTERVAL ${failingFor} SECOND`;
  return t.s2(`INSERT INTO campaignd_retry VALUES (${mailId}, ${campaignId}, ${due}, 'greylisted', NULL, ${failed})`);
}

describe("due entries", () => {
  it("of all these campaigns come in one list, the longest due first", async () => {
    await entry(1, 10, -5);
    await entry(2, 20, -50);
    await entry(3, 10, -500, 7200);
    await entry(4, 30, -1000);
    await entry(5, 10, 100);
    expect(await dueEntries(t.crm, [10, 20], 10)).toEqual([
      { mailId: 3, campaignId: 10, failingFor: expect.closeTo(7200, -1) },
      { mailId: 2, campaignId: 20, failingFor: expect.closeTo(600, -1) },
      { mailId: 1, campaignId: 10, failingFor: expect.closeTo(600, -1) },
    ]);
    expect((await dueEntries(t.crm, [10, 20], 2)).map((due) => due.mailId)).toEqual([3, 2]);
  });

  it("end when they are told to", async () => {
    await entry(1, 10, -5);
    await entry(2, 10, -5);
    await endEntries(t.crm, [1]);
    await endEntries(t.crm, []);
    expect(await dueEntries(t.crm, [10], 10)).toMatchObject([{ mailId: 2 }]);
  });
});

describe("the next due time", () => {
  it("is the nearest of all these campaigns", async () => {
    await entry(1, 10, 900);
    await entry(2, 20, 300);
    await entry(3, 20, 2000);
    await entry(4, 30, 10);
    await entry(5, 10, -10);
    const next = await nextDueIn(t.crm, [10, 20]);
    expect(next).toBeGreaterThan(290);
    expect(next).toBeLessThanOrEqual(300);
  });

  it("is unknown when nothing waits", async () => {
    await entry(1, 10, -10);
    expect(await nextDueIn(t.crm, [10, 20])).toBeUndefined();
  });
});
