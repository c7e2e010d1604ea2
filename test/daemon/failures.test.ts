import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.js";
import { zonedStamp } from "../../src/zone.js";
import {
  countersOf,
  expectBooksToAgree,
  type QueueRow,
  recipientsOf,
  rowsOf,
  rowTo,
  statusOf,
} from "../support/books.js";
import { anAccount, aUsage, aUser } from "../support/builders.js";
import { aListCampaign, anOwner, freshScene, type Scene } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
import { freePort } from "../support/freePort.js";
import { noonZone } from "../support/noonZone.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { until } from "../support/until.js";

let sandbox: Sandbox;
let scene: Scene;

beforeAll(async () => {
  sandbox = await startSandbox();
});
afterAll(() => sandbox.stop());
beforeEach(async () => {
  scene = await freshScene(sandbox);
});

const untilIdle = { args: ["--until-idle"] };
const outcome = (row: QueueRow) => [row.status, row.attempt_count, row.error_message];

describe("a refusal of the recipient or the content", () => {
  it("for good fails the row at once and no other", async () => {
    const { owner } = await anOwner(sandbox);
    const addresses = [
      "550+a@x.example",
      "553+a@x.example",
      "data-552+a@x.example",
      "data-554+a@x.example",
      "ok.a@x.example",
    ];
    const { campaign } = await aListCampaign(sandbox, { owner, addresses });
    const daemon = await startDaemon(sandbox, {}, untilIdle);
    expect((await daemon.exit).code).toBe(0);
    const rows = await rowsOf(sandbox, campaign);
    expect(rows.map(outcome)).toEqual([
      ["failed", 5, "[Attempt 1] [recipient] 550 5.1.1 No such user here"],
      ["failed", 5, "[Attempt 1] [recipient] 553 5.1.3 Mailbox name not allowed"],
      ["failed", 5, "[Attempt 1] [size] 552 5.3.4 Message too big"],
      ["failed", 5, "[Attempt 1] [content] 554 5.7.1 Message content refused"],
      ["success", 1, null],
    ]);
    expect(await countersOf(sandbox, campaign)).toEqual([5, 1, 4, 0]);
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("for now is tried again when it is due, until it is taken or five attempts are spent", async () => {
    const { owner } = await anOwner(sandbox, { accounts: 2 });
    const addresses = ["451+b@x.example", "greylist-2+b@x.example", "data-450+b@x.example", "ok.b@x.example"];
    const { campaign } = await aListCampaign(sandbox, { owner, addresses });
    const daemon = await startDaemon(sandbox, {}, untilIdle);
    expect((await daemon.exit).code).toBe(0);
    const rows = await rowsOf(sandbox, campaign);
    expect(rows.map(outcome)).toEqual([
      ["failed", 5, "[Attempt 5] [temporary] 451 4.3.0 Local error in processing"],
      ["success", 3, null],
      ["failed", 5, "[Attempt 5] [temporary] 450 4.2.1 Mailbox busy, try again later"],
      ["success", 1, null],
    ]);
    const attempts = daemon.news.all("mail:deferred", (line) => line.mailId === rows[0]?.id);
    expect(attempts.map((line) => [line.attempt, line.dueInMs])).toEqual([1, 2, 3, 4].map((n) => [n, 1000]));
    const times = attempts.map((line) => Date.parse(line.time));
    for (const [i, time] of times.slice(1).entries()) expect(time - (times[i] ?? 0)).toBeGreaterThan(900);
    expect(await sandbox.s2("SELECT * FROM campaignd_retry")).toEqual([]);
    await expectBooksToAgree(sandbox, await scene.mails());
    await daemon.assertCleanTermination();
  });

  it("for now notes its due time with the row, and a restart waits for it", async () => {
    const { owner } = await anOwner(sandbox);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: ["greylist-1+c@x.example"] });
    const settings = { retry: { backoff: ["5m"], jitter: 0.2 } };
    const first = await startDaemon(sandbox, settings);
    await first.news.next("mail:deferred");
    await until("the counters to follow", async () => (await countersOf(sandbox, campaign)).join() === "1,0,0,1");
    expect((await first.term()).code).toBe(0);
    await first.assertCleanTermination();

    const [row] = await rowsOf(sandbox, campaign);
    expect(row && outcome(row)).toEqual(["failed", 1, "[Attempt 1] [greylist] 451 4.7.1 Greylisted, try again later"]);
    const [entry] = await sandbox.s2<{ wait: number; class: string }>(
      "SELECT TIMESTAMPDIFF(SECOND, first_failed_at, due_at) AS wait, class FROM campaignd_retry",
    );
    expect(entry?.class).toBe("greylist");
    expect(entry?.wait).toBeGreaterThanOrEqual(240);
    expect(entry?.wait).toBeLessThanOrEqual(361);

    const second = await startDaemon(sandbox, settings, untilIdle);
    await second.news.next("campaign:tallied", (line) => line.pending === 1 && line.adopted === 0);
    await second.news.next("campaign:filled");
    expect(await scene.mails()).toEqual([]);
    await sandbox.s2("UPDATE campaignd_retry SET due_at = UTC_TIMESTAMP()");
    expect((await second.term()).code).toBe(0);
    const third = await startDaemon(sandbox, settings, untilIdle);
    expect((await third.exit).code).toBe(0);
    expect(await rowsOf(sandbox, campaign)).toMatchObject([{ status: "success", attempt_count: 2 }]);
  });
});

