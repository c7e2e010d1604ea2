import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { claim, type Wanted } from "../../src/db/claims.js";
import { settle } from "../../src/db/settlements.js";
import { type Recovered, recover } from "../../src/worker/recovery.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { asBefore, lead, type MailStates, mailsOf, queue, type Setup, setup, wanted } from "./setup.js";

const CAMPAIGN = 3;
const HOUR = { date: "2026-11-24", hour: 12, stamp: "2026-11-24 12:30:00" };

let sandbox: Sandbox;
let t: Setup;
let dead: number;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(async () => {
  t = await setup(sandbox);
  dead = await lead(t.crm, "dead");
  return () => t.end();
});
afterAll(() => sandbox.stop());

/** Queues mails in these states and claims them as the daemon that dies next; the first `released` may have been sent. */
async function stranded(states: readonly MailStates[], released: number, name = "1.1") {
  const ids = await mailsOf(t, CAMPAIGN, states);
  const earlier = await queue(t, ids);
  const { rows, accountId } = await wanted(t, ids);
  await claim(t.crm, dead, name, released, rows);
  return { ids, earlier, rows, accountId };
}

/** What the next daemon does before its first claim. */
async function takeOver(): Promise<Recovered> {
  const epoch = await lead(t.crm, "next", "dead");
  return t.crm.transaction("lease.takeOver", (run) => recover(run, epoch, HOUR));
}

const unknowns = () => t.s2<Record<string, unknown>>("SELECT * FROM campaignd_unknown ORDER BY mail_id");

