import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renewLease } from "../../src/db/fence.js";
import { SIDE_ROWS, SIDE_TABLES } from "../../src/db/sideTables.js";
import type { Statement } from "../../src/db/statement.js";
import { type Connected, connected } from "../support/connected.js";
import { projectRoot } from "../support/projectRoot.js";
import { recording } from "../support/recorder.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { askEverything } from "./everyStatement.js";
import { fillScene } from "./scene.js";

/** What neither production server knows, or what the contract leaves out for one of them or for MySQL. */
const NOWHERE: readonly RegExp[] = [
  /\bSKIP\s+LOCKED\b/i,
  /\bNOWAIT\b/i,
  /\bWAIT\s+\d/i,
  /(^|\*\/|[(;])\s*WITH\b/i,
  /\bOVER\s*\(/i,
  /\bRETURNING\b/i,
  /\bJSON(_\w+)?\s*\(/i,
  /\bmax_statement_time\b/i,
  /\bmax_execution_time\b/i,
  /\bSET\s+STATEMENT\b/i,
  /\bAS\s+new\b/i,
  /\bGET_LOCK\s*\(/i,
  /\b(INTERSECT|EXCEPT|LATERAL)\b/i,
  /\bFOR\s+(SHARE|UPDATE\s+OF)\b/i,
  /\bREGEXP_(LIKE|REPLACE|SUBSTR|INSTR)\b/i,
  /\bOFFSET\s+\S+\s+ROWS?\b/i,
  /\bFETCH\s+(FIRST|NEXT)\b/i,
  /\bsql_low_priority_updates\b/i,
  /\b(email_id|CRM)\.\w/i, // the databases may be on two servers: no statement joins them
];

/** What MariaDB 5.5 does not know besides. */
const NOT_ON_SERVER_1: readonly RegExp[] = [
  /\b(NOW|CURTIME|CURRENT_TIMESTAMP|UTC_TIMESTAMP|SYSDATE|DATETIME|TIME|TIMESTAMP)\s*\(\s*\d/i,
  /\b(TO_BASE64|FROM_BASE64|WEIGHT_STRING|DECODE_ORACLE|CHR)\s*\(/i,
  /\bIF\s+(NOT\s+)?EXISTS\b(?!.*\bTABLE\b)/i,
  /\b(NEXT|PREVIOUS)\s+VALUE\s+FOR\b/i,
  /\bGET\s+DIAGNOSTICS\b/i,
  /\bEXPLAIN\s+(UPDATE|DELETE|INSERT|FORMAT)\b/i,
  /\bDATETIME\s+(NOT\s+NULL\s+)?DEFAULT\s+CURRENT_TIMESTAMP\b/i,
];

/** Sent outside of a Database: by the pool to a new or a lost connection, or by the breaker's probe. */
const BY_THE_POOL = [
  "pulse.probe",
  "pulse.readOnly",
  "pulse.write",
  "session.variables",
  "session.setUp",
  "session.kill",
];

let sandbox: Sandbox;
let db: Connected;
const sent: Record<"emailId" | "crm", Statement[]> = { emailId: [], crm: [] };
beforeAll(async () => {
  sandbox = await startSandbox();
  db = connected(sandbox);
  const scene = await fillScene(sandbox, { mails: 2000, emails: 2000, imports: 1000, open: "all" });
  const [emailId, crm] = [recording(db.emailId), recording(db.crm)];
  await askEverything({ emailId: emailId.db, crm: crm.db }, { ...scene, claim: 50 });
  const session = await db.servers.crm.pool.open();
  await renewLease(session, "tester", 30_000, 3000);
  await db.servers.crm.pool.close(session);
  sent.emailId.push(...emailId.parts.map(([statement]) => statement));
  sent.crm.push(...crm.parts.map(([statement]) => statement));
});
afterAll(async () => {
  await db.end();
  await sandbox.stop();
});

describe("the statements of both databases", () => {
  it("are all seen here: what src/db names was really sent", () => {
    const seen = new Set([...sent.emailId, ...sent.crm].map(({ name }) => name));
    const unseen = namesInSource().filter((name) => !seen.has(name));
    expect(unseen.sort()).toEqual([...BY_THE_POOL, "lease.renew"].sort());
  });

  it("have each a name of their own", () => {
    const names = namesInSource();
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  it("carry their names as a leading comment, for the process list and the slow log", () => {
    for (const { name, text } of [...sent.emailId, ...sent.crm]) expect(text.startsWith(`/* ${name} */ `)).toBe(true);
  });

  it("use no word that MariaDB 5.5 on Server 1 lacks", () => {
    expect(offences(sent.emailId, [...NOWHERE, ...NOT_ON_SERVER_1])).toEqual([]);
  });

  it("use no word that MariaDB 10.3 on Server 2 lacks, nor do the side tables and what the pool sends", () => {
    const ddl = [...SIDE_TABLES.values(), ...SIDE_ROWS].map((text) => ({
      name: "schema.apply",
      text,
      prepared: false,
    }));
    const byThePool = [...BY_THE_POOL, "lease.renew"].map((name) => ({ name, text: sourceOf(name), prepared: false }));
    expect(byThePool.filter(({ text }) => text === "")).toEqual([]);
    expect(offences([...sent.crm, ...ddl, ...byThePool], NOWHERE)).toEqual([]);
    expect(offences(byThePool, NOT_ON_SERVER_1)).toEqual([]);
  });

  it("never change the legacy tables' shape, nor delete from them", () => {
    const legacy = /\b(ALTER|DROP|TRUNCATE|CREATE|RENAME)\b|\bDELETE\s+FROM\s+(?!campaignd_)/i;
    expect(offences([...sent.emailId, ...sent.crm], [legacy])).toEqual([]);
  });
});

describe("a write to mail_blaster", () => {
  const writes = () => unique(sent.crm.filter(({ text }) => /\*\/ UPDATE mail_blaster\b/i.test(text)));

  it("joins the fence and so is a present leader's", () => {
    expect(writes().length).toBeGreaterThan(8);
    for (const { name, text } of writes()) {
      expect(text, name).toContain(
        "UPDATE mail_blaster m FORCE INDEX (PRIMARY) JOIN campaignd_fence f ON f.k = ? AND f.epoch = ?",
      );
    }
  });

  it("names its rows by primary key and the state in which it expects them", () => {
    for (const { name, text } of writes()) {
      const where = text.slice(text.lastIndexOf(" WHERE "));
      expect(where, name).toMatch(/m\.id IN \(\?\)|m\.id > \? AND m\.id <= \? AND m\.campaign_id = \?/);
      expect(where, name).toMatch(/m\.status = |m\.status IS NULL/);
    }
  });

  it("never inserts over a row that is there", () => {
    const inserts = unique(sent.crm.filter(({ text }) => /INTO mail_blaster\b/i.test(text)));
    expect(inserts.map(({ name }) => name)).toEqual(["mailBlaster.insert"]);
    for (const { text } of inserts) expect(text).not.toMatch(/ON DUPLICATE KEY|REPLACE/i);
  });
});

describe("a status write to campaign_status", () => {
  it("expects a status", () => {
    const writes = unique(sent.emailId.filter(({ text }) => /UPDATE campaign_status\b/i.test(text)));
    expect(writes.length).toBeGreaterThan(3);
    for (const { name, text } of writes)
      expect(text.slice(text.lastIndexOf(" WHERE ")), name).toMatch(/\bstatus (=|<>) '/);
  });
});

function offences(statements: readonly Statement[], words: readonly RegExp[]): string[] {
  return unique(statements).flatMap(({ name, text }) =>
    words.filter((word) => word.test(text)).map((word) => `${name}: ${word.exec(text)?.[0]}`),
  );
}

/** One of each name; texts of a name differ in how often they repeat a branch. */
function unique(statements: readonly Statement[]): Statement[] {
  return [...new Map(statements.map((statement) => [`${statement.name}/${statement.text}`, statement])).values()];
}

function source(): string {
  const folder = join(projectRoot(), "src/db");
  return readdirSync(folder)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => readFileSync(join(folder, file), "utf8"))
    .join("\n");
}

/** Every name given to statement(), as often as it is given. */
function namesInSource(): string[] {
  return [...source().matchAll(/\bstatement\(\s*"([\w.]+)"/g)].map(([, name = ""]) => name);
}

/** The text that stands behind a name in its call of statement(). */
function sourceOf(name: string): string {
  const text = source();
  const behind = text.slice(text.indexOf(`"${name}"`) + name.length + 2);
  return /^,\s*(`[^`]+`|"[^"]+")/.exec(behind)?.[1] ?? "";
}
