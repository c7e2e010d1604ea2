import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type HealthNote, readAccounts, readUsage, resetSentToday, writeHealth } from "../../src/db/smtpAccounts.js";
import { anAccount, aServer, aUsage } from "../support/builders.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { lead, type Setup, setup } from "./setup.js";

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

describe("the accounts", () => {
  it("are those that are active on an active server", async () => {
    const [on, off] = [await aServer(t, { port: 25 }), await aServer(t, { port: 25, active: false })];
    const usable = await anAccount(t, { server: on });
    await anAccount(t, { server: on, active: false });
    await anAccount(t, { server: off });
    await anAccount(t, { server: 999 });
    expect((await readAccounts(t.crm)).map((account) => account.id)).toEqual([usable]);
  });

  it("come with what their server says, tidied", async () => {
    const server = await aServer(t, {
      port: 465,
      host: " mail.x.example ",
      encryption: "ssl",
      replyTo: "in@x.example",
    });
    await t.s2("UPDATE smtp_servers SET encryption = 'SSL'");
    await anAccount(t, {
      server,
      email: "a@x.example ",
      fromName: "Sales",
      hourlyLimit: 50,
      dailyLimit: 400,
      userId: 7,
    });
    expect(await readAccounts(t.crm)).toMatchObject([
      {
        email: "a@x.example",
        fromName: "Sales",
        hourlyLimit: 50,
        dailyLimit: 400,
        owner: 7,
        serverId: server,
        host: "mail.x.example",
        port: 465,
        encryption: "ssl",
        replyTo: "in@x.example",
        health: "healthy",
        failures: 0,
        suspendedFor: 0,
      },
    ]);
  });

  it("have no limit where the column is NULL, 0 or below", async () => {
    for (const limit of [null, 0, -1])
      await anAccount(t, { server: { port: 25 }, hourlyLimit: limit, dailyLimit: limit });
    for (const account of await readAccounts(t.crm)) expect(account).toMatchObject({ hourlyLimit: 0, dailyLimit: 0 });
  });

  it("are suspended for as long as Server 2's own clock says", async () => {
    const [now, past] = [await anAccount(t, { server: { port: 25 } }), await anAccount(t, { server: { port: 25 } })];
    const health = (id: number, minutes: number) =>
      t.s2(
        "INSERT INTO smtp_health (smtp_id, health, consecutive_failures, suspend_until) VALUES (?, 'suspended', 20, NOW() + INTERVAL ? MINUTE)",
        [id, minutes],
      );
    await health(now, 10);
    await health(past, -10);
    const accounts = await readAccounts(t.crm);
    expect(accounts[0]).toMatchObject({ health: "suspended", failures: 20, suspendedFor: expect.closeTo(600, -1) });
    expect(accounts[1]?.suspendedFor).toBe(0);
  });
});

describe("usage", () => {
  it("sums an hour and its day over every user, those without one too", async () => {
    const use = (accountId: number, date: string, hour: number, sent: number, userId: number | null) =>
      aUsage(t, { accountId, date, hour, sent, userId });
    await use(1, "2026-11-24", 12, 5, 7);
    await use(1, "2026-11-24", 12, 1, null);
    await use(1, "2026-11-24", 12, 1, null);
    await use(1, "2026-11-24", 11, 20, 0);
    await use(1, "2026-11-23", 12, 100, 7);
    await use(2, "2026-11-24", 3, 9, 7);
    expect(await readUsage(t.crm, "2026-11-24", 12)).toEqual(
      new Map([
        [1, { hour: 7, day: 27 }],
        [2, { hour: 0, day: 9 }],
      ]),
    );
  });
});

describe("an account's health", () => {
  const note = (accountId: number, more: Partial<HealthNote>): HealthNote => ({
    accountId,
    owner: 7,
    failures: 0,
    health: "healthy",
    suspendSeconds: 0,
    succeeded: false,
    failed: false,
    errorType: null,
    errorText: null,
    ...more,
  });
  const health = () => t.s2<Record<string, unknown>>("SELECT * FROM smtp_health ORDER BY smtp_id");

  it("is written for all that changed, with the reason cut to what a person reads", async () => {
    const sick = {
      failures: 20,
      health: "suspended",
      suspendSeconds: 1800,
      failed: true,
      errorType: "auth_failed",
    } as const;
    await writeHealth(t.crm, [note(2, { ...sick, errorText: "x".repeat(900) }), note(1, { succeeded: true })]);
    const [well, ill] = await health();
    expect(well).toMatchObject({
      smtp_id: 1,
      health: "healthy",
      suspend_until: null,
      last_failure_at: null,
      user_id: 7,
    });
    expect(well?.last_success_at).not.toBeNull();
    expect(ill).toMatchObject({
      health: "suspended",
      consecutive_failures: 20,
      last_error_type: "auth_failed",
      last_success_at: null,
    });
    expect(String(ill?.last_error_message)).toHaveLength(500);
  });

  it("keeps the last failure and its reason after a success, and ends the suspension", async () => {
    const sick = {
      failures: 20,
      health: "suspended",
      suspendSeconds: 1800,
      failed: true,
      errorType: "timeout",
      errorText: "slow",
    } as const;
    await writeHealth(t.crm, [note(1, sick)]);
    const [ill] = await health();
    await writeHealth(t.crm, [note(1, { succeeded: true })]);
    expect(await health()).toMatchObject([
      {
        health: "healthy",
        consecutive_failures: 0,
        suspend_until: null,
        last_failure_at: ill?.last_failure_at,
        last_error_type: "timeout",
        last_error_message: "slow",
      },
    ]);
  });
});

describe("sent_today", () => {
  const sentToday = async () => (await t.s2<{ n: number }>("SELECT sent_today AS n FROM smtp_accounts"))[0]?.n;

  it("is zeroed at the turn of a day, once, and not on the first day that is seen", async () => {
    const epoch = await lead(t.crm);
    await anAccount(t, { server: { port: 25 } });
    await t.s2("UPDATE smtp_accounts SET sent_today = 40");
    await resetSentToday(t.crm, epoch, "2026-11-24");
    expect(await sentToday()).toBe(40);
    await resetSentToday(t.crm, epoch, "2026-11-25");
    expect(await sentToday()).toBe(0);
    await t.s2("UPDATE smtp_accounts SET sent_today = 3");
    await resetSentToday(t.crm, epoch, "2026-11-25");
    expect(await sentToday()).toBe(3);
  });

  it("is left alone by a former leader, who does not note the day either", async () => {
    const epoch = await lead(t.crm);
    await anAccount(t, { server: { port: 25 } });
    await resetSentToday(t.crm, epoch, "2026-11-24");
    await t.s2("UPDATE smtp_accounts SET sent_today = 40");
    const next = await lead(t.crm);
    await resetSentToday(t.crm, epoch, "2026-11-25");
    expect(await sentToday()).toBe(40);
    await resetSentToday(t.crm, next, "2026-11-25");
    expect(await sentToday()).toBe(0);
  });
});
