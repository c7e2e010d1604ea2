import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  adoptRecords,
  claim,
  claimStored,
  forgetClaims,
  forgetRecords,
  markReleased,
  moveRecords,
} from "../../src/db/claims.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { beside, failure, lead, mailsOf, queue, type Setup, setup, waitsForLock, wanted } from "./setup.js";

let sandbox: Sandbox;
let t: Setup;
let epoch: number;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(async () => {
  t = await setup(sandbox);
  epoch = await lead(t.crm);
  return () => t.end();
});
afterAll(() => sandbox.stop());

interface RecordRow {
  readonly batch: string;
  readonly epoch: number;
  readonly released: number;
  readonly ids: string;
}
const records = () => t.s2<RecordRow>("SELECT * FROM campaignd_claim ORDER BY batch");

describe("a claim", () => {
  it("takes all its rows and says in its record how they were", async () => {
    const ids = await mailsOf(t, 1, [{}, {}, { status: "failed", attempts: 2, age: 60_000 }]);
    const { accountId, rows } = await wanted(t, ids);
    await claim(t.crm, epoch, "1.1", 2, rows);
    const claimed = { status: "processing", smtpid: accountId, smtp_account_id: accountId };
    const found = await queue(t);
    expect(found.map((row) => row.attempt_count)).toEqual([0, 0, 2]);
    for (const row of found) expect(row).toMatchObject({ ...claimed, smtp_email: `sales.${ids[0]}@sender.example` });
    for (const row of found) expect(row.delivery_date).not.toBe("2026-11-20");
    expect(await records()).toEqual([
      { batch: "1.1", epoch, released: 2, ids: rows.map((r) => `${r.mailId}:${r.status}:${r.updatedAt}`).join(",") },
    ]);
  });

  it("shares one batch among several accounts", async () => {
    const ids = await mailsOf(t, 1, [{}, {}]);
    const [first, second] = [await wanted(t, ids.slice(0, 1)), await wanted(t, ids.slice(1))];
    await claim(t.crm, epoch, "1.1", 0, [...first.rows, ...second.rows]);
    expect((await queue(t)).map((row) => row.smtpid)).toEqual([first.accountId, second.accountId]);
  });

  it("takes rows without an attempt count too", async () => {
    const { rows } = await wanted(t, await mailsOf(t, 1, [{ attempts: null }, {}]));
    await claim(t.crm, epoch, "1.1", 0, rows);
    expect((await queue(t)).map((row) => [row.status, row.attempt_count])).toEqual([
      ["processing", null],
      ["processing", 0],
    ]);
  });

  it.each([
    { what: "was claimed by somebody else", sql: "UPDATE mail_blaster SET status = 'processing' WHERE id = ?" },
    { what: "has another attempt count", sql: "UPDATE mail_blaster SET attempt_count = 1 WHERE id = ?" },
    { what: "is gone", sql: "DELETE FROM mail_blaster WHERE id = ?" },
  ])("takes nothing when one of its rows $what", async ({ sql }) => {
    const ids = await mailsOf(t, 1, [{ age: 60_000 }, { age: 60_000 }, { age: 60_000 }]);
    const { rows } = await wanted(t, ids);
    await t.s2(sql, [ids[1] ?? 0]);
    const earlier = await queue(t);
    await expect(claim(t.crm, epoch, "1.1", 3, rows)).rejects.toMatchObject({ kind: "row", facts: { won: 2 } });
    expect(await queue(t)).toEqual(earlier);
    expect(await records()).toEqual([]);
  });

  it("takes nothing under an epoch that has passed", async () => {
    const { rows } = await wanted(t, await mailsOf(t, 1, [{}, {}]));
    await lead(t.crm);
    expect(await failure(claim(t.crm, epoch, "1.1", 2, rows))).toBe("fenced");
    expect((await queue(t)).map((row) => row.status)).toEqual(["pending", "pending"]);
    expect(await records()).toEqual([]);
  });

  it("waits for a take-over that is under way, and then is refused", async () => {
    const { rows } = await wanted(t, await mailsOf(t, 1, [{}]));
    await beside(sandbox, "UPDATE campaignd_fence SET epoch = epoch + 1", async (query) => {
      const claiming = failure(claim(t.crm, epoch, "1.1", 1, rows));
      await waitsForLock(t, "claim.record");
      await query("COMMIT");
      expect(await claiming).toBe("fenced");
    });
  });
});

