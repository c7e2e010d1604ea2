import { raw } from "mysql2";
import type { Connection, ResultSetHeader } from "mysql2/promise";
import type { Sandbox } from "../sandbox.js";

/** A connection to each of the two servers, as a user who may do anything. */
export interface Databases {
  readonly s1: Connection;
  readonly s2: Connection;
}

/** Opens an administrator's connection to each server, with its database chosen. */
export async function openDatabases(sandbox: Pick<Sandbox, "emailId" | "crm">): Promise<Databases> {
  const [s1, s2] = await Promise.all([sandbox.emailId.root(), sandbox.crm.root()]);
  await Promise.all([s1.query("USE email_id"), s2.query("USE CRM")]);
  return { s1, s2 };
}

const PAGE = 1000;

/** Inserts the rows in pages of 1,000 in one transaction, however many come; returns the id of the first. */
export async function insertRows(
  connection: Connection,
  table: string,
  columns: readonly string[],
  rows: Iterable<readonly unknown[]>,
): Promise<number> {
  let firstId = 0;
  await connection.beginTransaction();
  for (const page of pages(rows)) {
    const [header] = await connection.query<ResultSetHeader>("INSERT INTO ?? (??) VALUES ?", [table, columns, page]);
    firstId ||= header.insertId;
  }
  await connection.commit();
  return firstId;
}

/** Inserts one row given as column and value, and returns its id. */
export async function insertRow(connection: Connection, table: string, row: Record<string, unknown>): Promise<number> {
  const columns = Object.keys(row);
  const values = columns.map((column) => row[column] ?? null);
  const [header] = await connection.query<ResultSetHeader>("INSERT INTO ?? (??) VALUES ?", [table, columns, [values]]);
  return header.insertId;
}

/** A moment as the session's own zone writes it; the driver would use the zone of this process. */
export function moment(epochMs: number): unknown {
  return raw(`FROM_UNIXTIME(${Math.floor(epochMs / 1000)})`);
}

/** The wall clock of +05:30, in which the legacy system keeps usage and campaign times. */
export function legacyTime(epochMs: number): { date: string; hour: number; dateTime: string } {
  const iso = new Date(epochMs + 5.5 * 3_600_000).toISOString();
  const date = iso.slice(0, 10);
  return { date, hour: Number(iso.slice(11, 13)), dateTime: `${date} ${iso.slice(11, 19)}` };
}

function* pages(rows: Iterable<readonly unknown[]>): Generator<(readonly unknown[])[]> {
  let page: (readonly unknown[])[] = [];
  for (const row of rows) {
    page.push(row);
    if (page.length < PAGE) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}
