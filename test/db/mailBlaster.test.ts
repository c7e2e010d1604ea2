import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  existingAddresses,
  freshRows,
  idBounds,
  insertRows,
  nextId,
  processingRows,
  reopenedRows,
  rowsById,
  serverStamp,
  settleForeign,
  windowRows,
} from "../../src/db/mailBlaster.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { beside, lead, mailsOf, queue, type Setup, setup, waitsForLock } from "./setup.js";

const CAMPAIGN = 3;

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

const idsOf = (rows: readonly { mailId: number }[]) => rows.map((row) => row.mailId);

describe("rows to claim", () => {
  it("are the pending ones never tried, in id order behind the cursor", async () => {
    const ids = await mailsOf(t, CAMPAIGN, [{}, { status: "success" }, {}, { attempts: 1 }, {}, { status: "" }, {}]);
    await mailsOf(t, CAMPAIGN + 1, [{}]);
    const [a = 0, , b, , c, , d] = ids;
    expect(idsOf(await freshRows(t.crm, CAMPAIGN, 0, 10))).toEqual([a, b, c, d]);
    expect(idsOf(await freshRows(t.crm, CAMPAIGN, a, 2))).toEqual([b, c]);
  });

  it("come with their address and how they are, zero dates as 0", async () => {
    const [id = 0] = await mailsOf(t, CAMPAIGN, [{ to: "a@x.example" }]);
    await t.s2("UPDATE mail_blaster SET updated_at = 0");
    expect(await freshRows(t.crm, CAMPAIGN, 0, 1)).toEqual([
      { mailId: id, to: "a@x.example", status: "pending", attempts: 0, updatedAt: 0 },
    ]);
  });

  it("that the web application re-opened are found whatever their attempts, the fewest first", async () => {
    const [a, b, c] = await mailsOf(t, CAMPAIGN, [{ attempts: 2 }, { attempts: null }, { attempts: 1 }]);
    const rows = await reopenedRows(t.crm, CAMPAIGN, 10);
    expect(idsOf(rows)).toEqual([b, c, a]);
    expect(rows.map((row) => row.attempts)).toEqual([null, 1, 2]);
  });

  it("are found without an index too, over gaps of any width", async () => {
    const ids = await mailsOf(t, CAMPAIGN, [{}, { status: "success" }, {}]);
    await t.s2("ALTER TABLE mail_blaster AUTO_INCREMENT = 400000");
    ids.push(...(await mailsOf(t, CAMPAIGN, [{ attempts: 1 }])));
    const [first = 0, , second = 0, last = 0] = ids;
    expect(idsOf(await windowRows(t.crm, CAMPAIGN, 0, 10))).toEqual([first, second]);
    expect(idsOf(await windowRows(t.crm, CAMPAIGN, second, 10))).toEqual([last]);
    expect(await windowRows(t.crm, CAMPAIGN, last, 10)).toEqual([]);
  });

  it("are told by id with what the table really says", async () => {
    const ids = await mailsOf(t, CAMPAIGN, [{ status: "failed", attempts: 3 }, { status: "" }]);
    expect(await rowsById(t.crm, ids)).toMatchObject([
      { campaignId: CAMPAIGN, raw: "failed", status: "failed", attempts: 3 },
      { raw: "" },
    ]);
    expect(await rowsById(t.crm, [])).toEqual([]);
  });

  it("lie between a campaign's bounds", async () => {
    await mailsOf(t, CAMPAIGN + 1, [{}]);
    const [a = 0, b = 0] = await mailsOf(t, CAMPAIGN, [{}, {}]);
    await mailsOf(t, CAMPAIGN + 1, [{}]);
    expect(await idBounds(t.crm, CAMPAIGN)).toEqual({ lowest: a, highest: b });
    expect(await nextId(t.crm, CAMPAIGN, 0)).toBe(a);
    expect(await nextId(t.crm, CAMPAIGN, b)).toBe(0);
    expect(await idBounds(t.crm, 99)).toEqual({ lowest: 0, highest: 0 });
  });
});

