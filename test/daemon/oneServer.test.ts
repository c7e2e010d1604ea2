import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { countersOf, expectBooksToAgree, statusOf } from "../support/books.js";
import { aListCampaign, anOwner, freshScene, type Scene } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { strandedOf } from "../support/stranded.js";

let sandbox: Sandbox;
let scene: Scene;

beforeAll(async () => {
  sandbox = await startSandbox({ layout: "one" });
});
afterAll(() => sandbox.stop());
beforeEach(async () => {
  scene = await freshScene(sandbox);
});

describe("both databases on one server", () => {
  it("serve a campaign with retries, failures and a restart as two servers do", async () => {
    const { owner } = await anOwner(sandbox, { accounts: 2 });
    const slow = Array.from({ length: 100 }, (_, i) => `slow-50ms+${i}@x.example`);
    const addresses = [...slow, "greylist-1+one@x.example", "550+one@x.example"];
    const { campaign } = await aListCampaign(sandbox, { owner, addresses });
    const first = await startDaemon(sandbox);
    for (let mails = 0; mails < 20; mails += 1) await first.news.next("mail:sent");
    expect((await first.term()).code).toBe(0);
    await first.assertCleanTermination();
    const second = await startDaemon(sandbox, {}, { args: ["--until-idle"] });
    expect((await second.exit).code).toBe(0);
    await second.assertCleanTermination();
    expect((await statusOf(sandbox, campaign)).status).toBe("completed");
    expect(await countersOf(sandbox, campaign)).toEqual([102, 101, 1, 0]);
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("find its rows again after a kill: what was released is parked, the rest goes out", async () => {
    const { owner } = await anOwner(sandbox);
    const addresses = Array.from({ length: 100 }, (_, i) => `slow-50ms+k${i}@x.example`);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses });
    const first = await startDaemon(sandbox);
    for (let mails = 0; mails < 20; mails += 1) await first.news.next("mail:sent");
    await first.kill();
    const parked = (await strandedOf(sandbox)).released.length;
    const second = await startDaemon(sandbox, {}, { args: ["--until-idle"] });
    expect((await second.exit).code).toBe(0);
    expect(await countersOf(sandbox, campaign)).toEqual([100, 100 - parked, parked, 0]);
    await second.assertCleanTermination();
  });
});
