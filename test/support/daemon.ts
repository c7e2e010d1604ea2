import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished } from "vitest";
import { seconds } from "../../src/clock.js";
import { type DaemonNews, LineKeeper } from "./daemonNews.js";
import { projectRoot } from "./projectRoot.js";
import type { Sandbox } from "./sandbox.js";
import type { SandboxSettings } from "./sandboxConfig.js";
import { until } from "./until.js";

export interface Exit {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What it said on stderr. */
  readonly stderr: string;
}

/** `campaignd run` as a process of its own; it is killed when its test ends. */
export interface Daemon {
  readonly pid: number;
  readonly news: DaemonNews;
  /** Ends with the process, after its last line was read; never rejects. */
  readonly exit: Promise<Exit>;
  /** Sends SIGTERM and waits for the end. */
  term(): Promise<Exit>;
  /** Sends SIGKILL and waits for the end. */
  kill(): Promise<Exit>;
  /** SIGSTOP and SIGCONT: the process stands still, its connections stay. */
  stop(): void;
  cont(): void;
  /** Nothing is left of it: no process, no connection of its login on either server, no claim, no lease. */
  assertCleanTermination(): Promise<void>;
}

interface StartOptions {
  /** Behind `run`, e.g. `--until-idle`. */
  readonly args?: readonly string[];
}

/** Intervals of a second and all of the log: a test waits on news, and news should come soon. */
const QUICK: SandboxSettings = {
  monitor: { far: "1s", middle: "1s", near: "1s", end: "500ms" },
  accounts: { reread: "1s", restAfterFault: "1s" },
  retry: { backoff: ["1s", "1s", "1s", "1s"], jitter: 0 },
  takeover: { quietFor: "3s" },
  log: { level: "debug", addresses: "full" },
};

/** Starts the built daemon on the sandbox, the settings merged over quick ones; throws when dist/ is older than src/. */
export async function startDaemon(
  sandbox: Sandbox,
  overrides: SandboxSettings = {},
  { args = [] }: StartOptions = {},
): Promise<Daemon> {
  const program = await built();
  const config = await sandbox.config(quickened(overrides));
  const child = spawn(process.execPath, [program, "run", "--config", config, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const news = new LineKeeper();
  const exit = watch(child, news);
  const signal = (name: NodeJS.Signals) => child.exitCode === null && child.signalCode === null && child.kill(name);
  const kill = () => {
    signal("SIGKILL");
    return exit;
  };
  onTestFinished(async () => void (await kill()));
  return {
    pid: child.pid ?? 0,
    news,
    exit,
    kill,
    term: () => {
      signal("SIGTERM");
      return exit;
    },
    stop: () => void signal("SIGSTOP"),
    cont: () => void signal("SIGCONT"),
    assertCleanTermination: async () => {
      await exit;
      await nothingIsLeft(sandbox);
    },
  };
}

function quickened(overrides: SandboxSettings): SandboxSettings {
  const merged: Record<string, SandboxSettings[string]> = { ...QUICK };
  for (const [key, value] of Object.entries(overrides)) {
    const isMap = typeof value === "object" && value !== null && !Array.isArray(value) && key in QUICK;
    merged[key] = isMap ? { ...(QUICK[key] as SandboxSettings), ...(value as SandboxSettings) } : value;
  }
  return merged;
}

/** The compiled program; a test of yesterday's build would prove nothing. */
async function built(): Promise<string> {
  const root = projectRoot();
  for (const entry of await readdir(join(root, "src"), { recursive: true })) {
    if (!entry.endsWith(".ts") || entry.endsWith(".d.ts")) continue;
    const [source, output] = [join(root, "src", entry), join(root, "dist", entry.replace(/\.ts$/, ".js"))];
    const made = await stat(output).catch(() => undefined);
    if (!made || made.mtimeMs < (await stat(source)).mtimeMs) {
      throw new Error(`dist/ is missing or older than src/${entry}: npm run build`);
    }
  }
  return join(root, "dist/cli/main.js");
}

async function watch(child: ChildProcess, news: LineKeeper): Promise<Exit> {
  let stderr = "";
  child.stderr?.on("data", (piece) => {
    stderr += String(piece);
  });
  if (child.stdout) createInterface({ input: child.stdout }).on("line", (line) => news.take(line));
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  news.ended(`it ended with ${signal ?? code} ${stderr}`);
  return { code, signal, stderr };
}

async function nothingIsLeft({ s1, s2, emailId, crm }: Sandbox): Promise<void> {
  const connections = `SELECT COUNT(*) AS n FROM information_schema.processlist WHERE user = 'campaignd'`;
  for (const query of emailId === crm ? [s2] : [s1, s2]) {
    const gone = async () => (await query<{ n: number }>(connections))[0]?.n === 0;
    await until("the server to have no connection of campaignd", gone, seconds(5));
  }
  const [lease] = await s2<{ held: number }>("SELECT expires_at > UTC_TIMESTAMP() AS held FROM campaignd_lease");
  const [claims] = await s2<{ n: number }>("SELECT COUNT(*) AS n FROM campaignd_claim");
  const [rows] = await s2<{ n: number }>("SELECT COUNT(*) AS n FROM mail_blaster WHERE status = 'processing'");
  expect({ lease: lease?.held, claims: claims?.n, processing: rows?.n }).toEqual({
    lease: 0,
    claims: 0,
    processing: 0,
  });
}
