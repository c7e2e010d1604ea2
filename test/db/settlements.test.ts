import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { claim, type Wanted } from "../../src/db/claims.js";
import { type SettleBatch, type Settlement, settle, settled } from "../../src/db/settlements.js";
import { readUsage } from "../../src/db/smtpAccounts.js";
import { aUsage } from "../support/builders.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import {
  asBefore,
  beside,
  failure,
  lead,
  type MailStates,
  mailsOf,
  queue,
  type Setup,
  setup,
  waitsForLock,
  wanted,
} from "./setup.js";

const CAMPAIGN = 3;
const HOUR = { date: "2026-11-24", hour: 12, stamp: "2026-11-24 12:30:00" };

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

/** Queues mails in these states and claims them as one batch named "1.1". */
async function claimed(states: readonly MailStates[]): Promise<{ ids: number[]; rows: Wanted[]; accountId: number }> {
  const ids = await mailsOf(t, CAMPAIGN, states);
  const { rows, accountId } = await wanted(t, ids);
  await claim(t.crm, epoch, "1.1", rows.length, rows);
  return { ids, rows, accountId };
}

function batch(rows: readonly Settlement[], more: Partial<SettleBatch> = {}): SettleBatch {
  return { epoch, seq: 1, rows, usage: [], ended: [], batches: [], ...more };
}

const sent = (mailId: number): Settlement => ({ kind: "sent", mailId });
const retryRows = () =>
  t.s2<{ mail_id: number; class: string; due: number; failing: number }>(
    `SELECT mail_id, class, TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), due_at) AS due,
       TIMESTAMPDIFF(SECOND, first_failed_at, UTC_TIMESTAMP()) AS failing FROM campaignd_retry ORDER BY mail_id`,
  );

function deferred(mailId: number, attempts: number, dueInSeconds = 300): Settlement {
  const retry = { campaignId: CAMPAIGN, dueInSeconds, class: "greylisted", accountId: null };
  return { kind: "failed", mailId, attempts, text: `[Attempt ${attempts}] [greylisted] 451`, retry };
}

function unknown(mailId: number, why = "lost"): Settlement {
  const facts = { campaignId: CAMPAIGN, messageId: `<c3.m${mailId}@sender.example>`, accountId: 5, why };
  return { kind: "unknown", mailId, text: `[UNKNOWN] ${why}`, unknown: facts };
}