describe("a take-over", () => {
  it("gives back what the dead daemon had not released, as it was before the claim", async () => {
    const { earlier } = await stranded([{ age: 3600_000 }, { status: "failed", attempts: 2, age: 7200_000 }], 0);
    expect(await takeOver()).toEqual({ released: 2, parked: 0, records: 1 });
    const states = (rows: typeof earlier) => rows.map((row) => [row.status, row.attempt_count, row.updated_at]);
    expect(states(await queue(t))).toEqual(states(earlier));
  });

  it("parks what may have been sent: final, named, and counted as sent", async () => {
    const { ids, accountId } = await stranded([{}, {}, {}], 2);
    await t.s2("INSERT INTO campaignd_retry VALUES (?, 3, UTC_TIMESTAMP(), 'greylisted', NULL, UTC_TIMESTAMP())", [
      ids[0] ?? 0,
    ]);
    expect(await takeOver()).toEqual({ released: 1, parked: 2, records: 1 });
    const rows = await queue(t);
    expect(rows.map((row) => [row.status, row.attempt_count])).toEqual([
      ["failed", 5],
      ["failed", 5],
      ["pending", 0],
    ]);
    expect(rows[0]?.error_message).toMatch(/^\[UNKNOWN\] /);
    const named = (id: number | undefined) => ({
      mail_id: id,
      campaign_id: CAMPAIGN,
      account_id: accountId,
      resolution: null,
    });
    expect(await unknowns()).toMatchObject([named(ids[0]), named(ids[1])]);
    expect((await unknowns())[0]?.message_id).toBe(`<c3.m${ids[0]}@sender.example>`);
    expect(await t.s2("SELECT emails_sent, user_id FROM smtp_usage")).toEqual([{ emails_sent: 2, user_id: 7 }]);
    expect(await t.s2("SELECT sent_today FROM smtp_accounts")).toEqual([{ sent_today: 2 }]);
    expect(await t.s2("SELECT * FROM campaignd_retry")).toEqual([]);
  });

  it("leaves nothing to a second one", async () => {
    await stranded([{}, {}], 1);
    await takeOver();
    const rows = await queue(t);
    expect(await takeOver()).toEqual({ released: 0, parked: 0, records: 0 });
    expect(await queue(t)).toEqual(rows);
    expect(await t.s2("SELECT * FROM campaignd_claim")).toEqual([]);
  });

  it("takes a row that two records name as released when either has released it", async () => {
    const { ids, rows } = await stranded([{}, {}], 2);
    const given = rows.map((row) => ({ kind: "released" as const, mailId: row.mailId, before: asBefore(row) }));
    await settle(t.crm, { epoch: dead, seq: 1, rows: given, usage: [], ended: [], batches: [] });
    const again = await wanted(t, ids.slice(0, 1));
    await claim(t.crm, dead, "1.2", 0, again.rows);
    expect(await takeOver()).toEqual({ released: 0, parked: 1, records: 2 });
    expect((await queue(t)).map((row) => row.status)).toEqual(["failed", "pending"]);
  });

  it("leaves rows alone that have their outcome, or that a legacy worker has claimed meanwhile", async () => {
    const { ids, rows } = await stranded([{}, {}, {}], 3);
    const [sent = 0, theirs = 0] = ids;
    await settle(t.crm, {
      epoch: dead,
      seq: 1,
      rows: [{ kind: "sent", mailId: sent }],
      usage: [],
      ended: [],
      batches: [],
    });
    await t.s2("UPDATE mail_blaster SET smtpid = 99 WHERE id = ?", [theirs]);
    expect(await takeOver()).toEqual({ released: 0, parked: 1, records: 1 });
    expect((await queue(t)).map((row) => row.status)).toEqual(["success", "processing", "failed"]);
    expect(rows).toHaveLength(3);
  });

  it("asks anew about a row that was parked and answered before", async () => {
    const { ids } = await stranded([{}], 1);
    await t.s2("INSERT INTO campaignd_unknown VALUES (?, 3, '', NULL, UTC_TIMESTAMP(), 'old', 'resend')", [
      ids[0] ?? 0,
    ]);
    await takeOver();
    expect(await unknowns()).toMatchObject([{ resolution: null, message_id: `<c3.m${ids[0]}@sender.example>` }]);
  });

  it("keeps the entry of a mail that waits for its retry", async () => {
    const { ids } = await stranded([{ status: "failed", attempts: 1 }], 0);
    await t.s2("INSERT INTO campaignd_retry VALUES (?, 3, UTC_TIMESTAMP(), 'greylisted', NULL, UTC_TIMESTAMP())", [
      ids[0] ?? 0,
    ]);
    await takeOver();
    expect(await queue(t)).toMatchObject([{ status: "failed", attempt_count: 1 }]);
    expect(await t.s2("SELECT mail_id FROM campaignd_retry")).toEqual([{ mail_id: ids[0] }]);
  });

  it("is one transaction: nothing of it stays when it fails", async () => {
    const { rows } = await stranded([{}, {}], 1);
    const earlier = await queue(t);
    const epoch = await lead(t.crm, "next", "dead");
    const broken = t.crm.transaction("lease.takeOver", async (run) => {
      await recover(run, epoch, HOUR);
      throw new Error("the server went away");
    });
    await expect(broken).rejects.toThrow("the server went away");
    expect(await queue(t)).toEqual(earlier);
    expect(await unknowns()).toEqual([]);
    expect(await t.s2("SELECT epoch FROM campaignd_claim")).toEqual([{ epoch: dead }]);
    expect(rows).toHaveLength(2);
  });

  it("puts right more rows than one statement takes", async () => {
    const states = Array.from({ length: 600 }, () => ({}));
    const claimed: Wanted[][] = [];
    for (const name of ["1.1", "1.2"]) claimed.push((await stranded(states, 550, name)).rows);
    expect(await takeOver()).toEqual({ released: 100, parked: 1100, records: 2 });
    expect(await t.s2("SELECT status, COUNT(*) AS n FROM mail_blaster GROUP BY status ORDER BY status")).toEqual([
      { status: "pending", n: 100 },
      { status: "failed", n: 1100 },
    ]);
    expect(await t.s2("SELECT SUM(emails_sent) AS n FROM smtp_usage")).toEqual([{ n: "1100" }]);
  });
});
