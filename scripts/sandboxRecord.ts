import { readFileSync } from "node:fs";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../src/clock.js";

/** What `DIR/sandbox.json` says of a sandbox that is up, or being raised while it has no env. */
export interface SandboxRecord {
  /** The process that owns all others. */
  readonly host: number;
  /** The servers, to be ended one by one where the host was killed. */
  readonly pids: readonly number[];
  /** True where `up` made the folder itself, which `down` then removes. */
  readonly madeFolder: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

export const RECORD_FILE = "sandbox.json";

export async function readRecord(dir: string): Promise<SandboxRecord | undefined> {
  const text = await readFile(join(dir, RECORD_FILE), "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as SandboxRecord);
}

/** Claims the folder; throws EEXIST where another host has it. */
export async function createRecord(dir: string, record: SandboxRecord): Promise<void> {
  await writeFile(join(dir, RECORD_FILE), JSON.stringify(record), { flag: "wx", mode: 0o600 });
}

export async function replaceRecord(dir: string, record: SandboxRecord): Promise<void> {
  const draft = join(dir, `${RECORD_FILE}.new`);
  await writeFile(draft, JSON.stringify(record), { mode: 0o600 });
  await rename(draft, join(dir, RECORD_FILE));
}

/** Shell assignments, a line each, quoted so that any path survives eval. */
export function assignments(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([name, value]) => `${name}='${value.replaceAll("'", "'\\''")}'`)
    .join("\n");
}

/** True while the process lives and is one of this folder's: a pid may have been given to a stranger meanwhile. */
export function isRunning(pid: number, dir: string): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== "linux") return true;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(dir); // empty for a zombie
  } catch {
    return false;
  }
}

/** SIGTERM, after `patience` milliseconds SIGKILL; returns when the process is gone. */
export async function endProcess(pid: number, dir: string, patience: number): Promise<void> {
  const deadline = systemClock.monotonic() + patience;
  if (isRunning(pid, dir)) process.kill(pid, "SIGTERM");
  while (isRunning(pid, dir)) {
    if (systemClock.monotonic() > deadline) process.kill(pid, "SIGKILL");
    await systemClock.sleep(20);
  }
}
