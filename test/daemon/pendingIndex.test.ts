import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { countersOf, rowsOf } from "../support/books.js";
import { aListCampaign, anOwner, freshScene } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";

let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await startSandbox();
});
afterAll(() => sandbox.stop());

const slow = (word: string, count: number) => Array.from({ length: count }, (_, i) => `${word}+${i}@x.example`);

describe("a queue without the index for pending rows", () => {
  it("finds a row behind the cursor that was set to pending by hand", async () => {
    const scene = await freshScene(sandbox);
    const { owner } = await anOwner(sandbox);
    await sandbox.s2("ALTER TABLE mail_blaster DROP INDEX idx_campaign_pending");
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: slow("slow-50ms", 60) });
    const daemon = await startDaemon(sandbox);
    await daemon.news.next("schema:missing", (line) => /idx_campaign_pending/.test(line.what));
    for (let mails = 0; mails < 10; mails += 1) await daemon.news.next("mail:sent");
    const first = (await rowsOf(sandbox, campaign)).find((row) => row.status === "success");
    await sandbox.s2("UPDATE mail_blaster SET status = 'pending', attempt_count = 0 WHERE id = ?", [first?.id ?? 0]);
    expect(await daemon.news.next("campaign:completed")).toMatchObject({ total: 60, sent: 60 });
    expect((await daemon.term()).code).toBe(0);
    expect(await countersOf(sandbox, campaign)).toEqual([60, 60, 0, 0]);
    const mails = await scene.mails();
    expect(mails.filter((mail) => mail.to[0] === first?.to_mail)).toHaveLength(2);
    expect(mails).toHaveLength(61);
    await daemon.assertCleanTermination();
  });
});