describe("the released mark", () => {
  it("moves ahead under the present epoch", async () => {
    const { rows } = await wanted(t, await mailsOf(t, 1, [{}, {}]));
    await claim(t.crm, epoch, "1.1", 0, rows);
    await markReleased(t.crm, epoch, "1.1", 2);
    expect(await records()).toMatchObject([{ released: 2 }]);
  });

  it("does not move once another daemon has made the record its own", async () => {
    const { rows } = await wanted(t, await mailsOf(t, 1, [{}, {}]));
    await claim(t.crm, epoch, "1.1", 0, rows);
    const next = await lead(t.crm);
    await t.crm.transaction("take over", (run) => moveRecords(run, next));
    expect(await failure(markReleased(t.crm, epoch, "1.1", 2))).toBe("fenced");
    expect(await records()).toMatchObject([{ released: 0, epoch: next }]);
  });
});

describe("after a claim whose answer was lost", () => {
  it("its record says that it stands", async () => {
    const { rows } = await wanted(t, await mailsOf(t, 1, [{}]));
    await claim(t.crm, epoch, "1.1", 0, rows);
    expect(await claimStored(t.crm, "1.1")).toBe(true);
    expect(await records()).toHaveLength(1);
  });

  it("the missing record says that it never came, and nothing is left of the question", async () => {
    expect(await claimStored(t.crm, "1.1")).toBe(false);
    expect(await records()).toEqual([]);
  });

  it.each([
    { end: "COMMIT", stands: true },
    { end: "ROLLBACK", stands: false },
  ])("the question waits for the lost transaction, which ends with $end", async ({ end, stands }) => {
    const insert = "INSERT INTO campaignd_claim (batch, epoch, released, ids) VALUES ('1.1', 1, 1, '5:pending:9')";
    await beside(sandbox, insert, async (query) => {
      const asked = claimStored(t.crm, "1.1");
      await waitsForLock(t, "claim.tombstone");
      await query(end);
      expect(await asked).toBe(stands);
    });
  });
});

describe("claim records", () => {
  beforeEach(async () => {
    const { rows } = await wanted(t, await mailsOf(t, 1, [{ age: 60_000 }, { status: "failed", attempts: 1 }]));
    await claim(t.crm, epoch, "1.1", 1, rows);
  });

  it("are read back at a take-over as they were written, and are the taker's then", async () => {
    const written = (await records())[0]?.ids.split(",") ?? [];
    const next = await lead(t.crm);
    const adopted = await t.crm.transaction("take over", (run) => adoptRecords(run, next));
    const rows = written.map((entry) => {
      const [mailId, status, updatedAt] = entry.split(":");
      return { mailId: Number(mailId), status, updatedAt: Number(updatedAt) };
    });
    expect(adopted).toEqual([{ batch: "1.1", released: 1, rows }]);
    expect(await records()).toMatchObject([{ epoch: next }]);
  });

  it("are forgotten by their owner alone", async () => {
    await t.crm.packet("forget", [forgetClaims(["1.1"], epoch - 1)], () => undefined);
    expect(await records()).toHaveLength(1);
    await t.crm.packet("forget", [forgetClaims(["1.1"], epoch)], () => undefined);
    expect(await records()).toEqual([]);
  });

  it("are forgotten together at the end of a take-over", async () => {
    await t.crm.transaction("forget", (run) => forgetRecords(run, epoch));
    expect(await records()).toEqual([]);
  });
});
