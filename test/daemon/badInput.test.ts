import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { simpleParser } from "mailparser";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { expectBooksToAgree, recipientsOf, rowsOf, statusOf } from "../support/books.js";
import { aCampaign, anImport, aTemplate } from "../support/builders.js";
import { aListCampaign, anOwner, freshScene, type Scene } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import type { SandboxSettings } from "../support/sandboxConfig.js";

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
/** Whoever waits for a connection learns sooner that none comes. */
const impatient = { pool: { acquireTimeout: "1s" } };

/** Starts the daemon in vain; returns the one line that it says. */
async function refusal(overrides: SandboxSettings = {}): Promise<string> {
  const daemon = await startDaemon(sandbox, { ...impatient, ...overrides });
  const { code, stderr } = await daemon.exit;
  expect(stderr.trim().split("\n"), stderr).toHaveLength(1);
  expect(code, stderr).toBe(78);
  return stderr.trim();
}

describe("a start that no waiting mends exits 78 with one line that says what to do", () => {
  it("for a setting that does not exist", async () => {
    expect(await refusal({ monitor: { farr: "3s" } })).toMatch(/monitor\.farr.*did you mean.*far/i);
  });

  it("for a value that a setting cannot have", async () => {
    expect(await refusal({ retry: { backoff: "soon" } })).toContain("retry.backoff");
  });

  it.each(["emailId", "crm"])("for a wrong password of servers.%s, which is not shown", async (name) => {
    const passwordFile = join(sandbox.dir, `config/wrong-${name}`);
    await writeFile(passwordFile, "not-the-password\n", { mode: 0o600 });
    const line = await refusal({ servers: { [name]: { passwordFile } } });
    expect(line).toMatch(new RegExp(`servers\\.${name}.*(denied|refuse).*password`, "i"));
    expect(line).not.toContain("not-the-password");
  });

  it("for a database that is not there", async () => {
    expect(await refusal({ servers: { crm: { database: "NOWHERE" } } })).toMatch(/servers\.crm.*NOWHERE.*database/);
  });

  it("for a missing table", async () => {
    await sandbox.s2("DROP TABLE smtp_usage");
    expect(await refusal()).toMatch(/servers\.crm.*smtp_usage.*missing/);
  });

  it("for a missing column", async () => {
    await sandbox.s1("ALTER TABLE campaign_status DROP COLUMN failed_emails");
    expect(await refusal()).toMatch(/servers\.emailId.*failed_emails.*missing/);
  });

  it("for missing tables of its own", async () => {
    await sandbox.s2("DROP TABLE campaignd_claim");
    expect(await refusal()).toMatch(/campaignd_claim.*campaignd schema apply/);
  });

  it("for tables of its own that a later version made", async () => {
    await sandbox.s2("UPDATE campaignd_meta SET v = '999' WHERE k = 'schema_version'");
    expect(await refusal()).toMatch(/newer version/);
  });

  it("for a state directory that is not there", async () => {
    const stateDir = join(sandbox.dir, "no-such-folder");
    expect(await refusal({ stateDir })).toMatch(/stateDir .*no-such-folder.*mkdir/);
  });
});

describe("a server that cannot be reached at start", () => {
  it.each(["emailId", "crm"] as const)("(%s) is waited for; the campaign goes out when it comes up", async (name) => {
    const { owner } = await anOwner(sandbox);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 10 });
    await sandbox[name].stop();
    try {
      const daemon = await startDaemon(sandbox, impatient, untilIdle);
      const said = await daemon.news.next("db:waiting", (line) => line.server === name);
      expect(said.err).toMatch(/ECONNREFUSED/);
      await sandbox[name].restart();
      await daemon.news.next("db:connected", (line) => line.server === name);
      expect((await daemon.exit).code).toBe(0);
      expect(await statusOf(sandbox, campaign)).toMatchObject({ status: "completed", sent_emails: 10 });
      await expectBooksToAgree(sandbox, await scene.mails());
    } finally {
      await sandbox[name].restart();
    }
  });

  it("does not keep the daemon from ending at a signal", async () => {
    await sandbox.crm.stop();
    try {
      const daemon = await startDaemon(sandbox, impatient);
      await daemon.news.next("db:waiting");
      expect((await daemon.term()).code).toBe(0);
    } finally {
      await sandbox.crm.restart();
    }
  });
});

