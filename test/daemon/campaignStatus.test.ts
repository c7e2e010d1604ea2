import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { seconds, systemClock } from "../../src/clock.js";
import { countersOf, expectBooksToAgree, rowsOf, statusOf } from "../support/books.js";
import { aList, aTemplate, someEmails } from "../support/builders.js";
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

/** The monitor's longest interval in these tests, and the time in which a gate closes (contract §2). */
const SOON = seconds(1) + seconds(1);
const slow = (word: string, count: number) => Array.from({ length: count }, (_, i) => `${word}+${i}@x.example`);

/** A campaign of a few seconds that has begun to send. */
async function aCampaignUnderWay(addresses = slow("slow-50ms", 120)) {
  const { campaign } = await aListCampaign(sandbox, { owner, addresses });
  const daemon = await startDaemon(sandbox);
  for (let mails = 0; mails < 5; mails += 1) await daemon.news.next("mail:sent");
  return { campaign, daemon };
}

describe("a campaign that the web application", () => {
  it("pauses gets no dot after one interval and a second; its rows go back, its counters are right, and it resumes", async () => {
    const { campaign, daemon } = await aCampaignUnderWay();
    await sandbox.s1("UPDATE campaign_status SET status = 'paused'");
    const paused = systemClock.now();
    expect(await daemon.news.next("campaign:left")).toMatchObject({ campaignId: campaign });
    await daemon.news.coming("accounts:loaded");
    await daemon.news.coming("accounts:loaded");
    await daemon.news.coming("accounts:loaded");
    const mails = await scene.mails();
    expect(Math.max(...mails.map((mail) => mail.at)) - paused).toBeLessThanOrEqual(SOON);
    const rows = await rowsOf(sandbox, campaign);
    expect(new Set(rows.map((row) => `${row.status} ${row.attempt_count}`))).toEqual(
      new Set(["success 1", "pending 0"]),
    );
    expect(await countersOf(sandbox, campaign)).toEqual([120, mails.length, 0, 120 - mails.length]);
    await expectBooksToAgree(sandbox, mails);

    await sandbox.s1("UPDATE campaign_status SET status = 'running', sent_emails = 0, failed_emails = 0");
    await daemon.news.next("campaign:completed");
    expect((await daemon.term()).code).toBe(0);
    expect(await countersOf(sandbox, campaign)).toEqual([120, 120, 0, 0]);
    await expectBooksToAgree(sandbox, await scene.mails());
    await daemon.assertCleanTermination();
  });

  it("deletes stops likewise, and the daemon goes on with others", async () => {
    const { campaign, daemon } = await aCampaignUnderWay();
    await sandbox.s1("DELETE FROM campaign_status WHERE campaign_id = ?", [campaign]);
    const deleted = systemClock.now();
    await daemon.news.next("campaign:left", (line) => line.campaignId === campaign);
    const other = await aListCampaign(sandbox, { owner, addresses: 5 });
    await daemon.news.next("campaign:completed", (line) => line.campaignId === other.campaign);
    expect((await daemon.term()).code).toBe(0);
    const mails = await scene.mails();
    const own = mails.filter((mail) => mail.messageId.startsWith(`<c${campaign}.`));
    expect(Math.max(...own.map((mail) => mail.at)) - deleted).toBeLessThanOrEqual(SOON);
    const sent = (await rowsOf(sandbox, campaign)).filter((row) => row.status === "success");
    expect(sent).toHaveLength(own.length);
    await daemon.assertCleanTermination();
  });

  it("completes early is counted anew after the last landing, and what is still due is said as an error", async () => {
    const { campaign, daemon } = await aCampaignUnderWay();
    await sandbox.s1(
      "UPDATE campaign_status SET status = 'completed', sent_emails = 1, pending_emails = 0, end_time = NOW()",
    );
    const cut = await daemon.news.next("campaign:cutShort");
    expect(cut).toMatchObject({ campaignId: campaign, level: 50 });
    expect((await daemon.term()).code).toBe(0);
    const sent = (await scene.mails()).length;
    expect(cut.due).toBe(120 - sent);
    expect(await statusOf(sandbox, campaign)).toMatchObject({ status: "completed" });
    expect(await countersOf(sandbox, campaign)).toEqual([120, sent, 0, 120 - sent]);
    await daemon.assertCleanTermination();
  });

  it("zeroes the counters of in mid-campaign has the right ones again at the next look", async () => {
    const { campaign, daemon } = await aCampaignUnderWay();
    await daemon.news.next("campaign:progress", (line) => line.sent > 0);
    await sandbox.s1("UPDATE campaign_status SET sent_emails = 0, failed_emails = 0, pending_emails = total_emails");
    const said = await daemon.news.coming("campaign:progress");
    expect(said.sent).toBeGreaterThan(4);
    const [total = 0, sent = 0, , pending = 0] = await countersOf(sandbox, campaign);
    expect(total).toBe(120);
    expect(sent).toBeGreaterThanOrEqual(said.sent);
    expect(sent + pending).toBe(120);
    expect((await daemon.term()).code).toBe(0);
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("gives another list is filled from that one too", async () => {
    const { campaign, daemon } = await aCampaignUnderWay(slow("slow-50ms", 100));
    const list = await aList(sandbox, { userId: owner });
    await someEmails(sandbox, { list, userId: owner, addresses: slow("ok.new", 20) });
    await sandbox.s1("UPDATE campaign_master SET csv_list_id = ? WHERE campaign_id = ?", [list, campaign]);
    await daemon.news.next("campaign:filled", (line) => line.inserted === 20);
    await daemon.news.next("campaign:completed");
    expect((await daemon.term()).code).toBe(0);
    expect(await countersOf(sandbox, campaign)).toEqual([120, 120, 0, 0]);
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("gives another template sends that one from then on", async () => {
    const { campaign, daemon } = await aCampaignUnderWay();
    const template = await aTemplate(sandbox, { html: "<p>The corrected text of the week</p>" });
    await sandbox.s1("UPDATE campaign_master SET template_id = ? WHERE campaign_id = ?", [template, campaign]);
    const changed = systemClock.now();
    await daemon.news.next("campaign:completed");
    expect((await daemon.term()).code).toBe(0);
    const late = (await scene.mails()).filter((mail) => mail.at > changed + SOON);
    expect(late.length).toBeGreaterThan(10);
    for (const mail of late) expect(mail.raw).toContain("The corrected text of the week");
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("re-opens rows of while it runs has them sent again, and foreign changes reach the counters", async () => {
    const { campaign, daemon } = await aCampaignUnderWay();
    const [first] = await rowsOf(sandbox, campaign);
    await sandbox.s2("UPDATE mail_blaster SET status = 'pending', attempt_count = 0 WHERE id = ?", [first?.id ?? 0]);
    await sandbox.s2(
      "UPDATE mail_blaster SET status = 'failed', attempt_count = 5 WHERE status = 'pending' ORDER BY id DESC LIMIT 10",
    );
    await daemon.news.next("campaign:completed");
    expect((await daemon.term()).code).toBe(0);
    expect(await countersOf(sandbox, campaign)).toEqual([120, 110, 10, 0]);
    const twice = (await scene.mails()).filter((mail) => mail.to[0] === first?.to_mail);
    expect(twice).toHaveLength(2);
  });

  it("starts while the daemon runs is taken up at the next look", async () => {
    const daemon = await startDaemon(sandbox);
    await daemon.news.next("lease:taken");
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 5, status: "pending" });
    await sandbox.s1("UPDATE campaign_status SET status = 'running', total_emails = 5, pending_emails = 5");
    await daemon.news.next("campaign:completed", (line) => line.campaignId === campaign);
    expect((await daemon.term()).code).toBe(0);
    await expectBooksToAgree(sandbox, await scene.mails());
  });
});

describe("a campaign with a doubled status row", () => {
  it("goes by its newest, where the unique key is missing", async () => {
    await sandbox.s1("ALTER TABLE campaign_status DROP KEY unique_campaign_id");
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 5 });
    await sandbox.s1("INSERT INTO campaign_status (campaign_id, status) VALUES (?, 'paused')", [campaign]);
    const other = await aListCampaign(sandbox, { owner, addresses: 5, status: "paused" });
    await sandbox.s1("INSERT INTO campaign_status (campaign_id, status) VALUES (?, 'running')", [other.campaign]);
    const daemon = await startDaemon(sandbox, {}, { args: ["--until-idle"] });
    expect((await daemon.exit).code).toBe(0);
    expect(daemon.news.all("campaign:completed").map((line) => line.campaignId)).toEqual([other.campaign]);
    await until("five mails", async () => (await scene.mails()).length === 5);
  });
});
