import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { systemClock } from "../src/clock.js";
import { aCampaign, aList, anAccount, aServer, aUser, someEmails } from "../test/support/builders.js";
import { projectRoot } from "../test/support/projectRoot.js";
import { type Sandbox, startSandbox } from "../test/support/sandbox.js";
import { cpuMicros, peakBytes, statementCounts, statementsSince } from "./benchCounters.js";

export interface BenchOptions {
  readonly rows: number;
  /** SMTP accounts without limits. */
  readonly accounts: number;
  /** Campaigns that share the mails and the accounts (1). */
  readonly campaigns?: number;
  /** A folder for the daemon's CPU profile. */
  readonly profile?: string | undefined;
}

/** What one run cost; microseconds of CPU are a mail's share, the daemon's start included. */
export interface Throughput {
  readonly rows: number;
  readonly sent: number;
  /** Mails a second between the first mail at the SMTP server and the last. */
  readonly rate: number;
  readonly micros: { readonly daemon: number; readonly emailId: number; readonly crm: number; readonly smtp: number };
  readonly peakBytes: number;
  readonly statements: {
    readonly total: number;
    readonly emailId: number;
    readonly crm: number;
    readonly byCommand: ReadonlyMap<string, number>;
  };
}

/** How often CPU time and memory of the running daemon are read: its last figures are so old at most. */
const LOOK_EVERY = 50;

/** Raises a sandbox, lets the built daemon send list campaigns of 5 KB mails, and says what it cost. */
export async function measure(options: BenchOptions): Promise<Throughput> {
  const sandbox = await startSandbox();
  try {
    await fill(sandbox, options);
    const before = await counters(sandbox);
    const daemon = await runDaemon(sandbox, options.profile);
    const after = await counters(sandbox);
    const { sent, rate } = await arrivals(sandbox.smtp.mailbox);
    const share = (key: "emailId" | "crm" | "smtp") => (after.cpu[key] - before.cpu[key]) / options.rows;
    const emailId = statementsSince(before.emailId, after.emailId);
    const crm = statementsSince(before.crm, after.crm);
    return {
      rows: options.rows,
      sent,
      rate,
      micros: {
        daemon: daemon.cpu / options.rows,
        emailId: share("emailId"),
        crm: share("crm"),
        smtp: share("smtp"),
      },
      peakBytes: daemon.peak,
      statements: {
        total: emailId.total + crm.total,
        emailId: emailId.total,
        crm: crm.total,
        byCommand: crm.byCommand,
      },
    };
  } finally {
    await sandbox.stop();
  }
}

async function fill(sandbox: Sandbox, { rows, accounts, campaigns = 1 }: BenchOptions): Promise<void> {
  const userId = await aUser(sandbox);
  const server = await aServer(sandbox, { port: sandbox.smtp.plainPort, userId });
  for (let n = 0; n < accounts; n += 1) await anAccount(sandbox, { server, userId });
  const share = Math.ceil(rows / campaigns);
  for (let from = 0; from < rows; from += share) {
    const list = await aList(sandbox, { userId });
    const size = Math.min(share, rows - from);
    const addresses = Array.from({ length: size }, (_, n) => `ok.${from + n + 1}@recipients.example`);
    await someEmails(sandbox, { list, userId, addresses });
    await aCampaign(sandbox, { list, userId, subject: "News for [[Email]]", body: letter() });
  }
}

/** 5 KB of HTML with places, as a newsletter has. */
function letter(): string {
  const paragraph = "<p>Our offer of the week: the same tools, a fair price, and people who answer the phone.</p>\n";
  return `<html><body><h1>Dear [[Name]],</h1>\n${paragraph.repeat(50)}<p>Sent to [[Email]]</p></body></html>`;
}

async function counters({ emailId, crm, smtp, s1, s2 }: Sandbox) {
  return {
    emailId: await statementCounts(s1),
    crm: await statementCounts(s2),
    cpu: {
      emailId: (await cpuMicros(emailId.pid)) ?? 0,
      crm: (await cpuMicros(crm.pid)) ?? 0,
      smtp: (await cpuMicros(smtp.pid)) ?? 0,
    },
  };
}

/** Runs `campaignd run --until-idle` to its end; throws with the end of its log when it fails. */
async function runDaemon(sandbox: Sandbox, profile: string | undefined): Promise<{ cpu: number; peak: number }> {
  const log = join(sandbox.dir, "campaignd.log");
  const file = await open(log, "a", 0o600);
  const program = join(projectRoot(), "dist/cli/main.js");
  const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
  const args = [...profiling, program, "run", "--until-idle", "--config", sandbox.configFile];
  const child = spawn(process.execPath, args, { stdio: ["ignore", file.fd, file.fd] });
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  const ended = once(child, "exit");
  const pid = child.pid ?? 0;
  let [cpu, peak] = [0, 0];
  const running = () => child.exitCode === null && child.signalCode === null;
  while (running()) {
    cpu = (await cpuMicros(pid)) ?? cpu;
    peak = (await peakBytes(pid)) ?? peak;
    await systemClock.sleep(LOOK_EVERY);
  }
  await ended;
  process.off("exit", kill);
  await file.close();
  if (child.exitCode !== 0) {
    const said = await readFile(log, "utf8");
    throw new Error(`campaignd ended with ${child.exitCode ?? child.signalCode}: ${said.slice(-2000)}`);
  }
  return { cpu, peak };
}

/** How many mails the SMTP server took, and how fast; the file may hold gigabytes, so only its times are kept. */
async function arrivals(mailbox: string): Promise<{ sent: number; rate: number }> {
  let [sent, first, last] = [0, Number.POSITIVE_INFINITY, 0];
  const lines = createInterface({
    input: createReadStream(mailbox, "latin1"),
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  for await (const line of lines) {
    const at = Number(/^\{"at":(\d+)/.exec(line)?.[1] ?? 0);
    if (at === 0) continue;
    sent += 1;
    first = Math.min(first, at);
    last = Math.max(last, at);
  }
  return { sent, rate: sent / Math.max(0.001, (last - first) / 1000) };
}
