import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { countersOf, expectBooksToAgree } from "../support/books.js";
import { someEmails } from "../support/builders.js";
import { aListCampaign, anOwner, freshScene, type Scene } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";

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

const slow = (word: string, count: number) => Array.from({ length: count }, (_, i) => `${word}+${i}@x.example`);
const startAgain = () => sandbox.s1("UPDATE campaign_status SET status = 'running'");

describe("a campaign that is started again after its list has grown by two", () => {
  it("having been completed sends to these two, and to nobody twice", async () => {
    const { campaign, list } = await aListCampaign(sandbox, { owner, addresses: 10 });
    const daemon = await startDaemon(sandbox);
    await daemon.news.next("campaign:completed");
    await someEmails(sandbox, { list, userId: owner, addresses: ["ok.late1@x.example", "ok.late2@x.example"] });
    await startAgain();
    expect(await daemon.news.next("campaign:completed")).toMatchObject({ total: 12, sent: 12 });
    expect(daemon.news.all("campaign:filled").map((line) => line.inserted)).toEqual([10, 2]);
    expect((await daemon.term()).code).toBe(0);
    expect(await countersOf(sandbox, campaign)).toEqual([12, 12, 0, 0]);
    await expectBooksToAgree(sandbox, await scene.mails());
    await daemon.assertCleanTermination();
  });

  it("having been paused sends to these two also", async () => {
    const { campaign, list } = await aListCampaign(sandbox, { owner, addresses: slow("slow-50ms", 100) });
    const daemon = await startDaemon(sandbox);
    await daemon.news.next("campaign:filled");
    await daemon.news.next("mail:sent");
    await sandbox.s1("UPDATE campaign_status SET status = 'paused'");
    await daemon.news.next("campaign:left");
    await someEmails(sandbox, { list, userId: owner, addresses: ["ok.late1@x.example", "ok.late2@x.example"] });
    await startAgain();
    expect(await daemon.news.next("campaign:completed")).toMatchObject({ total: 102, sent: 102 });
    expect((await daemon.term()).code).toBe(0);
    expect(await countersOf(sandbox, campaign)).toEqual([102, 102, 0, 0]);
    await expectBooksToAgree(sandbox, await scene.mails());
    await daemon.assertCleanTermination();
  });

  it("having been paused while no daemon ran sends to these two also", async () => {
    const { campaign, list } = await aListCampaign(sandbox, { owner, addresses: slow("slow-50ms", 100) });
    const first = await startDaemon(sandbox);
    await first.news.next("campaign:filled");
    await first.news.next("mail:sent");
    await sandbox.s1("UPDATE campaign_status SET status = 'paused'");
    await first.news.next("campaign:left");
    expect((await first.term()).code).toBe(0);
    await someEmails(sandbox, { list, userId: owner, addresses: ["ok.late1@x.example", "ok.late2@x.example"] });
    await startAgain();
    const second = await startDaemon(sandbox);
    expect(await second.news.next("campaign:completed")).toMatchObject({ total: 102, sent: 102 });
    expect((await second.term()).code).toBe(0);
    expect(await countersOf(sandbox, campaign)).toEqual([102, 102, 0, 0]);
  });
});
