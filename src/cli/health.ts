import { Command } from "commander";
import { systemClock } from "../clock.js";
import type { Config } from "../config/config.js";
import { connect } from "../db/connect.js";
import { leaseHolder } from "../db/fence.js";
import { describe } from "../errors.js";
import { News, type ServerName } from "../events.js";
import { examine, examineCache, sparing } from "../health/checks.js";
import { askInstance } from "../health/instance.js";
import { type Findings, type HealthReport, type Mark, report } from "../health/report.js";
import { configOf } from "./configOf.js";

/** No wait for one answer is longer than this, and all of it ends within the deadline (contract §9: 12 s in all). */
const LONGEST = 5000;
const DEADLINE = 10_500;

const MARKS: Readonly<Record<Mark, string>> = { ok: "✅", warning: "⚠️", bad: "❌" };

/** `campaignd health`: six lines that operators know, each measured now, with the daemon running or not. */
export function healthCommand(): Command {
  return new Command("health")
    .description("measure both servers, pool, cache and time-outs; exit 0 well, 1 ill, 2 Server 2 unreachable")
    .option("--json", "machine-readable")
    .action(async (options: { json?: boolean }, command: Command) => {
      const config = configOf(command);
      if (!config) return;
      const health = await measure(config);
      process.stdout.write(options.json ? `${JSON.stringify(health, null, 2)}\n` : asText(health));
      // A server that hangs keeps sockets open; the answer is given, so the command ends.
      process.exit(health.exitCode);
    });
}

async function measure(config: Config): Promise<HealthReport & { findings: Findings }> {
  const clock = systemClock;
  const news = new News();
  const careful = sparing(config, LONGEST);
  const server = (name: ServerName) => connect(name, careful, clock, news, () => undefined);
  const crm = server("crm");
  const [first, second, cache, instance] = await Promise.all([
    examine(server("emailId"), clock, DEADLINE),
    examine(crm, clock, DEADLINE),
    examineCache(clock).then(
      (ms) => ({ ms }),
      (error: unknown) => ({ fault: describe(error) }),
    ),
    askInstance(config.stateDir),
  ]);
  const leader = second.fault === undefined ? await soon(leaseHolder(crm.db)) : undefined;
  const findings = { emailId: first, crm: second, cache, instance, leader };
  return { ...report(findings, config), findings };
}

/** A last word that is worth a second, not more. */
function soon<T>(work: Promise<T>): Promise<T | undefined> {
  const late = systemClock.sleep(1000).then(() => undefined);
  return Promise.race([work.catch(() => undefined), late]);
}

function asText({ lines, words }: HealthReport): string {
  return `${[...lines.map(({ mark, text }) => `${MARKS[mark]} ${text}`), "", ...words].join("\n")}\n`;
}