describe("a fault of the account", () => {
  it("of its password suspends it at once, and its mails go through others without an attempt", async () => {
    const { owner, accounts } = await anOwner(sandbox);
    const server = { port: sandbox.smtp.starttlsPort, host: "localhost", encryption: "tls" } as const;
    const wrong = await anAccount(sandbox, { server, email: "auth-fails@sender.example", userId: owner });
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 40 });
    const daemon = await startDaemon(sandbox, {}, untilIdle);
    await daemon.news.next("account:suspended", (line) => line.account === wrong && line.class === "auth");
    expect((await daemon.exit).code).toBe(0);
    const rows = await rowsOf(sandbox, campaign);
    expect(new Set(rows.map((row) => `${row.status} ${row.attempt_count} ${row.smtp_account_id}`))).toEqual(
      new Set([`success 1 ${accounts[0]}`]),
    );
    const [health] = await sandbox.s2(
      `SELECT health, last_error_type, last_error_message, user_id, suspend_until > NOW() + INTERVAL 29 MINUTE AS far,
        suspend_until <= NOW() + INTERVAL 30 MINUTE AS near FROM smtp_health WHERE smtp_id = ?`,
      [wrong],
    );
    expect(health).toMatchObject({
      health: "suspended",
      last_error_type: "auth_failed",
      user_id: owner,
      far: 1,
      near: 1,
    });
    expect(daemon.news.all("account:suspended")).toHaveLength(1);
    expect(await sandbox.s2("SELECT is_active FROM smtp_accounts WHERE id = ?", [wrong])).toEqual([{ is_active: 1 }]);
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("that lasts over a restart is remembered: a suspended account is not tried", async () => {
    const { owner } = await anOwner(sandbox);
    const resting = await anAccount(sandbox, { server: { port: sandbox.smtp.plainPort }, userId: owner });
    await sandbox.s2(
      "INSERT INTO smtp_health (smtp_id, health, consecutive_failures, suspend_until) VALUES (?, 'suspended', 3, NOW() + INTERVAL 10 MINUTE)",
      [resting],
    );
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 20 });
    const daemon = await startDaemon(sandbox, {}, untilIdle);
    expect((await daemon.exit).code).toBe(0);
    expect((await rowsOf(sandbox, campaign)).map((row) => row.smtp_account_id)).not.toContain(resting);
  });

  it("such as a closed port costs no mail an attempt; they wait, say so, and go when it opens", async () => {
    const owner = await aUser(sandbox);
    const port = await freePort();
    const account = await anAccount(sandbox, { server: { port }, userId: owner });
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 5 });
    const daemon = await startDaemon(sandbox, {}, untilIdle);
    await daemon.news.next("account:rested", (line) => line.account === account && line.class === "connect");
    await daemon.news.next("campaign:waiting", (line) => line.campaignId === campaign);
    await daemon.news.next("mail:released");
    const rows = await rowsOf(sandbox, campaign);
    expect(new Set(rows.map((row) => `${row.attempt_count} ${row.error_message}`))).toEqual(new Set(["0 null"]));
    await sandbox.s2("UPDATE smtp_servers SET port = ?", [sandbox.smtp.plainPort]);
    await daemon.news.next("account:recovered", (line) => line.account === account);
    expect((await daemon.exit).code).toBe(0);
    expect(await statusOf(sandbox, campaign)).toMatchObject({ status: "completed", sent_emails: 5 });
    await until("its health to be written", async () => {
      const [health] = await sandbox.s2<{ health: string }>("SELECT health FROM smtp_health");
      return health?.health === "healthy";
    });
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("of its sender address suspends it and blames no mail", async () => {
    const { owner, accounts } = await anOwner(sandbox);
    const server = { port: sandbox.smtp.plainPort };
    const refused = await anAccount(sandbox, { server, email: "mail-550.sales@sender.example", userId: owner });
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 20 });
    const daemon = await startDaemon(sandbox, {}, untilIdle);
    expect((await daemon.exit).code).toBe(0);
    expect(daemon.news.all("account:suspended").map((line) => line.account)).toEqual([refused]);
    for (const row of await rowsOf(sandbox, campaign)) {
      expect(row).toMatchObject({ status: "success", attempt_count: 1, smtp_account_id: accounts[0] });
    }
  });
});

