import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { minutes, seconds, systemClock } from "../../src/clock.js";
import { countersOf, expectBooksToAgree, rowsOf, rowTo, statusOf } from "../support/books.js";
import { aMail } from "../support/builders.js";
import { aListCampaign, anOwner, freshScene, type Scene } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { until } from "../support/until.js";

let sandbox: Sandbox;
let scene: Scene;
let owner: number;

beforeAll(async () => {
  sandbox = await startSandbox();
});
afterAll(() => sandbox.stop());
beforeEach(async () => {
  scene = await freshScene(sandbox);
  owner = (await anOwner(sandbox)).owner;
});

/** A dot that the gate let through just before may arrive so much later, on a busy machine. */
const LOG_LAG = 300;
const untilIdle = { args: ["--until-idle"] };

/** A running campaign whose list is empty: its rows are what the test puts into the queue. */
async function aQueuedCampaign(addresses: readonly string[] | number = []): Promise<number> {
  return (await aListCampaign(sandbox, { owner, addresses })).campaign;
}

async function runUntilIdle(settings = {}) {
  const daemon = await startDaemon(sandbox, settings, untilIdle);
  expect((await daemon.exit).code).toBe(0);
  await daemon.assertCleanTermination();
  return daemon;
}

describe("rows in states that production really has", () => {
  it("with an empty or NULL status get their true one: failed for good, or tried again at once", async () => {
    await sandbox.s2(
      "ALTER TABLE mail_blaster MODIFY status ENUM('pending','success','failed','processing') NULL DEFAULT 'pending'",
    );
    const campaign = await aQueuedCampaign();
    const mail = (to: string, row: Partial<Parameters<typeof aMail>[1]>) => aMail(sandbox, { campaign, to, ...row });
    await mail("ok.empty@x.example", { status: "", attempts: 2, error: "connect ETIMEDOUT" });
    await mail("ok.null@x.example", { status: null, attempts: null });
    await mail("ok.spent@x.example", { status: "", attempts: 5, error: "try later" });
    await mail("ok.over@x.example", { status: null, attempts: 9 });
    await mail("ok.refused@x.example", { status: "", attempts: 1, error: "550 5.1.1 No such user" });
    const daemon = await runUntilIdle();
    expect(daemon.news.all("campaign:tallied")).toMatchObject([{ total: 5, healed: 5, adopted: 2 }]);
    expect((await rowsOf(sandbox, campaign)).map((row) => [row.status, row.attempt_count, row.error_message])).toEqual([
      ["success", 3, null],
      ["success", 1, null],
      ["failed", 5, "try later"],
      ["failed", 5, null],
      ["failed", 5, "550 5.1.1 No such user"],
    ]);
    expect(await countersOf(sandbox, campaign)).toEqual([5, 2, 3, 0]);
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("failed with attempts left are adopted and tried at once; spent ones stay as they are", async () => {
    const campaign = await aQueuedCampaign();
    await aMail(sandbox, { campaign, to: "ok.third@x.example", status: "failed", attempts: 2, error: "451 later" });
    await aMail(sandbox, { campaign, to: "ok.never@x.example", status: "failed", attempts: null });
    await aMail(sandbox, { campaign, to: "451+last@x.example", status: "failed", attempts: 4 });
    await aMail(sandbox, {
      campaign,
      to: "ok.spent@x.example",
      status: "failed",
      attempts: 5,
      error: "gone",
      age: minutes(9),
    });
    const [, , , before] = await rowsOf(sandbox, campaign);
    await runUntilIdle();
    const rows = await rowsOf(sandbox, campaign);
    expect(rows.map((row) => [row.status, row.attempt_count])).toEqual([
      ["success", 3],
      ["success", 1],
      ["failed", 5],
      ["failed", 5],
    ]);
    expect(rows[3]).toEqual(before);
    expect(await sandbox.s2("SELECT * FROM campaignd_retry")).toEqual([]);
  });

  it("pending after attempts, without a count, with zero dates or already sent all end right", async () => {
    const campaign = await aQueuedCampaign();
    await aMail(sandbox, { campaign, to: "ok.again@x.example", attempts: 2, error: "451 later" });
    await aMail(sandbox, { campaign, to: "ok.uncounted@x.example", attempts: null });
    const zero = await aMail(sandbox, { campaign, to: "ok.zero@x.example" });
    await sandbox.s2(
      "UPDATE mail_blaster SET updated_at = '0000-00-00', delivery_date = '0000-00-00', delivery_time = '00:00:00' WHERE id = ?",
      [zero],
    );
    await aMail(sandbox, { campaign, to: "ok.done@x.example", status: "success", attempts: 1, accountId: 1 });
    await runUntilIdle();
    expect((await rowsOf(sandbox, campaign)).map((row) => [row.status, row.attempt_count])).toEqual([
      ["success", 3],
      ["success", 1],
      ["success", 1],
      ["success", 1],
    ]);
    expect((await scene.mails()).map((mail) => mail.to[0])).not.toContain("ok.done@x.example");
    expect(await countersOf(sandbox, campaign)).toEqual([4, 4, 0, 0]);
  });

  it("already queued by another are not queued twice, and what is missing is added", async () => {
    const campaign = await aQueuedCampaign(["ok.one@x.example", "ok.two@x.example", "ok.three@x.example"]);
    await aMail(sandbox, { campaign, to: "ok.one@x.example", status: "success", attempts: 1 });
    await aMail(sandbox, { campaign, to: "OK.two@x.example" });
    const daemon = await runUntilIdle();
    expect(daemon.news.all("campaign:filled")).toMatchObject([{ inserted: 1, present: 2 }]);
    expect(await scene.mails()).toHaveLength(2);
    expect(await countersOf(sandbox, campaign)).toEqual([3, 3, 0, 0]);
  });
});

describe("rows that somebody else left in processing", () => {
  it("are parked as unknown once they are stale: named, final, counted in no account's usage", async () => {
    const campaign = await aQueuedCampaign(3);
    const server = { smtpid: 7, accountId: null };
    const stale = await aMail(sandbox, {
      campaign,
      to: "ok.stale@x.example",
      status: "processing",
      age: minutes(16),
      ...server,
    });
    const daemon = await runUntilIdle();
    expect(daemon.news.all("foreign:parked")).toMatchObject([{ campaignId: campaign, rows: 1 }]);
    expect(daemon.news.all("legacy:seen")).toEqual([]);
    const row = await rowTo(sandbox, campaign, "ok.stale@x.example");
    expect(row).toMatchObject({ id: stale, status: "failed", attempt_count: 5 });
    expect(row.error_message).toMatch(/^\[UNKNOWN\] /);
    const unknown = await sandbox.s2("SELECT mail_id, campaign_id, account_id, resolution FROM campaignd_unknown");
    expect(unknown).toEqual([{ mail_id: stale, campaign_id: campaign, account_id: null, resolution: null }]);
    expect(await countersOf(sandbox, campaign)).toEqual([4, 3, 1, 0]);
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("are sent instead where takeover.staleProcessing says release", async () => {
    const campaign = await aQueuedCampaign();
    const common = { campaign, status: "processing", age: minutes(16) } as const;
    await aMail(sandbox, { ...common, to: "ok.first@x.example" });
    await aMail(sandbox, { ...common, to: "ok.second@x.example", attempts: 2 });
    await runUntilIdle({ takeover: { staleProcessing: "release" } });
    expect((await rowsOf(sandbox, campaign)).map((row) => [row.status, row.attempt_count])).toEqual([
      ["success", 1],
      ["success", 3],
    ]);
  });
});

describe("a live legacy sender", () => {
  it("makes every campaign rest until it is quiet: a fresh processing row is its trace", async () => {
    const [campaign, other] = [await aQueuedCampaign(5), await aQueuedCampaign(5)];
    const written = systemClock.now();
    const foreign = await aMail(sandbox, { campaign, to: "ok.theirs@x.example", status: "processing", smtpid: 3 });
    const daemon = await startDaemon(sandbox, { takeover: { quietFor: "3s", staleAfter: "6s" } }, untilIdle);
    const seen = await daemon.news.next("legacy:seen");
    expect(seen.evidence).toMatch(new RegExp(`mail ${foreign} turned processing`));
    const gone = await daemon.news.next("legacy:gone");
    expect(daemon.news.all("claim:made")).toEqual([]);
    expect(await scene.mails()).toEqual([]);
    expect((await statusOf(sandbox, other)).status).toBe("running");
    // The row's time has whole seconds.
    expect(Date.parse(gone.time) - written).toBeGreaterThanOrEqual(seconds(2));
    expect((await daemon.exit).code).toBe(0);
    expect(await scene.mails()).toHaveLength(10);
    expect((await rowTo(sandbox, campaign, "ok.theirs@x.example")).error_message).toMatch(/^\[UNKNOWN\] /);
    await daemon.assertCleanTermination();
  });

  it("that begins in the middle stops everything before another dot; claimed mails go back with their attempts", async () => {
    const campaign = await aQueuedCampaign(Array.from({ length: 30 }, (_, i) => `slow-300ms+${i}@x.example`));
    const daemon = await startDaemon(sandbox, { takeover: { quietFor: "3s", staleAfter: "6s" } });
    await daemon.news.next("mail:sent");
    await aMail(sandbox, { campaign, to: "ok.theirs@x.example", status: "processing", smtpid: 3 });
    const seen = await daemon.news.next("legacy:seen");
    const gone = await daemon.news.next("legacy:gone");
    const [from, upTo] = [Date.parse(seen.time) + LOG_LAG, Date.parse(gone.time)];
    expect((await scene.mails()).filter((mail) => mail.at > from && mail.at < upTo)).toEqual([]);
    const claims = daemon.news.all("claim:made").map((line) => Date.parse(line.time));
    expect(claims.filter((at) => at > from && at < upTo)).toEqual([]);
    await daemon.news.next("campaign:completed");
    expect((await daemon.term()).code).toBe(0);
    expect(await countersOf(sandbox, campaign)).toEqual([31, 30, 1, 0]);
    const sent = (await rowsOf(sandbox, campaign)).filter((row) => row.status === "success");
    expect(new Set(sent.map((row) => row.attempt_count))).toEqual(new Set([1]));
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("shows by a process_pid that changes between two looks, not by an old one", async () => {
    const campaign = await aQueuedCampaign(["slow-2s+a@x.example", "slow-2s+b@x.example", "slow-2s+c@x.example"]);
    await sandbox.s1("UPDATE campaign_status SET process_pid = 4242");
    const daemon = await startDaemon(sandbox);
    await daemon.news.next("claim:made");
    await daemon.news.next("campaign:progress");
    expect(daemon.news.all("legacy:seen")).toEqual([]);
    await sandbox.s1("UPDATE campaign_status SET process_pid = 4243");
    const seen = await daemon.news.next("legacy:seen");
    expect(seen.evidence).toContain(`process_pid of campaign ${campaign} changed from 4242 to 4243`);
    await daemon.news.next("legacy:gone");
    await daemon.news.next("campaign:completed");
    expect(await countersOf(sandbox, campaign)).toEqual([3, 3, 0, 0]);
    expect((await daemon.term()).code).toBe(0);
    await daemon.assertCleanTermination();
  });

  it("does not stop a daemon that is told to go on with takeover.force", async () => {
    const campaign = await aQueuedCampaign(5);
    await aMail(sandbox, { campaign, to: "ok.theirs@x.example", status: "processing", smtpid: 3 });
    const daemon = await startDaemon(sandbox, { takeover: { quietFor: "1m", force: true } });
    await daemon.news.next("legacy:seen");
    await until("the five mails", async () => (await scene.mails()).length === 5);
    expect((await daemon.term()).code).toBe(0);
    // Theirs is left to them.
    expect(await rowTo(sandbox, campaign, "ok.theirs@x.example")).toMatchObject({ status: "processing", smtpid: 3 });
  });

  it("is not mistaken for this daemon's own mails", async () => {
    const campaign = await aQueuedCampaign(Array.from({ length: 12 }, (_, i) => `slow-700ms+${i}@x.example`));
    const daemon = await runUntilIdle();
    expect(daemon.news.all("legacy:seen")).toEqual([]);
    expect(await countersOf(sandbox, campaign)).toEqual([12, 12, 0, 0]);
  });
});