describe("a settled mail", () => {
  it("that was sent is a success, one attempt more, without its old error", async () => {
    const { ids } = await claimed([{ error: "[Attempt 1] 451" }, { status: "failed", attempts: 4 }]);
    expect(await settle(t.crm, batch(ids.map(sent)))).toBe(2);
    const rows = await queue(t);
    expect(rows.map((row) => [row.status, row.attempt_count, row.error_message])).toEqual([
      ["success", 1, null],
      ["success", 5, null],
    ]);
    for (const row of rows) expect(row.sent_at).toBe(row.updated_at);
  });

  it("that was deferred waits for its time, and keeps the time of its first failure", async () => {
    const { ids } = await claimed([{}]);
    const [mailId = 0] = ids;
    await settle(t.crm, batch([deferred(mailId, 1)]));
    expect(await queue(t)).toMatchObject([
      { status: "failed", attempt_count: 1, error_message: "[Attempt 1] [greylisted] 451" },
    ]);
    expect(await retryRows()).toEqual([
      { mail_id: mailId, class: "greylisted", due: expect.closeTo(300, -1), failing: 0 },
    ]);

    await t.s2("UPDATE campaignd_retry SET first_failed_at = first_failed_at - INTERVAL 1 HOUR");
    const again = await wanted(t, ids);
    await claim(t.crm, epoch, "1.2", 1, again.rows);
    await settle(t.crm, batch([deferred(mailId, 2, 900)], { seq: 2 }));
    const [row] = await retryRows();
    expect(row?.due).toBeGreaterThan(800);
    expect(row?.failing).toBeGreaterThanOrEqual(3600);
  });

  it("that failed for good has five attempts and no entry any more", async () => {
    const { ids } = await claimed([{ status: "failed", attempts: 1 }]);
    const [mailId = 0] = ids;
    await t.s2("INSERT INTO campaignd_retry VALUES (?, 3, UTC_TIMESTAMP(), 'greylisted', NULL, UTC_TIMESTAMP())", [
      mailId,
    ]);
    const failed: Settlement = { kind: "failed", mailId, attempts: 5, text: "[Attempt 2] [no-mailbox] 550" };
    await settle(t.crm, batch([failed], { ended: [mailId] }));
    expect(await queue(t)).toMatchObject([{ status: "failed", attempt_count: 5, error_message: failed.text }]);
    expect(await retryRows()).toEqual([]);
  });

  it("whose outcome nobody knows is final, named, and an open question again after an older answer", async () => {
    const { ids } = await claimed([{}]);
    const [mailId = 0] = ids;
    await t.s2("INSERT INTO campaignd_unknown VALUES (?, 3, '', NULL, UTC_TIMESTAMP(), 'old', 'resend')", [mailId]);
    await settle(t.crm, batch([unknown(mailId, "x".repeat(400))]));
    expect(await queue(t)).toMatchObject([{ status: "failed", attempt_count: 5 }]);
    const [row] = await t.s2<Record<string, unknown>>("SELECT * FROM campaignd_unknown");
    expect(row).toMatchObject({
      mail_id: mailId,
      message_id: `<c3.m${mailId}@sender.example>`,
      account_id: 5,
      resolution: null,
    });
    expect(String(row?.why)).toHaveLength(255);
  });

  it.each<MailStates & { what: string }>([
    { what: "never tried", age: 3600_000 },
    { what: "without an attempt count", attempts: null, age: 7200_000 },
    { what: "that waits for a retry", status: "failed", attempts: 3, age: 86_400_000 },
  ])("that was released is as it was before the claim, to the second: one $what", async ({ what: _what, ...state }) => {
    const ids = await mailsOf(t, CAMPAIGN, [state]);
    const [earlier] = await queue(t);
    const { rows } = await wanted(t, ids);
    await claim(t.crm, epoch, "1.1", 1, rows);
    await settle(t.crm, batch(rows.map((row) => ({ kind: "released", mailId: row.mailId, before: asBefore(row) }))));
    const [row] = await queue(t);
    expect(row).toMatchObject({
      status: earlier?.status,
      attempt_count: earlier?.attempt_count,
      updated_at: earlier?.updated_at,
    });
  });

  it("that was released gets its zero date back", async () => {
    const ids = await mailsOf(t, CAMPAIGN, [{}]);
    await t.s2("UPDATE mail_blaster SET updated_at = 0");
    const { rows } = await wanted(t, ids);
    await claim(t.crm, epoch, "1.1", 1, rows);
    await settle(t.crm, batch(rows.map((row) => ({ kind: "released", mailId: row.mailId, before: asBefore(row) }))));
    expect(await queue(t)).toMatchObject([{ status: "pending", updated_at: "0000-00-00 00:00:00" }]);
  });

  it("is left alone once it is not processing any more", async () => {
    const { ids } = await claimed([{}, {}]);
    await t.s2("UPDATE mail_blaster SET status = 'failed', attempt_count = 5 WHERE id = ?", [ids[0] ?? 0]);
    expect(await settle(t.crm, batch(ids.map(sent)))).toBe(1);
    expect((await queue(t)).map((row) => row.status)).toEqual(["failed", "success"]);
  });
});

