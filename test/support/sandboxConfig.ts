import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import type { MariadbServer } from "./mariadb.js";
import { DATABASES, LOGIN } from "./sandboxDatabases.js";
import type { SmtpServer } from "./smtpServer.js";

/** Settings as they stand in the YAML file. */
export interface SandboxSettings {
  readonly [key: string]: SandboxSetting;
}
export type SandboxSetting = string | number | boolean | null | readonly SandboxSetting[] | SandboxSettings;

export interface SandboxFacts {
  readonly dir: string;
  readonly emailId: MariadbServer;
  readonly crm: MariadbServer;
  readonly smtp: SmtpServer;
  readonly password: string;
}

let written = 0;

/** Writes `<dir>/config/campaignd.yaml`, or with overrides a numbered one beside it, and returns its path (mode 0600). */
export async function writeConfig(facts: SandboxFacts, overrides: SandboxSettings): Promise<string> {
  const folder = join(facts.dir, "config");
  const passwordFile = join(folder, "password");
  await writeFile(passwordFile, `${facts.password}\n`, { mode: 0o600 });
  const changed = Object.keys(overrides).length > 0;
  const file = join(folder, changed ? `campaignd-${++written}.yaml` : "campaignd.yaml");
  await writeFile(file, stringify(merge(settings(facts, passwordFile), overrides)), { mode: 0o600 });
  return file;
}

function settings({ dir, emailId, crm, smtp }: SandboxFacts, passwordFile: string): SandboxSettings {
  const login = { host: "127.0.0.1", user: LOGIN, passwordFile };
  return {
    servers: {
      emailId: { ...login, port: emailId.port, database: DATABASES.emailId },
      crm: { ...login, port: crm.port, database: DATABASES.crm },
    },
    stateDir: join(dir, "state"),
    legacyZone: "Asia/Kolkata",
    smtp: { tls: { caFile: smtp.caFile } },
    files: { roots: [join(dir, "files")] },
    log: { level: "info" },
  };
}

/** Maps are merged key by key; everything else, lists too, is replaced. */
function merge(base: SandboxSettings, over: SandboxSettings): SandboxSettings {
  const merged: Record<string, SandboxSetting> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const old = merged[key];
    merged[key] = isMap(old) && isMap(value) ? merge(old, value) : value;
  }
  return merged;
}

function isMap(value: SandboxSetting | undefined): value is SandboxSettings {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