describe("a campaign that lacks something is paused before its first mail, with the reason, and no other suffers", () => {
  const cases: Record<string, { make: (owner: number) => Promise<number>; reason: RegExp }> = {
    "an attachment": {
      make: async (owner) => (await aListCampaign(sandbox, { owner, addresses: 5, attachments: "gone.pdf" })).campaign,
      reason: /gone\.pdf.*not found/,
    },
    "an inline image": {
      make: async (owner) =>
        (await aListCampaign(sandbox, { owner, addresses: 5, body: `<p>See:</p><img src="uploads/gone.png">` }))
          .campaign,
      reason: /gone\.png.*not found/,
    },
    "a file inside the roots": {
      make: async (owner) =>
        (await aListCampaign(sandbox, { owner, addresses: 5, attachments: "/etc/passwd" })).campaign,
      reason: /\/etc\/passwd.*outside/,
    },
    "its template": {
      make: (owner) => aCampaign(sandbox, { template: 999, userId: owner }),
      reason: /template 999 is missing/,
    },
    "an active template": {
      make: async (owner) => {
        const template = await aTemplate(sandbox, { html: "<p>Here is the news</p>", active: false });
        return aCampaign(sandbox, { template, userId: owner });
      },
      reason: /template \d+ is missing or switched off/,
    },
    "a body": {
      make: async (owner) => (await aListCampaign(sandbox, { owner, addresses: 5, body: " " })).campaign,
      reason: /no body/,
    },
    "its list": { make: (owner) => aCampaign(sandbox, { list: 999, userId: owner }), reason: /list 999/ },
    "its import batch": { make: (owner) => aCampaign(sandbox, { batch: "nix", userId: owner }), reason: /batch nix/ },
    "owner, list and batch": { make: () => aCampaign(sandbox, {}), reason: /neither owner, list nor import batch/ },
    "its row in campaign_master": {
      make: async (owner) => {
        const { campaign } = await aListCampaign(sandbox, { owner, addresses: 5 });
        await sandbox.s1("DELETE FROM campaign_master WHERE campaign_id = ?", [campaign]);
        return campaign;
      },
      reason: /no row in campaign_master/,
    },
  };

  it.each(Object.entries(cases))("%s", async (_, { make, reason }) => {
    const { owner } = await anOwner(sandbox);
    const bad = await make(owner);
    const good = await aListCampaign(sandbox, { owner, addresses: 10 });
    const daemon = await startDaemon(sandbox, {}, untilIdle);
    expect((await daemon.news.next("campaign:held", (line) => line.campaignId === bad)).reason).toMatch(reason);
    expect((await daemon.exit).code).toBe(0);
    expect((await statusOf(sandbox, bad)).status).toBe("paused");
    const [note] = await sandbox.s2<{ hold_reason: string }>(
      "SELECT hold_reason FROM campaignd_campaign WHERE campaign_id = ?",
      [bad],
    );
    expect(note?.hold_reason).toMatch(reason);
    for (const row of await rowsOf(sandbox, bad)) expect(row).toMatchObject({ status: "pending", attempt_count: 0 });
    expect(await statusOf(sandbox, good.campaign)).toMatchObject({ status: "completed", sent_emails: 10 });
    expect(await scene.mails()).toHaveLength(10);
    expect(daemon.news.all("campaign:held")).toHaveLength(1);
  });

  it("goes on once that is there and the campaign is resumed", async () => {
    const { owner } = await anOwner(sandbox);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 5, attachments: "late.txt" });
    const daemon = await startDaemon(sandbox);
    await daemon.news.next("campaign:held");
    await writeFile(join(sandbox.dir, "files/late.txt"), "here it is");
    await sandbox.s1("UPDATE campaign_status SET status = 'running'");
    await daemon.news.next("campaign:completed");
    expect((await daemon.term()).code).toBe(0);
    const [mail] = await scene.mails();
    expect((await simpleParser(Buffer.from(mail?.raw ?? "", "latin1"))).attachments[0]?.content.toString()).toBe(
      "here it is",
    );
    expect(await sandbox.s2("SELECT hold_reason FROM campaignd_campaign WHERE campaign_id = ?", [campaign])).toEqual([
      { hold_reason: null },
    ]);
  });
});

