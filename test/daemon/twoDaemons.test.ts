import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { countersOf, expectBooksToAgree, rowsOf } from "../support/books.js";
import { aListCampaign, anOwner, freshScene, type Scene } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { strandedOf } from "../support/stranded.js";
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

/** Short enough that a test sees it run out. */
const lease = { ttl: "3s", renew: "500ms", timeout: "1s" };
const slow = (word: string, count: number) => Array.from({ length: count }, (_, i) => `${word}+${i}@x.example`);
const elsewhere = async () => ({ lease, stateDir: await mkdtemp(join(sandbox.dir, "state-")) });

/** One daemon that sends a campaign, another with a state directory of its own that stands by. */
async function twoDaemons(addresses: readonly string[]) {
  const { campaign } = await aListCampaign(sandbox, { owner, addresses });
  const first = await startDaemon(sandbox, { lease });
  await first.news.next("mail:sent");
  const second = await startDaemon(sandbox, await elsewhere());
  await second.news.next("lease:standby");
  return { campaign, first, second };
}

describe("a second daemon", () => {
  it("with the same state directory is refused with one line, and the first does not notice", async () => {
    await aListCampaign(sandbox, { owner, addresses: slow("slow-50ms", 60) });
    const first = await startDaemon(sandbox);
    await first.news.next("claim:made");
    const { code, stderr } = await (await startDaemon(sandbox)).exit;
    expect(code).toBe(1);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(/another campaignd already uses stateDir/);
    await first.news.next("campaign:completed");
    expect((await first.term()).code).toBe(0);
    await expectBooksToAgree(sandbox, await scene.mails());
  });

  it("with another stands by, sends nothing, and takes over within the lease after the first was killed", async () => {
    const { campaign, first, second } = await twoDaemons(slow("slow-50ms", 150));
    for (let mails = 0; mails < 10; mails += 1) await first.news.next("mail:sent");
    expect(second.news.all("claim:made")).toEqual([]);
    await first.kill();
    const left = await strandedOf(sandbox);
    await second.news.next("lease:taken", () => true, 6000);
    const parked = left.released.length;
    await second.news.next("campaign:completed");
    expect((await second.term()).code).toBe(0);
    await second.assertCleanTermination();
    expect(await countersOf(sandbox, campaign)).toEqual([150, 150 - parked, parked, 0]);
    const mails = await scene.mails();
    const arrived = new Set(mails.map((mail) => mail.to[0]));
    const unknown = (await rowsOf(sandbox, campaign)).filter((row) => row.error_message?.startsWith("[UNKNOWN]"));
    await expectBooksToAgree(sandbox, mails, { lost: unknown.filter((row) => !arrived.has(row.to_mail)).length });
  });

  it("takes over at once after the first was stopped, and nothing is parked", async () => {
    const { campaign, first, second } = await twoDaemons(slow("slow-50ms", 100));
    expect((await first.term()).code).toBe(0);
    await second.news.next("lease:taken", () => true, 2000);
    await second.news.next("campaign:completed");
    expect((await second.term()).code).toBe(0);
    expect(second.news.all("recovery:done")).toEqual([]);
    expect(await countersOf(sandbox, campaign)).toEqual([100, 100, 0, 0]);
    await expectBooksToAgree(sandbox, await scene.mails());
    await second.assertCleanTermination();
  });

  it("takes over from one that stood still; that one sends no more, ends with 1, and no mail goes out twice", async () => {
    const { campaign, first, second } = await twoDaemons(slow("slow-50ms", 150));
    for (let mails = 0; mails < 10; mails += 1) await first.news.next("mail:sent");
    first.stop();
    await second.news.next("lease:taken", () => true, 6000);
    first.cont();
    expect((await first.exit).code).toBe(1);
    await second.news.next("campaign:completed");
    expect((await second.term()).code).toBe(0);
    await second.assertCleanTermination();
    const mails = await scene.mails();
    const arrived = new Set(mails.map((mail) => mail.to[0]));
    const rows = await rowsOf(sandbox, campaign);
    const unknown = rows.filter((row) => row.error_message?.startsWith("[UNKNOWN]"));
    expect(rows.filter((row) => row.status === "success").length + unknown.length).toBe(150);
    await expectBooksToAgree(sandbox, mails, { lost: unknown.filter((row) => !arrived.has(row.to_mail)).length });
  });

  it("that stood still alone takes its lease again and goes on", async () => {
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: slow("slow-50ms", 100) });
    const daemon = await startDaemon(sandbox, { lease });
    await daemon.news.next("mail:sent");
    daemon.stop();
    await leaseRunsOut();
    daemon.cont();
    await daemon.news.next("lease:taken", (line) => line.retaken);
    await daemon.news.next("campaign:completed");
    expect((await daemon.term()).code).toBe(0);
    expect(await countersOf(sandbox, campaign)).toEqual([100, 100, 0, 0]);
    await expectBooksToAgree(sandbox, await scene.mails());
    await daemon.assertCleanTermination();
  });
});

async function leaseRunsOut(): Promise<void> {
  await until("the lease to run out", async () => {
    const [row] = await sandbox.s2<{ out: number }>(
      "SELECT expires_at < UTC_TIMESTAMP() AS `out` FROM campaignd_lease",
    );
    return row?.out === 1;
  });
}
