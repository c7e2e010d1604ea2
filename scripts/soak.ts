import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs, stripVTControlCharacters } from "node:util";
import { projectRoot } from "../test/support/projectRoot.js";
import { say, table } from "./terminal.js";

const USAGE = `usage: npm run soak [-- [--write] NAME…]
  Runs the fault tests with the real deadlines and outages of a minute instead of scaled ones, and every one of the 4,000 cuts.
  NAME…     only faults whose sentence holds one of these, e.g. flap, read-only, "behind hole"
  --write   puts the summary into docs/soak.md`;

/** What is run; each file raises its own servers. */
const FILES = ["test/faults", "test/pool/cutConnection.test.ts"];

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly duration?: number | null;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  say(`soak: ${error instanceof Error ? error.message : String(error)}`);
  return 1;
});

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { write: { type: "boolean" }, help: { type: "boolean" } },
    allowPositionals: true,
  });
  if (values.help) {
    say(USAGE);
    return 0;
  }
  const commit =
    git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain", "--", "src") ? " with changes" : "");
  const began = new Date();
  const report = await run(positionals);
  const summary = summarize(report, commit, began, positionals);
  say(`\n${summary.text}`);
  if (values.write) await writeFile(join(projectRoot(), "docs/soak.md"), page(summary.text));
  return summary.failed === 0 && summary.passed > 0 ? 0 : 1;
}

async function run(names: readonly string[]): Promise<Report> {
  const scratch = await mkdtemp(join(tmpdir(), "soak-"));
  const output = join(scratch, "report.json");
  try {
    const filter = names.length > 0 ? ["-t", names.map(literal).join("|")] : [];
    const options = ["--maxWorkers=1", "--reporter=verbose", "--reporter=json", `--outputFile.json=${output}`];
    const child = spawn("npx", ["vitest", "run", ...FILES, ...options, ...filter], {
      cwd: projectRoot(),
      env: { ...process.env, SOAK: "1", CUT_STRIDE: "1" },
      stdio: "inherit",
    });
    await once(child, "exit");
    return JSON.parse(await readFile(output, "utf8")) as Report;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function summarize(report: Report, commit: string, began: Date, names: readonly string[]) {
  const tests = report.testResults
    .flatMap((file) => file.assertionResults)
    .filter(({ status }) => status !== "skipped");
  const ran = tests.filter(({ status }) => status === "passed" || status === "failed");
  const unloaded = report.testResults.filter(
    ({ assertionResults, message }) => assertionResults.length === 0 && message,
  );
  const failed = ran.filter(({ status }) => status === "failed").length + unloaded.length;
  const rows = [
    ...ran.map((test) => [test.status, `${Math.round((test.duration ?? 0) / 1000)} s`, test.fullName.trim()]),
    ...unloaded.map((file) => ["failed", "", file.message.split("\n", 1)[0] ?? file.name]),
  ];
  const head = [
    `commit ${commit} · ${began.toISOString().slice(0, 16).replace("T", " ")} UTC · Node ${process.version}`,
    `${cpus().length} × ${cpus()[0]?.model.trim() ?? "CPU"}, ${Math.round(totalmem() / 2 ** 30)} GB · ${mariadbVersion()}`,
    `${names.length > 0 ? `only: ${names.join(", ")}` : "every fault"} · ${ran.length - failed + unloaded.length} passed, ${failed} failed`,
  ];
  return { text: [...head, "", table(["result", "time", "fault"], rows, [1])].join("\n"), passed: ran.length, failed };
}

function page(summary: string): string {
  return `# Soak

\`npm run soak\` runs every fault of test/faults with the real deadlines (5 s to connect, 10 s a statement, 30 s of lease, outages of a
minute) and cuts a connection after each of 4,000 bytes; \`npm run soak -- flap\` lets the link to Server 2 flap every 5 s for ten
minutes. In the end each mail has arrived once, all books agree, the daemon has ended with 0 and said nothing on stderr.
\`--write\` keeps the summary here. The last one:

\`\`\`text
${stripVTControlCharacters(summary)}
\`\`\`
`;
}

function literal(name: string): string {
  return name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function git(...args: readonly string[]): string {
  return execFileSync("git", [...args], { cwd: projectRoot(), encoding: "utf8" }).trim();
}

function mariadbVersion(): string {
  const path = `${process.env.PATH ?? ""}:/usr/sbin:/usr/local/sbin`;
  const text = execFileSync("mariadbd", ["--version"], { encoding: "utf8", env: { ...process.env, PATH: path } });
  return `MariaDB ${/Ver (\S+)/.exec(text)?.[1] ?? "?"}`;
}
