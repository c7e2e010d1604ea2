import { once } from "node:events";
import { systemClock } from "../clock.js";
import type { Config } from "../config/config.js";
import { connect, type Server } from "../db/connect.js";
import { Pulse } from "../db/pulse.js";
import { CampaigndError, describe, EXIT_CONFIG, isKind } from "../errors.js";
import { News } from "../events.js";
import { writeLog } from "../log.js";
import { Services } from "../service.js";
import { Conditions } from "../worker/conditions.js";
import { assemble } from "./daemon.js";
import { firstContact } from "./firstContact.js";
import { lockStateDir } from "./stateDir.js";

export interface RunOptions {
  readonly config: Config;
  readonly version: string;
  /** End with 0 when no campaign is running any more. */
  readonly untilIdle: boolean;
  /** Where the one line about a failed start goes, beside the log. */
  readonly complain: (line: string) => void;
}

const IDLE_LOOK = 100;
const LED_PAST =
  "another daemon leads this queue and has put right what this one had claimed; start it again to stand by";
const CUT_SHORT = "stopped before everything in flight had landed; what was released is parked at the next start";
const clock = systemClock;

/** Runs the daemon until a signal, idleness or a fatal fault; returns the exit code (0, 1, or 78 for what no restart mends). */
export async function run(options: RunOptions): Promise<number> {
  try {
    return await logged(options);
  } catch (error) {
    options.complain(describe(error));
    return isKind(error, "config") ? EXIT_CONFIG : 1;
  }
}

/** Lives with a log of all news, whose last line is written when this ends. */
async function logged(options: RunOptions): Promise<number> {
  const { config } = options;
  const news = new News();
  const log = writeLog(news, {
    ...config.log,
    secrets: [config.servers.emailId.password, config.servers.crm.password],
  });
  const ending = new Ending();
  const forget = ending.listen();
  try {
    return await live(options, news, ending);
  } finally {
    forget();
    await log.close();
  }
}

async function live(options: RunOptions, news: News, ending: Ending): Promise<number> {
  const { config } = options;
  const conditions = new Conditions(clock);
  const stateDir = await lockStateDir(config.stateDir, () => {
    const reasons = conditions.all();
    return { pid: process.pid, state: reasons.length > 0 ? "degraded" : "ok", reasons };
  });
  // With Server 1 away nothing new is claimed: recipients and suppression could not be read; what is claimed goes on.
  const emailId = connect("emailId", config, clock, news, (trouble) =>
    trouble ? conditions.stop("server1", `Server 1 is ${trouble}`, { reach: "claims" }) : conditions.clear("server1"),
  );
  const crm = connect("crm", config, clock, news, (trouble) =>
    trouble ? conditions.stop("server2", `Server 2 is ${trouble}`) : conditions.clear("server2"),
  );
  const services = new Services(clock, news);
  // From the first contact on: what a server that was away opens, only a probe closes.
  const pulses = [emailId, crm].map(({ db }) => new Pulse(db, clock));
  for (const pulse of pulses) await pulse.start();
  try {
    const [, probe] = await Promise.all([
      firstContact("emailId", emailId, clock, news, ending.signal),
      firstContact("crm", crm, clock, news, ending.signal),
    ]);
    if (!probe || ending.signal.aborted) return 0;
    const daemon = assemble({
      ...options,
      clock,
      news,
      conditions,
      emailId,
      crm,
      probe,
      stateDir,
      usurped: () => ending.usurp(),
    });
    await services.start(daemon.services);
    news.emit("daemon:started", { version: options.version, pid: process.pid, owner: stateDir.owner });
    await ending.wait(options.untilIdle ? () => daemon.monitor.idle : undefined);
    return await stop(services, conditions, config, news, ending);
  } finally {
    await Promise.all(pulses.map((pulse) => pulse.stop()));
    await close([emailId, crm], config);
    await stateDir.release();
  }
}

/** No new claims, unsent ones go back, what is in flight lands; gives up after shutdown.drain or at a second signal. */
async function stop(
  services: Services,
  conditions: Conditions,
  config: Config,
  news: News,
  ending: Ending,
): Promise<number> {
  const from = clock.monotonic();
  news.emit("daemon:stopping", { reason: ending.reason });
  conditions.stop("shutdown", "the daemon is stopping");
  const late = new AbortController();
  const drained = services.stop().then(() => true);
  const patience = Promise.race([clock.sleep(config.shutdown.drain, late.signal), ending.again()]).then(() => false);
  const clean = await Promise.race([drained, patience]);
  late.abort();
  if (ending.failed) throw new CampaigndError("stopped", LED_PAST);
  if (!clean) throw new CampaigndError("stopped", CUT_SHORT);
  news.emit("daemon:stopped", { ms: Math.round(clock.monotonic() - from) });
  return 0;
}

async function close(servers: readonly Server[], config: Config): Promise<void> {
  await Promise.all(servers.map(({ pool }) => pool.drain(config.pool.drain)));
}

/** Why and when the daemon ends: a signal, idleness, or another daemon that took over. */
class Ending {
  private readonly first = new AbortController();
  private readonly second = new AbortController();
  reason = "idle";
  failed = false;

  get signal(): AbortSignal {
    return this.first.signal;
  }

  listen(): () => void {
    const heard = (signal: NodeJS.Signals) => {
      if (this.first.signal.aborted) this.second.abort();
      this.reason = signal;
      this.first.abort();
    };
    process.on("SIGTERM", heard);
    process.on("SIGINT", heard);
    return () => {
      process.off("SIGTERM", heard);
      process.off("SIGINT", heard);
    };
  }

  usurp(): void {
    this.reason = "another daemon leads";
    this.failed = true;
    this.first.abort();
    this.second.abort();
  }

  async wait(idle: (() => boolean) | undefined): Promise<void> {
    while (!this.first.signal.aborted && !idle?.()) {
      await clock.sleep(idle ? IDLE_LOOK : 60_000, this.first.signal);
    }
  }

  async again(): Promise<void> {
    if (!this.second.signal.aborted) await once(this.second.signal, "abort");
  }
}
