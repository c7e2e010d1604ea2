import { parseArgs } from "node:util";
import { measure, type Throughput } from "./benchRun.js";
import { figure, say, table } from "./terminal.js";

const USAGE = `usage: npm run bench -- [--rows N[,N…]] [--accounts N] [--campaigns N] [--profile DIR]
  Raises a sandbox for each size, lets campaignd send N mails of 5 KB to a list, and prints what a mail costs.
  --rows N,N     sizes, one run each (5000,50000)
  --accounts N   SMTP accounts without limits, two connections each (40)
  --campaigns N  campaigns that share the mails and the accounts (1)
  --profile DIR  lets Node write a CPU profile of each daemon into this folder`;

interface Options {
  readonly sizes: readonly number[];
  readonly accounts: number;
  readonly campaigns: number;
  readonly profile: string | undefined;
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  say(`bench: ${error instanceof Error ? error.message : String(error)}`);
  return 1;
});

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options === undefined) {
    say(USAGE);
    return args.includes("--help") ? 0 : 2;
  }
  const runs: Throughput[] = [];
  for (const rows of options.sizes) {
    say(`sending ${figure(rows)} mails …`);
    runs.push(await measure({ ...options, rows }));
  }
  say(`\n${report(runs)}\n\n${statements(runs)}`);
  return 0;
}

function report(runs: readonly Throughput[]): string {
  const headings = ["mails", "sent", "mails/s", "daemon µs", "Server 1 µs", "Server 2 µs", "SMTP µs", "peak MB"];
  const lines = runs.map((run) => [
    figure(run.rows),
    figure(run.sent),
    figure(Math.round(run.rate)),
    ...[run.micros.daemon, run.micros.emailId, run.micros.crm, run.micros.smtp].map((us) => us.toFixed(0)),
    (run.peakBytes / 2 ** 20).toFixed(0),
  ]);
  return table(headings, lines, [0, 1, 2, 3, 4, 5, 6, 7]);
}

function statements(runs: readonly Throughput[]): string {
  const lines = runs.map((run) => [
    figure(run.rows),
    (run.statements.total / run.rows).toFixed(4),
    (run.statements.emailId / run.rows).toFixed(4),
    (run.statements.crm / run.rows).toFixed(4),
    [...run.statements.byCommand].map(([command, n]) => `${command} ${figure(n)}`).join(", "),
  ]);
  return table(["mails", "statements a mail", "Server 1", "Server 2", "of these"], lines, [0, 1, 2, 3]);
}

function parseOptions(args: readonly string[]): Options | undefined {
  const options = {
    rows: { type: "string", default: "5000,50000" },
    accounts: { type: "string", default: "40" },
    campaigns: { type: "string", default: "1" },
    profile: { type: "string" },
  } as const;
  try {
    const { values } = parseArgs({ args: [...args], options });
    const sizes = values.rows.split(",").map(Number);
    const [accounts, campaigns] = [Number(values.accounts), Number(values.campaigns)];
    const fits = [...sizes, accounts, campaigns].every((n) => Number.isInteger(n) && n > 0 && n <= 5_000_000);
    return fits ? { sizes, accounts, campaigns, profile: values.profile } : undefined;
  } catch {
    return undefined;
  }
}
