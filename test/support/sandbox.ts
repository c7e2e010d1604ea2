import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type MariadbServer, startMariadb } from "./mariadb.js";
import { type SandboxSettings, writeConfig } from "./sandboxConfig.js";
import { createDatabases, createLogin, DATABASES, type Query, queryAs } from "./sandboxDatabases.js";
import type { SmtpServer } from "./smtpServer.js";
import { spawnSmtpServer } from "./spawnSmtpServer.js";

export interface SandboxOptions {
  /** Where everything lies; a new temporary folder by default. */
  readonly dir?: string;
  /** "two" servers as in production (default), or "one" that holds both databases. */
  readonly layout?: "two" | "one";
}

/** A private pair of MariaDB servers with the schemas, an SMTP server, and a configuration that fits them. */
export interface Sandbox {
  readonly dir: string;
  /** Server 1, zone +05:30. */
  readonly emailId: MariadbServer;
  /** Server 2, zone +00:00; the same object as emailId in the "one" layout. */
  readonly crm: MariadbServer;
  readonly smtp: SmtpServer;
  /** A ready campaignd.yaml, its state directory and its file root beside it. */
  readonly configFile: string;
  /** The names that `sandbox env` prints (contract §9). */
  env(): Record<string, string>;
  /** Writes another configuration, the ready one with these settings merged over it, and returns its path. */
  config(overrides: SandboxSettings): Promise<string>;
  /** Runs a statement on Server 1 in email_id as administrator; rows, or one row {affectedRows, insertId} for a write. */
  readonly s1: Query;
  /** The same on Server 2 in CRM. */
  readonly s2: Query;
  /** Makes both databases anew, empty, side tables included; logins and grants stay. */
  freshDatabases(): Promise<void>;
  /** Ends every process and, unless told to keep the files, removes what it and the daemons under it made. */
  stop(options?: { readonly keepFiles?: boolean }): Promise<void>;
}

/** What a sandbox makes in its folder; a folder of the user's keeps everything else. */
export const SANDBOX_ENTRIES: readonly string[] = ["email_id", "crm", "smtp", "state", "files", "config"];

/** Raises a sandbox; where one part fails, the others are ended and the error is thrown. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const own = options.dir === undefined;
  const dir = resolve(options.dir ?? (await mkdtemp(join(tmpdir(), "campaignd-sandbox-"))));
  const started: { stop(): Promise<unknown> }[] = [];
  const ends = async <T extends { stop(): Promise<unknown> }>(starting: Promise<T>): Promise<T> => {
    const part = await starting;
    started.push(part);
    return part;
  };
  const stop: Sandbox["stop"] = async ({ keepFiles = false } = {}) => {
    await Promise.all(started.splice(0).map((part) => part.stop()));
    if (keepFiles) return;
    const made = own ? [dir] : SANDBOX_ENTRIES.map((entry) => join(dir, entry));
    await Promise.all(made.map((path) => rm(path, { recursive: true, force: true })));
  };

  try {
    await layOut(dir);
    const server = (name: string, extra: string[]) => ends(startMariadb({ dir, name, extra, removeWhenOrphaned: own }));
    const first = server("email_id", ["--default-time-zone=+05:30"]);
    const starting = {
      emailId: first,
      crm: options.layout === "one" ? first : server("crm", ["--default-time-zone=+00:00"]),
      smtp: ends(spawnSmtpServer({ dir: join(dir, "smtp") })),
    };
    await Promise.allSettled([starting.emailId, starting.crm, starting.smtp]); // a part that still starts cannot be ended
    const emailId = await starting.emailId;
    const crm = await starting.crm;
    const smtp = await starting.smtp;

    const s1 = await ends(queryAs(emailId));
    const s2 = crm === emailId ? s1 : await ends(queryAs(crm));
    await createDatabases(s1.query, s2.query);
    const password = await createLogin(s1.query, s2.query);
    const config = (overrides: SandboxSettings) => writeConfig({ dir, emailId, crm, smtp, password }, overrides);
    const configFile = await config({});

    return {
      dir,
      emailId,
      crm,
      smtp,
      configFile,
      config,
      env: () => ({
        EMAIL_ID_PORT: String(emailId.port),
        CRM_PORT: String(crm.port),
        SMTP_PORT: String(smtp.plainPort),
        SMTPS_PORT: String(smtp.tlsPort),
        STARTTLS_PORT: String(smtp.starttlsPort),
        MAILBOX: smtp.mailbox,
        CONFIG: configFile,
      }),
      s1: s1.in(DATABASES.emailId),
      s2: s2.in(DATABASES.crm),
      freshDatabases: () => createDatabases(s1.query, s2.query),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Mode 0700 around the servers' files; 0750 for the daemon's state. */
async function layOut(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  for (const [folder, mode] of [
    ["state", 0o750],
    ["files", 0o755],
    ["config", 0o700],
  ] as const) {
    await mkdir(join(dir, folder), { recursive: true, mode });
  }
}