describe("a connection lost", () => {
  it("after the final dot leaves an unknown: parked, listed, counted as used, never sent again", async () => {
    const { owner, accounts } = await anOwner(sandbox);
    const addresses = ["drop-after-dot+d@x.example", "rst-before-250+d@x.example", "lost-after-dot+d@x.example"];
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: [...addresses, "ok.d@x.example"] });
    const daemon = await startDaemon(sandbox, {}, untilIdle);
    expect((await daemon.exit).code).toBe(0);
    const mails = await scene.mails();
    expect(recipientsOf(mails)).toEqual([addresses[0], "ok.d@x.example", addresses[1]]);
    const rows = (await rowsOf(sandbox, campaign)).filter((row) => addresses.includes(row.to_mail));
    for (const row of rows) {
      expect(row).toMatchObject({ status: "failed", attempt_count: 5, sent_at: null });
      expect(row.error_message).toMatch(/^\[UNKNOWN\] /);
    }
    const listed = await sandbox.s2(
      "SELECT mail_id, campaign_id, message_id, account_id, resolution FROM campaignd_unknown",
    );
    const domain = "sender.example";
    expect(listed).toEqual(
      rows.map(({ id }) => ({
        mail_id: id,
        campaign_id: campaign,
        message_id: `<c${campaign}.m${id}@${domain}>`,
        account_id: accounts[0],
        resolution: null,
      })),
    );
    expect(daemon.news.all("campaign:completed")).toMatchObject([{ sent: 1, failed: 3, unknown: 3 }]);
    await expectBooksToAgree(sandbox, mails, { lost: 1 });
    await daemon.assertCleanTermination();
  });

  it("before the final dot is the connection's fault: the mail is not blamed", async () => {
    const { owner } = await anOwner(sandbox, { accounts: 2 });
    const address = "drop-in-data+e@x.example";
    // Larger than all buffers on the way: the server has gone before the dot can go out.
    await writeFile(join(sandbox.dir, "files/large.bin"), randomBytes(12 << 20));
    const addresses = [address, "ok.e@x.example"];
    const { campaign } = await aListCampaign(sandbox, { owner, addresses, attachments: "large.bin" });
    const daemon = await startDaemon(sandbox);
    await daemon.news.next("mail:released", (line) => line.campaignId === campaign);
    await daemon.news.next("mail:sent");
    expect((await daemon.term()).code).toBe(0);
    expect(await rowTo(sandbox, campaign, address)).toMatchObject({ attempt_count: 0, status: "pending" });
    expect((await scene.mails()).map((mail) => mail.to[0])).toEqual(["ok.e@x.example"]);
    await daemon.assertCleanTermination();
  });
});

