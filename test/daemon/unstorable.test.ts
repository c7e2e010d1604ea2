import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { countersOf, expectBooksToAgree, rowsOf, rowTo } from "../support/books.js";
import { aMail, anAccount, aUser } from "../support/builders.js";
import { aListCampaign, anOwner, freshScene, type Scene } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
import { startRawSmtpServer } from "../support/rawSmtpServer.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";

let sandbox: Sandbox;
let scene: Scene;

beforeAll(async () => {
  sandbox = await startSandbox();
});
afterAll(() => sandbox.stop());
beforeEach(async () => {
  scene = await freshScene(sandbox);
});

async function untilCompleted(settings = {}) {
  const daemon = await startDaemon(sandbox, settings);
  await daemon.news.next("campaign:completed");
  expect((await daemon.term()).code).toBe(0);
  return daemon;
}

/** A campaign of so few mails is claimed a few times; a loop without a pause would claim hundreds of times. */
const FEW_CLAIMS = 15;

/** A server that answers the nth recipient with these words and takes every other. */
async function aServerThatSays(words: string, nth: number) {
  let asked = 0;
  const raw = await startRawSmtpServer({
    acts: {
      RCPT: (socket) => void socket.write(`${++asked === nth ? words : "250 OK"}\r\n`),
      DATA: "354 Go on",
    },
  });
  onTestFinished(() => raw.stop());
  const owner = await aUser(sandbox);
  await anAccount(sandbox, { server: { port: raw.port }, userId: owner });
  return { raw, owner };
}

describe("an outcome whose text the table cannot hold", () => {
  it("is stored in plain ASCII, and keeps no other from being stored", async () => {
    await sandbox.s2("ALTER TABLE mail_blaster MODIFY error_message TEXT CHARACTER SET utf8mb3 NULL");
    const { raw, owner } = await aServerThatSays("550 5.1.1 Nobody here 😀 by that name", 8);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 40 });
    const daemon = await untilCompleted();
    const rows = await rowsOf(sandbox, campaign);
    const [failed, ...others] = rows.filter((row) => row.status !== "success");
    expect(others).toEqual([]);
    expect(failed).toMatchObject({ status: "failed", attempt_count: 5 });
    expect(failed?.error_message).toMatch(/^\[Attempt 1\] \[recipient\] 550 5\.1\.1 Nobody here \?+ by that name$/);
    expect(await countersOf(sandbox, campaign)).toEqual([40, 39, 1, 0]);
    expect(raw.steps.filter((step) => step === "dot")).toHaveLength(39);
    expect(await sandbox.s2("SELECT SUM(emails_sent) AS n FROM smtp_usage")).toMatchObject([{ n: "39" }]);
    await daemon.assertCleanTermination();
  });

  it("for now is due again like any other", async () => {
    await sandbox.s2("ALTER TABLE mail_blaster MODIFY error_message TEXT CHARACTER SET utf8mb3 NULL");
    const { owner } = await aServerThatSays("451 4.3.0 Later 😀", 3);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 10 });
    const daemon = await untilCompleted();
    const attempts = (await rowsOf(sandbox, campaign)).map((row) => `${row.status} ${row.attempt_count}`);
    expect(attempts.sort()).toEqual([...Array.from({ length: 9 }, () => "success 1"), "success 2"]);
    expect(await sandbox.s2("SELECT * FROM campaignd_retry")).toEqual([]);
    await daemon.assertCleanTermination();
  });
});

describe("an address that a table's character set cannot hold", () => {
  const strange = "ok.😀@recipients.example";

  it("ends as invalid when the queue is filled, and the fill goes on", async () => {
    await sandbox.s1("ALTER TABLE unsubscribers MODIFY email VARCHAR(191) CHARACTER SET utf8mb3 NOT NULL");
    await sandbox.s2("ALTER TABLE mail_blaster MODIFY to_mail VARCHAR(255) CHARACTER SET latin1 NULL");
    const { owner } = await anOwner(sandbox);
    const others = Array.from({ length: 30 }, (_, i) => `ok.before${i}@recipients.example`);
    const more = Array.from({ length: 30 }, (_, i) => `ok.behind${i}@recipients.example`);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: [...others, strange, ...more] });
    const daemon = await untilCompleted({ fill: { page: 20 } });
    expect(daemon.news.all("campaign:filled")).toMatchObject([{ inserted: 61, invalid: 1 }]);
    const row = await rowTo(sandbox, campaign, "ok.?@recipients.example");
    expect(row).toMatchObject({ status: "failed", attempt_count: 5 });
    expect(row.error_message).toMatch(/^\[INVALID\] .*character set/);
    expect(await countersOf(sandbox, campaign)).toEqual([61, 60, 1, 0]);
    expect(daemon.news.all("claim:made").length).toBeLessThan(FEW_CLAIMS);
    expect(daemon.news.all("campaign:troubled")).toEqual([]);
    expect(daemon.news.all("db:lost")).toEqual([]);
    await expectBooksToAgree(sandbox, await scene.mails());
    await daemon.assertCleanTermination();
  });

  it("of unsubscribers is in none of its rows: who has unsubscribed gets nothing, the others get their mail", async () => {
    await sandbox.s1("ALTER TABLE unsubscribers MODIFY email VARCHAR(191) CHARACTER SET utf8mb3 NOT NULL");
    await sandbox.s1("INSERT INTO unsubscribers (email) VALUES ('ok.gone@x.example')");
    const { owner } = await anOwner(sandbox);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: [] });
    for (const to of [strange, "ok.gone@x.example", "ok.a@x.example", "ok.b@x.example"])
      await aMail(sandbox, { campaign, to });
    const daemon = await untilCompleted();
    const rows = await rowsOf(sandbox, campaign);
    const states = new Map(rows.map((row) => [row.to_mail, `${row.status} ${row.attempt_count} ${row.error_message}`]));
    expect(states.get("ok.gone@x.example")).toMatch(/^failed 5 \[SUPPRESSED\] unsubscribed/);
    expect(states.get("ok.a@x.example")).toBe("success 1 null");
    expect(states.get("ok.b@x.example")).toBe("success 1 null");
    expect(states.get(strange)).toMatch(/^(success 1 null|failed 5 )/);
    expect(daemon.news.all("claim:made").length).toBeLessThan(FEW_CLAIMS);
    expect(daemon.news.all("mail:released")).toEqual([]);
    await expectBooksToAgree(sandbox, await scene.mails());
    await daemon.assertCleanTermination();
  });
});
