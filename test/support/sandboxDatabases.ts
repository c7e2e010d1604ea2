import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createPool, type PoolOptions } from "mysql2/promise";
import { grants, SIDE_ROWS, SIDE_TABLES } from "../../src/db/sideTables.js";
import type { MariadbServer } from "./mariadb.js";
import { projectRoot } from "./projectRoot.js";

/** The names of both databases, as the schemas create them. */
export const DATABASES = { emailId: "email_id", crm: "CRM" } as const;

/** The daemon's login; it may use what `schema apply` would print as grants, nothing more. */
export const LOGIN = "campaignd";

export type SqlValue = string | number | bigint | boolean | null | Buffer | readonly SqlValue[];

/** Runs a statement and returns its rows, times as strings; a write answers one row {affectedRows, insertId}. */
export type Query = <Row = Record<string, unknown>>(sql: string, params?: readonly SqlValue[]) => Promise<Row[]>;

export interface Administrator {
  /** Without a database chosen. */
  readonly query: Query;
  in(database: string): Query;
  stop(): Promise<void>;
}

/**
 * An administrator's connections to one server. Their sql_mode is lax, as in the old web application's, so that a test
 * can write what production really holds: status '', zero dates.
 */
export async function queryAs(server: MariadbServer): Promise<Administrator> {
  const settings: PoolOptions = { host: "127.0.0.1", port: server.port, user: "root", password: server.rootPassword };
  const pool = createPool({ ...settings, multipleStatements: true, dateStrings: true, connectionLimit: 4 });
  pool.on("connection", (connection) => connection.query("SET SESSION sql_mode='NO_ENGINE_SUBSTITUTION'"));

  const run = async <Row>(database: string | undefined, sql: string, params: readonly SqlValue[]): Promise<Row[]> => {
    const connection = await pool.getConnection();
    try {
      // Each time anew: a database that was dropped is no longer the connection's, even when it exists again.
      if (database !== undefined) await connection.query(`USE \`${database}\``);
      const [result] = await connection.query(sql, [...params]);
      return (Array.isArray(result) ? result : [result]) as Row[];
    } finally {
      connection.release();
    }
  };
  return {
    query: (sql, params = []) => run(undefined, sql, params),
    in:
      (database) =>
      (sql, params = []) =>
        run(database, sql, params),
    stop: () => pool.end(),
  };
}

/** Drops both databases and makes them anew: the legacy schemas, on Server 2 also campaignd's own tables. */
export async function createDatabases(s1: Query, s2: Query): Promise<void> {
  const [emailId, crm] = await Promise.all(
    ["email_id.sql", "crm.sql"].map((file) => readFile(join(projectRoot(), "test/schema", file), "utf8")),
  );
  const sideTables = [`USE ${DATABASES.crm}`, ...SIDE_TABLES.values(), ...SIDE_ROWS].join(";\n");
  await Promise.all([
    s1(`DROP DATABASE IF EXISTS ${DATABASES.emailId};\n${emailId}`),
    s2(`DROP DATABASE IF EXISTS ${DATABASES.crm};\n${crm}\n${sideTables}`),
  ]);
}

/** Creates the daemon's login on both servers with just its grants and returns its password. */
export async function createLogin(s1: Query, s2: Query): Promise<string> {
  const password = randomBytes(12).toString("hex");
  for (const host of ["127.0.0.1", "localhost"]) {
    const account = `'${LOGIN}'@'${host}'`;
    const { emailId, crm } = grants(account, DATABASES);
    const create = `CREATE USER IF NOT EXISTS ${account} IDENTIFIED BY '${password}'`;
    await s1([create, ...emailId].join(";\n"));
    await s2([create, ...crm].join(";\n"));
  }
  return password;
}