describe("limits", () => {
  it("of an hour and of a day are met to the unit, the legacy senders' mails included; then the campaign waits and says so", async () => {
    const zone = noonZone();
    const [date = "", time = ""] = zonedStamp(systemClock.now(), zone).split(" ");
    const hour = Number(time.slice(0, 2));
    const owner = await aUser(sandbox);
    const server = { port: sandbox.smtp.plainPort };
    const limited = (row: { hourlyLimit?: number; dailyLimit?: number }) =>
      anAccount(sandbox, { server, userId: owner, ...row });
    const hourly = await limited({ hourlyLimit: 5, dailyLimit: 100 });
    const daily = await limited({ hourlyLimit: 100, dailyLimit: 3 });
    const shared = await limited({ hourlyLimit: 5, dailyLimit: 6 });
    const spent = await limited({ hourlyLimit: 3 });
    // The unique key lets a NULL owner appear beside the owner's own row: both count.
    await aUsage(sandbox, { accountId: shared, date, hour, sent: 1, userId: null });
    await aUsage(sandbox, { accountId: shared, date, hour, sent: 1, userId: owner });
    await aUsage(sandbox, { accountId: shared, date, hour: hour - 1, sent: 2, userId: null });
    await aUsage(sandbox, { accountId: spent, date, hour, sent: 4, userId: 0 });
    const one = await aListCampaign(sandbox, { owner, addresses: 30 });
    const two = await aListCampaign(sandbox, { owner, addresses: 30 });

    const daemon = await startDaemon(sandbox, { legacyZone: zone });
    const waiting = await daemon.news.next("campaign:waiting", (line) => line.campaignId === one.campaign);
    await daemon.news.next("campaign:waiting", (line) => line.campaignId === two.campaign);
    expect(waiting.reason).toContain("limit");
    expect(waiting.seconds).toBeGreaterThan(25 * 60);
    expect(waiting.seconds).toBeLessThanOrEqual(35 * 60);
    await until("the ten mails that fit", async () => (await scene.mails()).length >= 10);
    // A look at the accounts and one at the campaigns later, still no mail more.
    await daemon.news.coming("accounts:loaded");
    await daemon.news.coming("accounts:loaded");
    expect((await daemon.term()).code).toBe(0);

    const sent: Record<number, number> = {};
    for (const row of await sandbox.s2<QueueRow>("SELECT * FROM mail_blaster WHERE status = 'success'")) {
      sent[row.smtp_account_id ?? 0] = (sent[row.smtp_account_id ?? 0] ?? 0) + 1;
    }
    expect(sent).toEqual({ [hourly]: 5, [daily]: 3, [shared]: 2 });
    expect(await scene.mails()).toHaveLength(10);
    const used = await sandbox.s2(
      "SELECT smtp_id, SUM(emails_sent) AS n FROM smtp_usage GROUP BY smtp_id ORDER BY smtp_id",
    );
    expect(used).toEqual([
      { smtp_id: hourly, n: "5" },
      { smtp_id: daily, n: "3" },
      { smtp_id: shared, n: "6" },
      { smtp_id: spent, n: "4" },
    ]);
    const own = await sandbox.s2("SELECT DISTINCT user_id FROM smtp_usage WHERE smtp_id IN (?, ?)", [hourly, daily]);
    expect(own).toEqual([{ user_id: owner }]);
    expect(new Set(daemon.news.all("account:limited").map((line) => line.account))).toEqual(
      new Set([hourly, daily, shared]),
    );
    await daemon.assertCleanTermination();
  });

  it("hold while mails fail, are suppressed or come back: a place is used only by a mail that is gone", async () => {
    const owner = await aUser(sandbox);
    const server = { port: sandbox.smtp.plainPort };
    await anAccount(sandbox, { server, userId: owner, hourlyLimit: 5 });
    const failing = Array.from({ length: 20 }, (_, i) => `550+f${i}@x.example`);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: [...failing, ...oks(5)] });
    const daemon = await startDaemon(sandbox, { legacyZone: noonZone() }, untilIdle);
    expect((await daemon.exit).code).toBe(0);
    expect(await countersOf(sandbox, campaign)).toEqual([25, 5, 20, 0]);
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("that are raised open at the next look", async () => {
    const owner = await aUser(sandbox);
    await anAccount(sandbox, { server: { port: sandbox.smtp.plainPort }, userId: owner, hourlyLimit: 2 });
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 6 });
    const daemon = await startDaemon(sandbox, { legacyZone: noonZone() }, untilIdle);
    await daemon.news.next("campaign:waiting", (line) => line.reason.includes("limit"));
    await sandbox.s2("UPDATE smtp_accounts SET hourly_limit = 0");
    expect((await daemon.exit).code).toBe(0);
    expect(await countersOf(sandbox, campaign)).toEqual([6, 6, 0, 0]);
  });
});

const oks = (count: number) => Array.from({ length: count }, (_, i) => `ok.f${i}@x.example`);