describe("a settled batch", () => {
  const one = (accountId: number, count: number) => [{ ...HOUR, accountId, userId: 7, count }];

  it("adds to usage and counters of its accounts what the limits count", async () => {
    const { ids, accountId } = await claimed([{}, {}, {}]);
    await settle(t.crm, batch(ids.slice(0, 2).map(sent), { usage: one(accountId, 2) }));
    await settle(t.crm, batch(ids.slice(2).map(sent), { seq: 2, usage: one(accountId, 1) }));
    expect(await t.s2("SELECT emails_sent, user_id, hour FROM smtp_usage")).toEqual([
      { emails_sent: 3, user_id: 7, hour: 12 },
    ]);
    expect(await t.s2("SELECT sent_today, total_sent FROM smtp_accounts")).toEqual([{ sent_today: 3, total_sent: 3 }]);
  });

  it("is counted beside what legacy senders wrote without a user", async () => {
    const { ids, accountId } = await claimed([{}]);
    for (let n = 0; n < 3; n += 1) await aUsage(t, { accountId, date: HOUR.date, hour: 12, sent: 1, userId: null });
    await aUsage(t, { accountId, date: HOUR.date, hour: 11, sent: 10, userId: 7 });
    await settle(t.crm, batch(ids.map(sent), { usage: one(accountId, 1) }));
    expect(await readUsage(t.crm, HOUR.date, HOUR.hour)).toEqual(new Map([[accountId, { hour: 4, day: 14 }]]));
  });

  it("takes every kind of outcome of 500 mails at once", async () => {
    const { rows } = await claimed(Array.from({ length: 500 }, () => ({})));
    const kinds = rows.map((row, n): Settlement => {
      const { mailId } = row;
      if (n % 4 === 0) return sent(mailId);
      if (n % 4 === 1) return deferred(mailId, 1);
      return n % 4 === 2 ? unknown(mailId) : { kind: "released", mailId, before: asBefore(row) };
    });
    expect(await settle(t.crm, batch(kinds, { batches: ["1.1"] }))).toBe(500);
    expect(
      await t.s2("SELECT status, attempt_count, COUNT(*) AS n FROM mail_blaster GROUP BY 1, 2 ORDER BY 1, 2"),
    ).toEqual([
      { status: "pending", attempt_count: 0, n: 125 },
      { status: "success", attempt_count: 1, n: 125 },
      { status: "failed", attempt_count: 1, n: 125 },
      { status: "failed", attempt_count: 5, n: 125 },
    ]);
    expect(await t.s2("SELECT * FROM campaignd_claim")).toEqual([]);
  });

  it.each([
    { what: "another daemon leads", kind: "fenced", spoil: () => lead(t.crm), long: false },
    { what: "one of its parts is refused", kind: "row", spoil: () => undefined, long: true },
  ])("is stored as a whole or not at all: nothing when $what", async ({ kind, spoil, long }) => {
    const { ids, rows, accountId } = await claimed([{}, {}, {}, {}]);
    const [a = 0, b = 0, c = 0, d = 0] = ids;
    await spoil();
    const earlier = await queue(t);
    const doubtful = unknown(c);
    if (long && doubtful.kind === "unknown") Object.assign(doubtful.unknown, { messageId: "x".repeat(300) });
    const release: Settlement = { kind: "released", mailId: d, before: asBefore(rows[3] as Wanted) };
    const all = batch([sent(a), deferred(b, 1), doubtful, release], {
      usage: one(accountId, 2),
      ended: [a],
      batches: ["1.1"],
    });
    expect(await failure(settle(t.crm, all))).toBe(kind);
    expect(await queue(t)).toEqual(earlier);
    for (const table of ["smtp_usage", "campaignd_retry", "campaignd_unknown", "campaignd_batch"]) {
      expect(await t.s2(`SELECT * FROM ${table}`), table).toEqual([]);
    }
    expect(await t.s2("SELECT sent_today, total_sent FROM smtp_accounts")).toEqual([{ sent_today: 0, total_sent: 0 }]);
    expect(await t.s2("SELECT batch FROM campaignd_claim")).toEqual([{ batch: "1.1" }]);
    expect(await settled(t.crm, epoch, 1)).toBe(false);
  });
});

describe("after a settle whose answer was lost", () => {
  it("the lane tells that this very batch was stored", async () => {
    const { ids } = await claimed([{}]);
    await settle(t.crm, batch(ids.map(sent), { seq: 8 }));
    expect(await settled(t.crm, epoch, 8)).toBe(true);
    expect(await settled(t.crm, epoch, 9)).toBe(false);
    expect(await settled(t.crm, epoch + 1, 8)).toBe(false);
  });

  it("the lane tells that it never came", async () => {
    expect(await settled(t.crm, epoch, 1)).toBe(false);
  });

  it.each([
    { end: "COMMIT", first: true },
    { end: "ROLLBACK", first: true },
    { end: "COMMIT", first: false },
    { end: "ROLLBACK", first: false },
  ])(
    "the question waits for the lost transaction, which ends with $end (first settle of all: $first)",
    async (ending) => {
      if (!ending.first) await settle(t.crm, batch([], { seq: 1 }));
      const set = `INSERT INTO campaignd_batch VALUES (0, ${epoch}, 2) ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), seq = VALUES(seq)`;
      await beside(sandbox, set, async (query) => {
        const asked = settled(t.crm, epoch, 2);
        await waitsForLock(t, "settle.laneRead");
        await query(ending.end);
        expect(await asked).toBe(ending.end === "COMMIT");
      });
    },
  );
});