describe("a recipient that cannot be written to", () => {
  it("ends as failed with the reason, whatever it is, and every other mail goes out", async () => {
    const { owner } = await anOwner(sandbox);
    const bad: Record<string, RegExp> = {
      "a@b.example, c@d.example": /space|more than one/,
      "ok.nul\0@x.example": /control/,
      "ok.crlf@x.example\r\nBcc: all@x.example": /line break/,
      [`ok.${"l".repeat(300)}@x.example`]: /64 octets|254/,
      nobody: /no @/,
      "ok.two@@x.example": /more than one @/,
      '"quoted"@x.example': /quoted/,
      "<ok.angle@x.example>": /angle/,
      "ok@localhost": /dot/,
    };
    const good = ["ok.first@x.example", "ok.ümlaut@x.example", "ok.last@bücher.example"];
    for (const address of [good[0] ?? "", ...Object.keys(bad), ...good.slice(1)]) {
      await anImport(sandbox, { batch: "bad", address, userId: owner });
    }
    await anImport(sandbox, { batch: "bad", address: "", userId: owner });
    await anImport(sandbox, { batch: "bad", address: null, userId: owner });
    const campaign = await aCampaign(sandbox, { batch: "bad", userId: owner });
    const daemon = await startDaemon(sandbox, {}, untilIdle);
    const filled = await daemon.news.next("campaign:filled");
    expect((await daemon.exit).code).toBe(0);

    const rows = await rowsOf(sandbox, campaign);
    const invalid = rows.filter((row) => row.error_message?.startsWith("[INVALID]"));
    for (const row of invalid) expect(row).toMatchObject({ status: "failed", attempt_count: 5, smtpid: 0 });
    for (const reason of Object.values(bad)) expect(invalid.map((row) => row.error_message).join("\n")).toMatch(reason);
    expect(filled).toMatchObject({ inserted: 12, invalid: 9 });
    const mails = await scene.mails();
    expect(recipientsOf(mails)).toEqual([...good].sort());
    expect(await statusOf(sandbox, campaign)).toMatchObject({ status: "completed", sent_emails: 3, failed_emails: 9 });
    await expectBooksToAgree(sandbox, mails);
  });

  it("among rows that others queued ends the same way", async () => {
    const { owner } = await anOwner(sandbox);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 3 });
    for (const to of ["x@y, z@y", "nul\0@x.example", ""]) {
      await sandbox.s2(
        "INSERT INTO mail_blaster (campaign_id, to_mail, smtpid, delivery_date, delivery_time) VALUES (?, ?, 0, CURDATE(), CURTIME())",
        [campaign, to],
      );
    }
    const nobody =
      "INSERT INTO mail_blaster (campaign_id, smtpid, delivery_date, delivery_time) VALUES (?, 0, CURDATE(), CURTIME())";
    await sandbox.s2(nobody, [campaign]);
    const daemon = await startDaemon(sandbox, {}, untilIdle);
    expect((await daemon.exit).code).toBe(0);
    const rows = await rowsOf(sandbox, campaign);
    for (const row of rows.slice(0, 4)) {
      expect(row).toMatchObject({ status: "failed", attempt_count: 5 });
      expect(row.error_message).toMatch(/^\[Attempt 1\] \[address\] /);
    }
    expect(await scene.mails()).toHaveLength(3);
  });

  it("twice under the database's collation is queued once and counted", async () => {
    const { owner } = await anOwner(sandbox);
    const addresses = ["ok.same@x.example", "OK.same@x.example", "ok.sàme@x.example", " ok.same@x.example "];
    const { campaign } = await aListCampaign(sandbox, { owner, addresses });
    const daemon = await startDaemon(sandbox, {}, untilIdle);
    expect(await daemon.news.next("campaign:filled")).toMatchObject({ inserted: 1, collisions: 3 });
    expect((await daemon.exit).code).toBe(0);
    expect((await rowsOf(sandbox, campaign)).map((row) => row.to_mail)).toEqual(["ok.same@x.example"]);
  });
});

describe("odd values in a recipient's fields", () => {
  it("reach the mail as harmless text: no header, markup or character of control comes of them", async () => {
    const { owner } = await anOwner(sandbox);
    const subject = "Dear [[Name]], [[Price]]";
    const template = await aTemplate(sandbox, { html: "<p>[[Name]] owes [[Price]] + [[Tax]] = [[NetPrice]]</p>" });
    const row = (address: string, columns: Record<string, string>, extra?: string) =>
      anImport(sandbox, { batch: "odd", address, columns, userId: owner, ...(extra === undefined ? {} : { extra }) });
    await row("ok.crlf@x.example", { BilledName: "Eve\r\nBcc: all@x.example", Price: "a lot" });
    await row("ok.nul@x.example", { BilledName: "N\0U\u0007L", Price: "1,2,3.4.5" });
    await row("ok.html@x.example", { BilledName: "<script>x</script>", Price: "-∞" }, "{not json");
    await row("ok.null@x.example", {});
    const campaign = await aCampaign(sandbox, { batch: "odd", template, subject, userId: owner });
    const daemon = await startDaemon(sandbox, {}, untilIdle);
    expect((await daemon.exit).code).toBe(0);
    const mails = await scene.mails();
    const read = async (to: string) =>
      simpleParser(Buffer.from(mails.find((mail) => mail.to[0] === to)?.raw ?? "", "latin1"));
    expect(await statusOf(sandbox, campaign)).toMatchObject({ status: "completed", sent_emails: 4 });
    const crlf = await read("ok.crlf@x.example");
    expect(crlf.subject).toBe("Dear Eve Bcc: all@x.example, a lot");
    expect(crlf.headers.has("bcc")).toBe(false);
    expect((await read("ok.nul@x.example")).subject).toBe("Dear NUL, 1,2,3.4.5");
    expect((await read("ok.html@x.example")).html).toContain("&lt;script&gt;x&lt;/script&gt; owes -∞");
    expect((await read("ok.null@x.example")).subject).toMatch(/^Dear/);
    await expectBooksToAgree(sandbox, mails);
  });
});
