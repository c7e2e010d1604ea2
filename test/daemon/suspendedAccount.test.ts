import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rowTo } from "../support/books.js";
import { aMail } from "../support/builders.js";
import { aListCampaign, anOwner } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { until } from "../support/until.js";

let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await startSandbox();
});
afterAll(() => sandbox.stop());

describe("a suspended account", () => {
  it("is not lifted by a mail that we ourselves refuse, but by the first one that its server takes", async () => {
    const { owner, accounts } = await anOwner(sandbox);
    const [account = 0] = accounts;
    await sandbox.s2(
      `INSERT INTO smtp_health (smtp_id, health, consecutive_failures, suspend_until)
       VALUES (?, 'suspended', 20, NOW() - INTERVAL 1 MINUTE)`,
      [account],
    );
    const health = () =>
      sandbox.s2("SELECT health, consecutive_failures FROM smtp_health WHERE smtp_id = ?", [account]);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: [] });
    await aMail(sandbox, { campaign, to: "nobody at nowhere" });
    const daemon = await startDaemon(sandbox);
    expect(await daemon.news.next("campaign:completed")).toMatchObject({ sent: 0, failed: 1 });
    expect(await rowTo(sandbox, campaign, "nobody at nowhere")).toMatchObject({ status: "failed", attempt_count: 5 });
    await daemon.news.coming("accounts:loaded");
    await daemon.news.coming("accounts:loaded");
    expect(daemon.news.all("account:recovered")).toEqual([]);
    expect(await health()).toEqual([{ health: "suspended", consecutive_failures: 20 }]);

    await aListCampaign(sandbox, { owner, addresses: 1 });
    await daemon.news.next("account:recovered");
    await until("its health in the table", async () => (await health())[0]?.health === "healthy");
    expect((await daemon.term()).code).toBe(0);
    await daemon.assertCleanTermination();
  });
});
