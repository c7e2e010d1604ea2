import { readFile } from "node:fs/promises";
import type { Query } from "../test/support/sandboxDatabases.js";

/** What a server has run so far, by kind of statement as SHOW GLOBAL STATUS names them (Com_select …). */
export type StatementCounts = ReadonlyMap<string, number>;

/** Statements that a mail may be charged with; START TRANSACTION, COMMIT, ROLLBACK and session settings are not. */
const COUNTED = [
  "select",
  "insert",
  "insert_select",
  "replace",
  "replace_select",
  "update",
  "update_multi",
  "delete",
  "delete_multi",
];

/** Clock ticks a second of /proc/PID/stat: USER_HZ, 100 on every Linux. */
const TICKS = 100;

export async function statementCounts(query: Query): Promise<StatementCounts> {
  const names = COUNTED.map((name) => `'Com_${name}'`).join(", ");
  const rows = await query<{ Variable_name: string; Value: string }>(
    `SHOW GLOBAL STATUS WHERE Variable_name IN (${names})`,
  );
  return new Map(rows.map((row) => [row.Variable_name.slice("Com_".length).toLowerCase(), Number(row.Value)]));
}

/** What came between two looks; kinds that did not occur are left out. */
export function statementsSince(
  before: StatementCounts,
  after: StatementCounts,
): { total: number; byCommand: ReadonlyMap<string, number> } {
  const grown = [...after].map(([name, n]) => [name, n - (before.get(name) ?? 0)] as const).filter(([, n]) => n > 0);
  return { total: grown.reduce((sum, [, n]) => sum + n, 0), byCommand: new Map(grown) };
}

/** Microseconds of CPU that a process has used, user and system; undefined once it is gone (Linux only). */
export async function cpuMicros(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // The command in parentheses may hold blanks: fields are counted behind it, utime and stime are the 14th and 15th.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields === undefined || fields[0] === "Z") return undefined;
  return ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS;
}

/** The most memory that a process has held at once, bytes; undefined once it is gone (Linux only). */
export async function peakBytes(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => undefined);
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(status ?? "")?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}
