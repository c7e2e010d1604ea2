import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  completeCampaign,
  holdCampaign,
  listRunning,
  readMaster,
  readSources,
  readTemplate,
  recountCampaign,
  sourceKeyOf,
  writeProgress,
} from "../../src/db/campaigns.js";
import { aCampaign, aTemplate } from "../support/builders.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { type Setup, setup } from "./setup.js";

const COUNTERS = { total: 10, sent: 6, failed: 1, pending: 3 };
const END = "2026-11-24 17:30:00";

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

const status = (campaignId: number) =>
  t.s1<Record<string, unknown>>("SELECT * FROM campaign_status WHERE campaign_id = ? ORDER BY id", [campaignId]);
const statusId = async (campaignId: number) => Number((await status(campaignId)).at(-1)?.id);

describe("the list of running campaigns", () => {
  it("holds those that run, with their counters as the web application has them", async () => {
    const running = await aCampaign(t, { userId: 7, total: 9, pending: 5, sent: 3, failed: 1, processPid: 48_213 });
    for (const other of ["pending", "paused", "completed", "failed"]) await aCampaign(t, { status: other });
    expect(await listRunning(t.emailId)).toEqual([
      {
        statusId: await statusId(running),
        campaignId: running,
        total: 9,
        pending: 5,
        sent: 3,
        failed: 1,
        processPid: 48_213,
        userId: 7,
      },
    ]);
  });

  it("goes by the newest row where rows of a campaign are doubled", async () => {
    await t.s1("ALTER TABLE campaign_status DROP KEY unique_campaign_id");
    const stopped = await aCampaign(t);
    const resumed = await aCampaign(t, { status: "paused" });
    await t.s1("INSERT INTO campaign_status (campaign_id, status) VALUES (?, 'paused'), (?, 'running')", [
      stopped,
      resumed,
    ]);
    expect(await listRunning(t.emailId)).toMatchObject([{ campaignId: resumed, statusId: await statusId(resumed) }]);
  });
});

describe("what a campaign says of itself", () => {
  it("is read with '', 0 and NULL all meaning none", async () => {
    const campaignId = await aCampaign(t, {
      list: 0,
      batch: "",
      template: 0,
      body: null,
      userId: 0,
      attachments: null,
    });
    const none = { listId: undefined, batchId: undefined, templateId: undefined, userId: undefined };
    expect(await readMaster(t.emailId, campaignId)).toMatchObject({
      ...none,
      body: "",
      attachmentPath: "",
      replyTo: "",
    });
  });

  it("has its reply_to where the column exists", async () => {
    await t.s1("ALTER TABLE campaign_master ADD reply_to VARCHAR(150) NULL");
    const campaignId = await aCampaign(t, { list: 4, template: 5, batch: "B1", userId: 7, html: false });
    await t.s1("UPDATE campaign_master SET reply_to = 'sales@sender.example'");
    const expected = { listId: 4, templateId: 5, batchId: "B1", userId: 7, sendAsHtml: false };
    expect(await readMaster(t.emailId, campaignId)).toMatchObject({ ...expected, replyTo: "sales@sender.example" });
  });

  it("is undefined without a row", async () => {
    expect(await readMaster(t.emailId, 999)).toBeUndefined();
  });

  it("tells by one key that its list, batch or template was exchanged", async () => {
    const [first, second] = [await aCampaign(t, { list: 4, template: 5 }), await aCampaign(t, { batch: "B1" })];
    const sources = await readSources(t.emailId, [first, second, 999]);
    for (const campaignId of [first, second]) {
      const master = await readMaster(t.emailId, campaignId);
      expect(master && sourceKeyOf(master)).toBe(sources.get(campaignId));
    }
    await t.s1("UPDATE campaign_master SET csv_list_id = 6 WHERE campaign_id = ?", [first]);
    expect((await readSources(t.emailId, [first])).get(first)).not.toBe(sources.get(first));
    expect(await readSources(t.emailId, [])).toEqual(new Map());
  });

  it("has its template's HTML only while that is active", async () => {
    const [on, off] = [
      await aTemplate(t, { html: "<p>on</p>" }),
      await aTemplate(t, { html: "<p>off</p>", active: false }),
    ];
    expect(await readTemplate(t.emailId, on)).toBe("<p>on</p>");
    expect(await readTemplate(t.emailId, off)).toBeUndefined();
  });
});

describe("a write to campaign_status", () => {
  it("of progress reaches all that still run, each with its own counters, and says how many those were", async () => {
    const [first, paused, second] = [await aCampaign(t), await aCampaign(t, { status: "paused" }), await aCampaign(t)];
    const changed = await Promise.all(
      [first, paused, second].map(async (campaignId, n) => ({
        statusId: await statusId(campaignId),
        counters: { ...COUNTERS, sent: n },
      })),
    );
    expect(await writeProgress(t.emailId, changed)).toBe(2);
    expect(await status(first)).toMatchObject([
      { total_emails: 10, sent_emails: 0, failed_emails: 1, pending_emails: 3 },
    ]);
    expect(await status(paused)).toMatchObject([{ total_emails: 0, sent_emails: 0 }]);
    expect(await status(second)).toMatchObject([{ sent_emails: 2, status: "running" }]);
  });

  it("completes a running campaign with its last counters, once", async () => {
    const campaignId = await aCampaign(t, { pending: 9 });
    const id = await statusId(campaignId);
    expect(await completeCampaign(t.emailId, id, COUNTERS, END)).toBe(true);
    const done = {
      status: "completed",
      total_emails: 10,
      sent_emails: 6,
      failed_emails: 1,
      pending_emails: 0,
      end_time: END,
    };
    expect(await status(campaignId)).toMatchObject([done]);
    expect(await completeCampaign(t.emailId, id, COUNTERS, "2026-11-25 00:00:00")).toBe(false);
    expect(await status(campaignId)).toMatchObject([done]);
  });

  it.each(["pending", "paused", "failed"])("neither completes nor holds a campaign that is %s", async (now) => {
    const campaignId = await aCampaign(t, { status: now });
    const id = await statusId(campaignId);
    expect(await completeCampaign(t.emailId, id, COUNTERS, END)).toBe(false);
    expect(await holdCampaign(t.emailId, id)).toBe(false);
    expect(await status(campaignId)).toMatchObject([{ status: now, end_time: null }]);
  });

  it("holds a running campaign", async () => {
    const campaignId = await aCampaign(t);
    expect(await holdCampaign(t.emailId, await statusId(campaignId))).toBe(true);
    expect(await status(campaignId)).toMatchObject([{ status: "paused" }]);
  });

  it.each([
    { now: "completed", says: "completed", sent: 6 },
    { now: "paused", says: "other", sent: 6 },
    { now: "running", says: "other", sent: 0 },
  ])("recounts a campaign that is $now only where it does not run", async ({ now, says, sent }) => {
    const campaignId = await aCampaign(t, { status: now });
    expect(await recountCampaign(t.emailId, await statusId(campaignId), COUNTERS)).toBe(says);
    expect(await status(campaignId)).toMatchObject([{ status: now, sent_emails: sent }]);
  });
});
