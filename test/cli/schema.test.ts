import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { SIDE_TABLES } from "../../src/db/sideTables.js";
import { EXIT_CONFIG } from "../../src/errors.js";
import { projectRoot } from "../support/projectRoot.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";

const tables = [...SIDE_TABLES.keys()];

let sandbox: Sandbox;
let asAdministrator: string[];
beforeAll(async () => {
  sandbox = await startSandbox();
  const passwordFile = join(sandbox.dir, "config/root.password");
  await writeFile(passwordFile, `${sandbox.crm.rootPassword}\n`, { mode: 0o600 });
  asAdministrator = ["--user", "root", "--password-file", passwordFile];
});
afterAll(() => sandbox.stop());
beforeEach(() => sandbox.freshDatabases());

/** What `campaignd schema …` says as a process of its own, and its exit code. */
async function schema(...args: string[]) {
  const program = join(projectRoot(), "dist/cli/main.js");
  const child = spawn(process.execPath, [program, "schema", ...args, "--config", sandbox.configFile]);
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { out, err, code: code as number };
}

const dropSideTables = () => sandbox.s2(`DROP TABLE ${tables.join(", ")}`);
const sideTablesThere = async () =>
  (await sandbox.s2("SHOW TABLES LIKE 'campaignd%'")).flatMap((row) => Object.values(row));

describe("schema probe", () => {
  test("finds nothing missing in a complete pair of databases", async () => {
    const { out, err, code } = await schema("probe");
    expect({ err, code }).toEqual({ err: "", code: 0 });
    expect(out).toMatch(/^Server 1 \(email_id\): \d+\.\d+\.\d+/);
    expect(out).toContain("Server 2 (CRM): ");
    expect(out).toContain("campaignd's own tables: ready");
  });

  test("says with exit code 78 that campaignd's own tables are missing, and what creates them", async () => {
    await dropSideTables();
    const { out, code } = await schema("probe");
    expect(code).toBe(EXIT_CONFIG);
    expect(out).toContain("campaignd's own tables: not all there; create them with: campaignd schema apply");
  });

  test("names a column of the web application that is missing", async () => {
    await sandbox.s2("ALTER TABLE mail_blaster DROP COLUMN sent_at");
    const { out, code } = await schema("probe");
    expect(code).toBe(EXIT_CONFIG);
    expect(out).toContain("missing: column mail_blaster.sent_at; nothing is sent without it");
  });

  test("notes an optional index that is missing, and what follows", async () => {
    await sandbox.s2("ALTER TABLE mail_blaster DROP KEY idx_campaign_pending");
    const { out, code } = await schema("probe");
    expect(code).toBe(0);
    expect(out).toContain("note: mail_blaster has no idx_campaign_pending");
  });

  test("answers as JSON on demand", async () => {
    await dropSideTables();
    const { out, code } = await schema("probe", "--json");
    expect(JSON.parse(out)).toMatchObject({
      ready: false,
      emailId: { missing: [] },
      crm: { missing: [], sideTables: "absent", absentSideTables: tables },
    });
    expect(code).toBe(EXIT_CONFIG);
  });
});

describe("schema plan", () => {
  test("prints the DDL of what is missing and changes nothing", async () => {
    await dropSideTables();
    const { out, code } = await schema("plan");
    expect(code).toBe(0);
    for (const table of tables) expect(out).toContain(`CREATE TABLE IF NOT EXISTS ${table} (`);
    expect(await sideTablesThere()).toEqual([]);
  });

  test("advises an index that is missing, as DDL for a person to run", async () => {
    await sandbox.s2("ALTER TABLE mail_blaster DROP KEY idx_campaign_pending");
    const { out } = await schema("plan");
    expect(out).toContain("-- Server 2: advice, never run by campaignd\nALTER TABLE mail_blaster ADD KEY");
  });
});

describe("schema apply", () => {
  test("creates the tables as administrator and prints the GRANTs; then probe is content", async () => {
    await dropSideTables();
    const { out, err, code } = await schema("apply", ...asAdministrator);
    expect({ err, code }).toEqual({ err: "", code: 0 });
    expect(out).toContain(`created ${tables.join(", ")}\n`);
    expect(out).toContain("GRANT SELECT, INSERT, UPDATE ON `CRM`.mail_blaster TO 'campaignd'@'%';");
    expect(new Set(await sideTablesThere())).toEqual(new Set(tables));
    expect(await sandbox.s2("SELECT k, epoch FROM campaignd_fence")).toEqual([{ k: "mail_blaster", epoch: 0 }]);
    expect((await schema("probe")).code).toBe(0);
  });

  test("run twice changes nothing the second time", async () => {
    await dropSideTables();
    await schema("apply", ...asAdministrator);
    await sandbox.s2("UPDATE campaignd_fence SET epoch = 7");
    const { out, code } = await schema("apply", ...asAdministrator);
    expect(code).toBe(0);
    expect(out).toContain("campaignd's own tables are there already\n");
    expect(await sandbox.s2("SELECT k, epoch FROM campaignd_fence")).toEqual([{ k: "mail_blaster", epoch: 7 }]);
  });

  test("creates only what is missing", async () => {
    await sandbox.s2("DROP TABLE campaignd_audit");
    const { out } = await schema("apply", ...asAdministrator);
    expect(out).toContain("created campaignd_audit\n");
  });

  test("says in one line that the daemon's own login may not create tables", async () => {
    await dropSideTables();
    const { err, code } = await schema("apply");
    expect(code).toBe(1);
    expect(err).toMatch(/^campaignd: .*denied.*\n$/);
  });

  test("leaves tables of a newer version alone", async () => {
    await sandbox.s2("UPDATE campaignd_meta SET v = '99' WHERE k = 'schema_version'");
    const { err, code } = await schema("apply", ...asAdministrator);
    expect({ err, code }).toEqual({
      err: "campaignd: campaignd's own tables are of a newer version; nothing was changed\n",
      code: 1,
    });
  });
});
