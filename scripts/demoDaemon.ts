import { spawn } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { after, seconds, systemClock } from "../src/clock.js";
import { projectRoot } from "../test/support/projectRoot.js";

export interface DemoDaemon {
  readonly log: string;
  /** Whether the process still lives. */
  running(): boolean;
  /** Ends it as an operator would: TERM, and KILL after 30 s. */
  stop(): void;
  /** Its end; `code` is null when a signal ended it. */
  readonly ended: Promise<{ readonly code: number | null; readonly ms: number }>;
}

/** Starts `campaignd run --until-idle` with everything it says in a file; the interruption ends it. */
export async function startDaemon(options: {
  config: string;
  log: string;
  interrupted: AbortSignal;
}): Promise<DemoDaemon> {
  const { config, log, interrupted } = options;
  const began = systemClock.monotonic();
  const file = await open(log, "a", 0o600);
  const program = join(projectRoot(), "dist/cli/main.js");
  // A process group of its own: Ctrl-C reaches it once, through us.
  const child = spawn(process.execPath, [program, "run", "--until-idle", "--config", config], {
    detached: true,
    stdio: ["ignore", file.fd, file.fd],
  });
  const ended = once(child, "exit").then(async ([code]) => {
    await file.close();
    return { code: code as number | null, ms: systemClock.monotonic() - began };
  });
  const stop = (): void => {
    child.kill("SIGTERM");
    const giveUp = after(seconds(30), () => child.kill("SIGKILL"));
    void ended.then(giveUp);
  };
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  void ended.then(() => process.off("exit", kill));
  interrupted.addEventListener("abort", stop, { once: true });
  if (interrupted.aborted) stop();
  return { log, stop, ended, running: () => child.exitCode === null && child.signalCode === null };
}