describe("rows that a fill inserts", () => {
  it("have every column that is NOT NULL, and end at once where they carry a reason", async () => {
    const stamp = await serverStamp(t.crm);
    const rows = [{ to: "a@x.example" }, { to: "bad", failure: "[INVALID] no @" }];
    const insert = insertRows({ id: CAMPAIGN, listId: 4, userId: 7 }, rows, stamp);
    expect(await t.crm.packet("fill", [insert], ([result]) => result?.affected)).toBe(2);
    expect(
      await t.s2(
        "SELECT to_mail, csv_list_id, user_id, smtpid, status, attempt_count, error_message FROM mail_blaster",
      ),
    ).toEqual([
      {
        to_mail: "a@x.example",
        csv_list_id: 4,
        user_id: 7,
        smtpid: 0,
        status: "pending",
        attempt_count: 0,
        error_message: null,
      },
      {
        to_mail: "bad",
        csv_list_id: 4,
        user_id: 7,
        smtpid: 0,
        status: "failed",
        attempt_count: 5,
        error_message: "[INVALID] no @",
      },
    ]);
    const [row] = await queue(t);
    expect(row?.delivery_date).toBe(stamp.today);
  });

  it("do not touch the row that an address has already, in whatever case", async () => {
    await mailsOf(t, CAMPAIGN, [{ to: "A@x.example", status: "success" }]);
    expect(await existingAddresses(t.crm, CAMPAIGN, ["a@x.example", "b@x.example"])).toEqual(["A@x.example"]);
    const insert = insertRows(
      { id: CAMPAIGN, listId: null, userId: null },
      [{ to: "a@x.example" }],
      await serverStamp(t.crm),
    );
    expect(await t.crm.packet("fill", [insert], ([result]) => result?.affected)).toBe(0);
    expect(await queue(t)).toMatchObject([{ status: "success" }]);
  });
});

describe("rows that somebody else left in processing", () => {
  it("are listed with the seconds since they were written", async () => {
    const [id] = await mailsOf(t, CAMPAIGN, [{ status: "processing", age: 1000_000 }, {}]);
    await mailsOf(t, CAMPAIGN + 1, [{ status: "processing" }]);
    expect(await processingRows(t.crm, [CAMPAIGN], 10)).toEqual([
      { mailId: id, campaignId: CAMPAIGN, age: expect.closeTo(1000, -1) },
    ]);
    expect(await processingRows(t.crm, [], 10)).toEqual([]);
  });

  it("are parked when they are old enough: final, named, and counted for nobody", async () => {
    const epoch = await lead(t.crm);
    const ids = await mailsOf(t, CAMPAIGN, [
      { status: "processing", age: 1000_000, smtpid: 4 },
      { status: "processing", age: 10_000 },
      { status: "success", age: 1000_000 },
    ]);
    expect(await settleForeign(t.crm, epoch, ids, 900, "park", "left by an old sender")).toBe(1);
    expect((await queue(t)).map((row) => [row.status, row.attempt_count, row.error_message])).toEqual([
      ["failed", 5, "[UNKNOWN] left by an old sender"],
      ["processing", 0, null],
      ["success", 0, null],
    ]);
    expect(await t.s2("SELECT mail_id, why, account_id, resolution FROM campaignd_unknown")).toEqual([
      { mail_id: ids[0], why: "left by an old sender", account_id: null, resolution: null },
    ]);
    expect(await t.s2("SELECT * FROM smtp_usage")).toEqual([]);
  });

  it("go back by their attempts where that is wanted", async () => {
    const epoch = await lead(t.crm);
    const ids = await mailsOf(t, CAMPAIGN, [
      { status: "processing", age: 1000_000, attempts: null },
      { status: "processing", age: 1000_000, attempts: 2 },
    ]);
    expect(await settleForeign(t.crm, epoch, ids, 900, "release", "")).toBe(2);
    expect((await queue(t)).map((row) => [row.status, row.attempt_count])).toEqual([
      ["pending", null],
      ["failed", 2],
    ]);
    expect(await settleForeign(t.crm, epoch, [], 900, "release", "")).toBe(0);
  });

  it.each(["park", "release"] as const)(
    "are left alone by a former leader, who may not %s them, nor name them",
    async (how) => {
      const epoch = await lead(t.crm);
      const ids = await mailsOf(t, CAMPAIGN, [{ status: "processing", age: 1000_000 }]);
      const earlier = await queue(t);
      await lead(t.crm);
      expect(await settleForeign(t.crm, epoch, ids, 900, how, "left")).toBe(0);
      expect(await queue(t)).toEqual(earlier);
      expect(await t.s2("SELECT * FROM campaignd_unknown")).toEqual([]);
    },
  );

  it("are not named by a leader that is being replaced at this moment", async () => {
    const epoch = await lead(t.crm);
    const ids = await mailsOf(t, CAMPAIGN, [{ status: "processing", age: 1000_000 }]);
    await beside(sandbox, "UPDATE campaignd_fence SET epoch = epoch + 1", async (query) => {
      const parking = settleForeign(t.crm, epoch, ids, 900, "park", "left");
      await waitsForLock(t, "fence.hold");
      await query("COMMIT");
      expect(await parking).toBe(0);
    });
    expect(await t.s2("SELECT * FROM campaignd_unknown")).toEqual([]);
  });
});
