import { fork } from "node:child_process";
import { once } from "node:events";
import { readdir, rm, rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { seconds } from "../src/clock.js";
import { SANDBOX_ENTRIES } from "../test/support/sandbox.js";
import { assignments, endProcess, isRunning, RECORD_FILE, readRecord, type SandboxRecord } from "./sandboxRecord.js";

const USAGE = `usage: sandbox up|down|env DIR
  up    raises two MariaDB servers and an SMTP server in DIR and returns when they are ready
  env   prints their ports and files as shell assignments: eval "$(scripts/sandbox env DIR)"
  down  ends exactly these processes and removes what up made (--keep leaves the files)`;

process.exitCode = await main(process.argv.slice(2));

/** `sandbox up|down|env DIR` (contract §9); returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const [command, folder] = args.filter((arg) => !arg.startsWith("--"));
  if (command === undefined || folder === undefined) return fail(USAGE);
  const dir = resolve(folder);
  switch (command) {
    case "up":
      return up(dir);
    case "env":
      return env(dir);
    case "down":
      return down(dir, args.includes("--keep"));
    default:
      return fail(USAGE);
  }
}

/** Leaves a host process behind that owns the servers; until it says "ready" it ends with us, by Ctrl-C too. */
async function up(dir: string): Promise<number> {
  const old = await readRecord(dir);
  if (old && isRunning(old.host, dir)) return say(old.env ? `the sandbox in ${dir} is up` : `${dir} is being raised`);
  await clear(dir, old);
  const strange = (await readdir(dir).catch(() => [])).filter((name) => SANDBOX_ENTRIES.includes(name));
  if (strange.length > 0) return fail(`${dir} holds ${strange.join(", ")} of somebody else: choose an empty folder`);

  const host = fork(join(import.meta.dirname, "sandboxHost.js"), [dir], {
    detached: true,
    execArgv: [],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  const ended = once(host, "exit");
  const heard = once(host, "message");
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => host.connected && host.disconnect());
  }
  const [news] = (await Promise.race([heard, ended])) as [unknown];
  if (news !== "ready") {
    await ended;
    return fail(typeof news === "string" ? news : "interrupted; nothing is left behind");
  }
  host.send("stay");
  await once(host, "disconnect");
  host.unref();
  return say(`the sandbox in ${dir} is up`);
}

async function env(dir: string): Promise<number> {
  const record = await readRecord(dir);
  if (!record?.env || !isRunning(record.host, dir)) return fail(`no sandbox is up in ${dir}`);
  return say(assignments(record.env));
}

async function down(dir: string, keep: boolean): Promise<number> {
  const record = await readRecord(dir);
  if (!record) return say(`no sandbox is up in ${dir}`);
  await clear(dir, record, keep);
  return say(`the sandbox in ${dir} is down`);
}

/** Ends what a record names, the host first because it ends the rest itself, and removes the files. */
async function clear(dir: string, record: SandboxRecord | undefined, keep = false): Promise<void> {
  if (!record) return;
  await endProcess(record.host, dir, seconds(40));
  await Promise.all(record.pids.map((pid) => endProcess(pid, dir, seconds(20))));
  const made = [...(keep ? [] : SANDBOX_ENTRIES), RECORD_FILE];
  await Promise.all(made.map((entry) => rm(join(dir, entry), { recursive: true, force: true })));
  if (record.madeFolder) await rmdir(dir).catch(() => undefined); // the user keeps something of his own there
}

function say(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}

function fail(text: string): number {
  process.stderr.write(`${text}\n`);
  return 1;
}
