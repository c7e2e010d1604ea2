import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { probe } from "../../src/db/schema.js";
import { advice, apply, plan } from "../../src/db/schemaApply.js";
import { SCHEMA_VERSION, SIDE_TABLES } from "../../src/db/sideTables.js";
import { aServer } from "../support/builders.js";
import { connected } from "../support/connected.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { failure, lead, type Setup, setup } from "./setup.js";

const tables = [...SIDE_TABLES.keys()];

let sandbox: Sandbox;
let t: Setup;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(async () => {
  t = await setup(sandbox);
  return () => t.end();
});
afterAll(() => sandbox.stop());

describe("a look at the schema", () => {
  it("finds everything in a complete pair of databases", async () => {
    expect(await probe(t.emailId)).toMatchObject({ missing: [] });
    const ready = { missing: [], notes: [], sideTables: "ready", uniqueRecipient: true, pendingIndex: true };
    expect(await probe(t.crm)).toMatchObject(ready);
  });

  it("names each table and column that is missing", async () => {
    await t.s1("DROP TABLE exclude_domains; ALTER TABLE emails DROP COLUMN validation_status");
    await t.s2("DROP TABLE smtp_health; ALTER TABLE mail_blaster DROP COLUMN sent_at");
    expect((await probe(t.emailId)).missing).toEqual(["column emails.validation_status", "table exclude_domains"]);
    expect((await probe(t.crm)).missing).toEqual(["column mail_blaster.sent_at", "table smtp_health"]);
  });

  it("notes on Server 1 what is optional, with what follows", async () => {
    await t.s1("ALTER TABLE campaign_status DROP KEY unique_campaign_id");
    const { notes, missing } = await probe(t.emailId);
    expect(missing).toEqual([]);
    expect(notes.map(({ what }) => what)).toEqual([
      "campaign_status has no unique key on campaign_id",
      "campaign_master has no reply_to",
    ]);
  });

  it("notes on Server 2 the keys that filling and claiming lean on, and advises them", async () => {
    await t.s2("ALTER TABLE mail_blaster DROP KEY unique_campaign_email, DROP KEY idx_campaign_pending");
    const found = await probe(t.crm);
    expect(found).toMatchObject({ missing: [], uniqueRecipient: false, pendingIndex: false });
    expect(found.notes).toHaveLength(2);
    for (const ddl of advice(found)) await t.s2(ddl);
    expect(await probe(t.crm)).toMatchObject({ uniqueRecipient: true, pendingIndex: true, notes: [] });
    expect(advice(await probe(t.crm))).toEqual([]);
  });

  it("is not content with an index of that name over other columns", async () => {
    await t.s2(
      "ALTER TABLE mail_blaster DROP KEY idx_campaign_pending, ADD KEY idx_campaign_pending (campaign_id, status)",
    );
    expect(await probe(t.crm)).toMatchObject({ pendingIndex: false });
  });

  it("lists the servers that may get a login in clear", async () => {
    const clear = await aServer(t, { port: 25, host: "mail.x.example" });
    await aServer(t, { port: 465, encryption: "ssl" });
    await aServer(t, { port: 25, active: false });
    expect((await probe(t.crm)).clearLoginServers).toEqual([`${clear} (mail.x.example:25)`]);
  });

  it.each([
    { found: "older", version: SCHEMA_VERSION - 1 },
    { found: "newer", version: SCHEMA_VERSION + 1 },
  ])("says that the side tables are of a version that is $found", async ({ found, version }) => {
    await t.s2("UPDATE campaignd_meta SET v = ? WHERE k = 'schema_version'", [version]);
    expect((await probe(t.crm)).sideTables).toBe(found);
  });

  it("names the side tables that are missing", async () => {
    await t.s2("DROP TABLE campaignd_retry, campaignd_audit");
    expect(await probe(t.crm)).toMatchObject({
      sideTables: "absent",
      absentSideTables: ["campaignd_retry", "campaignd_audit"],
    });
  });
});

describe("creating the side tables", () => {
  /** Server 2 with a login that may create tables, as `schema apply --user` has it. */
  async function asAdministrator() {
    const passwordFile = join(sandbox.dir, "config/root.password");
    await writeFile(passwordFile, `${sandbox.crm.rootPassword}\n`, { mode: 0o600 });
    return connected({ configFile: await sandbox.config({ servers: { crm: { user: "root", passwordFile } } }) });
  }

  it("makes all of them with their rows from nothing, and the next daemon may lead at once", async () => {
    await t.s2(`DROP TABLE ${tables.join(", ")}`);
    const administrator = await asAdministrator();
    await apply(administrator.crm, (await probe(administrator.crm)).absentSideTables);
    await administrator.end();
    expect(await probe(t.crm)).toMatchObject({ sideTables: "ready", absentSideTables: [] });
    expect(await lead(t.crm)).toBe(1);
  });

  it("changes nothing the second time, whatever they hold", async () => {
    const epoch = await lead(t.crm);
    const held = async () => [
      await t.s2("SELECT * FROM campaignd_lease"),
      await t.s2("SELECT * FROM campaignd_fence"),
      await t.s2("SELECT * FROM campaignd_meta"),
      await t.s2("SHOW CREATE TABLE campaignd_claim"),
    ];
    const earlier = await held();
    const administrator = await asAdministrator();
    for (const absent of [[], tables]) await apply(administrator.crm, absent);
    await administrator.end();
    expect(await held()).toEqual(earlier);
    expect(await lead(t.crm)).toBe(epoch + 1);
  });

  it("plans statements that may run twice and touch no table of the web application", () => {
    for (const ddl of plan(tables)) {
      expect(ddl).toMatch(/^(CREATE TABLE IF NOT EXISTS|INSERT IGNORE INTO) campaignd_/);
    }
  });

  it("is refused to the daemon's own login", async () => {
    await t.s2("DROP TABLE campaignd_audit");
    expect(await failure(apply(t.crm, ["campaignd_audit"]))).toBe("misconfigured");
  });
});
