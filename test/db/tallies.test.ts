import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { adoptSlice, healSlice, tallySlice } from "../../src/db/tallies.js";
import { survey } from "../../src/worker/survey.js";
import { aMail } from "../support/builders.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { lead, type MailStates, mailsOf, queue, type Setup, setup } from "./setup.js";

const CAMPAIGN = 3;
const SLICE = 50_000;

let sandbox: Sandbox;
let t: Setup;
let epoch: number;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(async () => {
  t = await setup(sandbox);
  epoch = await lead(t.crm);
  await t.s2(
    "ALTER TABLE mail_blaster MODIFY status ENUM('pending','success','failed','processing') NULL DEFAULT 'pending'",
  );
  return () => t.end();
});
afterAll(() => sandbox.stop());

const retryIds = async () =>
  (await t.s2<{ mail_id: number }>("SELECT mail_id FROM campaignd_retry ORDER BY 1")).map((r) => r.mail_id);

describe("a tally", () => {
  it("tells sent, failed and open apart, a missing attempt count standing for none", async () => {
    await mailsOf(t, CAMPAIGN, [
      { status: "success", attempts: 1 },
      { status: "success", attempts: null },
      { status: "failed", attempts: 5 },
      { status: "failed", attempts: 6 },
      { status: "failed", attempts: 4 },
      { status: "failed", attempts: null },
      { status: "pending" },
      { status: "processing" },
      { status: "" },
      { status: null },
    ]);
    await mailsOf(t, CAMPAIGN + 1, [{}, {}]);
    expect(await tallySlice(t.crm, CAMPAIGN, 0, SLICE)).toEqual({ sent: 2, failed: 2, open: 6, retryable: 2, odd: 2 });
  });

  it("counts the ids of its slice alone: above the first, up to the last", async () => {
    const ids = await mailsOf(t, CAMPAIGN, [{}, {}, {}, {}]);
    expect(await tallySlice(t.crm, CAMPAIGN, ids[0] ?? 0, ids[2] ?? 0)).toMatchObject({ open: 2 });
    expect(await tallySlice(t.crm, CAMPAIGN, ids[3] ?? 0, SLICE)).toMatchObject({ open: 0 });
  });
});

describe("a row with an empty status", () => {
  it.each<MailStates & { what: string; becomes: number | null }>([
    { what: "whose attempts are used up", attempts: 5, error: null, becomes: 5 },
    { what: "with six attempts", attempts: 6, error: null, becomes: 5 },
    { what: "that a server refused for good", attempts: 1, error: "SMTP Error: 550 no such user", becomes: 5 },
    { what: "with an enhanced code of a bad address", attempts: 1, error: "5.1.1 unknown mailbox", becomes: 5 },
    { what: "that was deferred", attempts: 2, error: "451 try again", becomes: 2 },
    { what: "whose text only holds such digits", attempts: 1, error: "queue id 15501 at 10.5.1.12", becomes: 1 },
    { what: "without attempts and text", attempts: null, error: null, becomes: 0 },
  ])("is failed with its true attempts: one $what", async ({ what: _what, becomes, ...state }) => {
    await mailsOf(t, CAMPAIGN, [
      { ...state, status: "" },
      { ...state, status: null },
    ]);
    expect(await healSlice(t.crm, epoch, CAMPAIGN, 0, SLICE)).toBe(2);
    for (const row of await queue(t)) expect(row).toMatchObject({ status: "failed", attempt_count: becomes });
  });

  it("is healed in its own slice and campaign only, and by a present leader only", async () => {
    const ids = await mailsOf(t, CAMPAIGN, [{ status: "" }, { status: "" }]);
    await mailsOf(t, CAMPAIGN + 1, [{ status: "" }]);
    expect(await healSlice(t.crm, epoch - 1, CAMPAIGN, 0, SLICE)).toBe(0);
    expect(await healSlice(t.crm, epoch, CAMPAIGN, 0, ids[0] ?? 0)).toBe(1);
    expect((await queue(t)).map((row) => row.status)).toEqual(["failed", "", ""]);
  });

  it("leaves every other state alone", async () => {
    await mailsOf(t, CAMPAIGN, [
      {},
      { status: "processing" },
      { status: "success" },
      { status: "failed", attempts: 1 },
    ]);
    const earlier = await queue(t);
    expect(await healSlice(t.crm, epoch, CAMPAIGN, 0, SLICE)).toBe(0);
    expect(await queue(t)).toEqual(earlier);
  });
});

describe("a failed row of the legacy system", () => {
  it("is due now where it has attempts left", async () => {
    const [due] = await mailsOf(t, CAMPAIGN, [
      { status: "failed", attempts: null },
      { status: "failed", attempts: 5 },
      { status: "pending" },
      { status: "success" },
    ]);
    await mailsOf(t, CAMPAIGN + 1, [{ status: "failed", attempts: 1 }]);
    expect(await adoptSlice(t.crm, epoch, CAMPAIGN, 0, SLICE)).toBe(1);
    expect(await retryIds()).toEqual([due]);
    expect(await t.s2("SELECT class, due_at <= UTC_TIMESTAMP() AS due FROM campaignd_retry")).toEqual([
      { class: "adopted", due: 1 },
    ]);
  });

  it("keeps the entry that it has", async () => {
    const [mailId = 0] = await mailsOf(t, CAMPAIGN, [{ status: "failed", attempts: 1 }]);
    const insert =
      "INSERT INTO campaignd_retry VALUES (?, 3, UTC_TIMESTAMP() + INTERVAL 1 HOUR, 'greylisted', 5, UTC_TIMESTAMP())";
    await t.s2(insert, [mailId]);
    expect(await adoptSlice(t.crm, epoch, CAMPAIGN, 0, SLICE)).toBe(0);
    expect(await t.s2("SELECT class FROM campaignd_retry")).toEqual([{ class: "greylisted" }]);
  });

  it("is adopted by a present leader only", async () => {
    await mailsOf(t, CAMPAIGN, [{ status: "failed", attempts: 1 }]);
    expect(await adoptSlice(t.crm, epoch - 1, CAMPAIGN, 0, SLICE)).toBe(0);
    expect(await retryIds()).toEqual([]);
  });
});

describe("a survey", () => {
  it("walks all slices of a campaign, skips what is others', and mends what is odd", async () => {
    for (const [n, id] of [1, 49_999, 50_000, 50_001, 400_000].entries()) {
      const mail = await aMail(t, {
        campaign: CAMPAIGN,
        status: n === 4 ? "" : n === 3 ? "failed" : "success",
        attempts: 1,
      });
      await t.s2("UPDATE mail_blaster SET id = ? WHERE id = ?", [id, mail]);
      await t.s2("ALTER TABLE mail_blaster AUTO_INCREMENT = ?", [id + 1]);
    }
    const { tally, healed, adopted } = await survey(t.crm, () => epoch, CAMPAIGN);
    expect(tally.progress()).toEqual({ total: 5, sent: 3, failed: 0, pending: 2 });
    expect({ healed, adopted }).toEqual({ healed: 1, adopted: 2 });
    expect(await retryIds()).toEqual([50_001, 400_000]);
  });

  it("of a campaign without rows counts nothing", async () => {
    const { tally } = await survey(t.crm, () => epoch, CAMPAIGN);
    expect(tally.progress()).toEqual({ total: 0, sent: 0, failed: 0, pending: 0 });
  });
});
