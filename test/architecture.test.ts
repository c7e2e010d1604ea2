import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import { describe, expect, test } from "vitest";

const MAX_LINES = 220;
const NAMELESS = /^(utils?|helpers?|common|types?|misc|index)$/;

/** Where each dependency may be imported: one place, so that replacing it is one file's work. Paths are relative to src/. */
const HOMES: Readonly<Record<string, RegExp>> = {
  commander: /^cli\//,
  "generic-pool": /^pool\//,
  "html-to-text": /^campaign\/text\.ts$/,
  "lru-cache": /^cache\//,
  mysql2: /^pool\//,
  nodemailer: /^(smtp\/|campaign\/mime\.ts$)/,
  "p-retry": /^backoff\.ts$/,
  pino: /^log\.ts$/,
  yaml: /^config\//,
  zod: /^config\//,
};

const SQL = [
  /\bSELECT\b[\s\S]*\b(FROM|AS)\b/,
  /\bSELECT\s+(\d|@@|[A-Z_]+\()/,
  /\b(INSERT|REPLACE)\s+(IGNORE\s+)?INTO\b/i,
  /\bUPDATE\b[\s\S]*\bSET\b/,
  /\bDELETE\s+FROM\b/i,
  /\b(CREATE|ALTER|DROP|TRUNCATE)\s+(TABLE|INDEX|DATABASE|USER)\b/,
  /\bGRANT\b[\s\S]*\bON\b[\s\S]*\bTO\b/,
  /\bSET\s+(SESSION|GLOBAL|NAMES|@)/,
  /\bKILL\s+(QUERY|CONNECTION|\?|\$\{)/,
  /\bSHOW\s+(GLOBAL|SESSION|TABLES|COLUMNS|INDEX|VARIABLES|STATUS|PROCESSLIST|FULL)\b/,
  /\b(GET_LOCK|RELEASE_LOCK|UTC_TIMESTAMP)\(/,
  /^\s*(START TRANSACTION|BEGIN|COMMIT|ROLLBACK)\s*;?\s*$/,
];

interface SourceFile {
  /** Relative to src/, e.g. "db/mailBlaster.ts". */
  readonly path: string;
  readonly room: string;
  readonly text: string;
  /** Paths of our own files, relative to src/. */
  readonly own: readonly string[];
  /** Names of packages; node: modules are left out. */
  readonly packages: readonly string[];
}

const files = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .sort()
  .map(readSource);
const table = readRoomsTable();
const order = table.map((row) => row.room);

describe("the house", () => {
  test("imports only from its own room and from rooms above it", () => {
    const level = (room: string): number => (room === "words" ? 0 : order.indexOf(room));
    const upward = files.flatMap((file) =>
      file.own
        .filter((target) => level(roomOf(target)) > level(file.room))
        .map((target) => `${file.path} imports ${target}, which is below it`),
    );
    expect(upward).toEqual([]);
  });

  test("has no import cycle", () => {
    expect(findCycles()).toEqual([]);
  });

  test("imports only files that exist, with their .js ending", () => {
    const known = new Set(files.map((file) => file.path));
    const missing = files.flatMap((file) => file.own.filter((t) => !known.has(t)).map((t) => `${file.path}: ${t}`));
    expect(missing).toEqual([]);
  });

  test("keeps SQL in db/", () => {
    const strays = files
      .filter((file) => file.room !== "db")
      .flatMap((file) =>
        literalsIn(file.text)
          .filter(isSql)
          .map((sql) => `${file.path}: ${sql.slice(0, 80)}`),
      );
    expect(strays).toEqual([]);
  });

  test("imports each dependency in one place only", () => {
    const strays = files.flatMap((file) =>
      file.packages.filter((name) => !HOMES[name]?.test(file.path)).map((name) => `${file.path} imports ${name}`),
    );
    expect(strays).toEqual([]);
  });

  test("gives every dependency of package.json a home", () => {
    const { dependencies } = JSON.parse(readFileSync("package.json", "utf8"));
    expect(Object.keys(dependencies).sort()).toEqual(Object.keys(HOMES).sort());
  });

  test("pins every dependency to an exact version", () => {
    const { dependencies, devDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
    const loose = Object.entries({ ...dependencies, ...devDependencies }).filter(
      ([, version]) => !/^\d+\.\d+\.\d+$/.test(String(version)),
    );
    expect(loose).toEqual([]);
  });

  test("names every file and room after what it holds", () => {
    const parts = (path: string): string[] => path.replace(/\.ts$/, "").split("/");
    expect(files.map((file) => file.path).filter((path) => parts(path).some((part) => NAMELESS.test(part)))).toEqual(
      [],
    );
  });

  test("has no barrel: no file only passes on what others export", () => {
    const barrels = files.filter(
      (file) => /^export \*/m.test(file.text) || /^export (type )?\{[^}]*\} from/m.test(file.text),
    );
    expect(barrels.map((file) => file.path)).toEqual([]);
  });

  test(`keeps every file under ${MAX_LINES} lines`, () => {
    const long = files.map((file) => ({ path: file.path, lines: file.text.split("\n").length - 1 }));
    expect(long.filter((file) => file.lines > MAX_LINES)).toEqual([]);
  });
});

describe("the rooms table of ARCHITECTURE.md", () => {
  test("is numbered from 1 without a gap", () => {
    expect(table.map((row) => row.number)).toEqual(table.map((_, index) => index + 1));
  });

  test("lists exactly the rooms of src/", () => {
    const rooms = new Set(files.map((file) => file.room));
    expect([...order].sort()).toEqual([...rooms].sort());
  });

  test("names exactly the words", () => {
    const words = files.filter((file) => file.room === "words").map((file) => basename(file.path, ".ts"));
    const named = [...(table[0]?.text ?? "").matchAll(/`(\w+)`/g)].map((match) => match[1] ?? "");
    expect(named.sort()).toEqual(words.sort());
  });
});

describe("the search for SQL", () => {
  test.each([
    "SELECT id FROM mail_blaster",
    "SELECT GET_LOCK(?, 0)",
    "/* claim */ UPDATE mail_blaster\n SET status='processing'",
    "insert into x values (1)",
    "KILL ?",
    "COMMIT",
  ])("finds %j", (text) => {
    expect(literalsIn(`const a = ${JSON.stringify(text)};`).filter(isSql)).toHaveLength(1);
  });

  test.each([
    "update the row and set it free",
    "the login lacks SELECT on smtp_usage",
    "KILL at any instant",
    "select a campaign from the list",
  ])("leaves %j alone", (text) => {
    expect(isSql(text)).toBe(false);
  });

  test("does not read comments", () => {
    expect(literalsIn('// "SELECT 1"\n/* "SELECT 2" */ const a = `x`;')).toEqual(["x"]);
  });
});

function readSource(path: string): SourceFile {
  const text = readFileSync(join("src", path), "utf8");
  const imports = importsIn(text);
  const own = imports.filter((name) => name.startsWith(".")).map((name) => resolveOwn(path, name));
  const packages = imports.filter((name) => !name.startsWith(".") && !name.startsWith("node:")).map(packageOf);
  return { path, room: roomOf(path), text, own, packages };
}

function importsIn(text: string): string[] {
  const statements = /^(?:import|export)\s(?:[^"';]*?\sfrom\s+)?"([^"]+)"/gm;
  const expressions = /\b(?:import|require|createRequire\([^)]*\))\(\s*"([^"]+)"/g;
  return [...text.matchAll(statements), ...text.matchAll(expressions)].map((match) => match[1] ?? "");
}

function resolveOwn(from: string, name: string): string {
  return normalize(join(dirname(from), name)).replace(/\.js$/, ".ts");
}

function packageOf(name: string): string {
  const depth = name.startsWith("@") ? 2 : 1;
  return name.split("/").slice(0, depth).join("/");
}

function roomOf(path: string): string {
  return path.includes("/") ? (path.split("/")[0] ?? "") : "words";
}

/** Rows such as "| 2 | `pool/` | lending … |"; the first is "| 1 | words | … |". */
function readRoomsTable(): { number: number; room: string; text: string }[] {
  const rows = readFileSync("ARCHITECTURE.md", "utf8").matchAll(/^\| *(\d+) *\| *`?(\w+)\/?`? *\|(.*)\|$/gm);
  return [...rows].map(([, number, room, text]) => ({ number: Number(number), room: room ?? "", text: text ?? "" }));
}

/** String and template literals; comments are skipped. */
function literalsIn(text: string): string[] {
  const token = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g;
  return [...text.matchAll(token)]
    .map((match) => match[0])
    .filter((found) => !found.startsWith("/"))
    .map((found) => found.slice(1, -1).replaceAll("\\n", "\n"));
}

function isSql(text: string): boolean {
  return SQL.some((pattern) => pattern.test(text));
}

function findCycles(): string[] {
  const edges = new Map(files.map((file) => [file.path, file.own]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
    if (done.has(path) || trail.includes(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return cycles;
}
