import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { seconds, systemClock } from "../src/clock.js";
import { projectRoot } from "../test/support/projectRoot.js";
import { type Sandbox, startSandbox } from "../test/support/sandbox.js";
import { openDatabases } from "../test/support/seed/rows.js";
import { type Seeded, seed } from "../test/support/seed.js";
import { checkOutcome, readUsage } from "./demoCheck.js";
import { startDaemon } from "./demoDaemon.js";
import { watchProgress } from "./demoProgress.js";
import { printNextSteps, printOutcome } from "./demoReport.js";
import { bold, dim, figure, red, say } from "./terminal.js";

const USAGE = `usage: demo [--keep] [--emails N] [--imports N]
  Raises two MariaDB servers and an SMTP server, fills them with two campaigns and lets campaignd send them.
  --keep       leaves the servers running at the end, until Ctrl-C
  --emails N   lines of the newsletter's list (5000)
  --imports N  rows of the invoice reminder's sheet (2000)`;

/** Where stored image URLs begin; files.prefixes maps it to the sandbox's files. */
const STORAGE_URL = "https://crm.lakshmi.example/storage/";

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  say(red(`demo: ${error instanceof Error ? error.message : String(error)}`));
  return 1;
});

/** The whole demonstration; returns the exit code: 0 when everything agrees, 130 after Ctrl-C. */
async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options === undefined) {
    say(USAGE);
    return args.includes("--help") ? 0 : 2;
  }
  const interrupted = interruption();
  const program = join(projectRoot(), "dist/cli/main.js");
  if (!existsSync(program)) throw new Error(`${program} is missing: npm run build`);

  const began = systemClock.monotonic();
  const elapsed = (): string => dim(`${((systemClock.monotonic() - began) / 1000).toFixed(1)} s`.padStart(7));
  say(bold("campaignd: two campaigns, from the queue to the mailbox"));
  const sandbox = await startSandbox();
  try {
    say(`${elapsed()}  two MariaDB servers and an SMTP server are up ${dim(sandbox.dir)}`);
    if (interrupted.aborted) return 130;
    const exit = await demonstrate(sandbox, options, elapsed, interrupted);
    if (interrupted.aborted) return 130;
    printNextSteps(sandbox, options.keep);
    if (options.keep) await untilAborted(interrupted);
    return exit;
  } finally {
    await sandbox.stop();
  }
}

async function demonstrate(
  sandbox: Sandbox,
  sizes: { emails: number; imports: number },
  elapsed: () => string,
  interrupted: AbortSignal,
): Promise<number> {
  const db = await openDatabases(sandbox);
  try {
    const seeded = await fill(sandbox, db, sizes);
    const { newsletter, invoices, accounts } = seeded;
    const rows = `${figure(sizes.emails)} addresses, ${figure(sizes.imports)} invoice rows, ${accounts.length} accounts`;
    say(`${elapsed()}  filled with ${rows}`);
    const usedBefore = await readUsage(db);
    const config = await sandbox.config({
      retry: { backoff: ["2s", "4s", "6s", "8s"] },
      files: { prefixes: { [STORAGE_URL]: join(sandbox.dir, "files") } },
    });
    const daemon = await startDaemon({ config, log: join(sandbox.dir, "campaignd.log"), interrupted });
    say(`${elapsed()}  campaignd run --until-idle ${dim(`(log: ${daemon.log})`)}\n`);
    await watchProgress(db, [newsletter, invoices], daemon);
    const ended = await daemon.ended;
    if (interrupted.aborted) return 130;
    say(`\n${elapsed()}  campaignd ended after ${(ended.ms / 1000).toFixed(1)} s\n`);
    await printOutcome(db, seeded);
    return (await checkOutcome({ sandbox, db, seeded, usedBefore, ended })) ? 0 : 1;
  } finally {
    await Promise.all([db.s1.end(), db.s2.end()]);
  }
}

function fill(
  sandbox: Sandbox,
  db: Awaited<ReturnType<typeof openDatabases>>,
  sizes: { emails: number; imports: number },
): Promise<Seeded> {
  const { plainPort, starttlsPort, tlsPort } = sandbox.smtp;
  return seed(db, {
    ...sizes,
    filesDir: join(sandbox.dir, "files"),
    smtp: { host: "localhost", plainPort, starttlsPort, tlsPort },
    password: (user) => `pw-${user}`,
    storageUrl: STORAGE_URL,
  });
}

function parseOptions(args: readonly string[]): { keep: boolean; emails: number; imports: number } | undefined {
  const options = { keep: { type: "boolean" }, emails: { type: "string" }, imports: { type: "string" } } as const;
  try {
    const { values } = parseArgs({ args: [...args], options });
    const [emails, imports] = [Number(values.emails ?? 5000), Number(values.imports ?? 2000)];
    const fits = [emails, imports].every((n) => Number.isInteger(n) && n >= 50 && n <= 1_000_000);
    return fits ? { keep: values.keep ?? false, emails, imports } : undefined;
  } catch {
    return undefined;
  }
}

/** Aborts at the first Ctrl-C or TERM; at the second the process ends at once, and its servers with it. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(130);
      say(dim("\nending …"));
      controller.abort();
    });
  }
  return controller.signal;
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await systemClock.sleep(seconds(3600), signal);
}
