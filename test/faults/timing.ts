import { hours, minutes, seconds } from "../../src/clock.js";
import type { SandboxSettings } from "../support/sandboxConfig.js";

/** How long a fault lasts and what the daemon's deadlines are. */
export interface Timing {
  readonly settings: SandboxSettings;
  /** How long a server is away, milliseconds. */
  readonly outage: number;
  /** Longest time from the end of a fault to the next mail, milliseconds. */
  readonly recovery: number;
  /** Longest time of a whole test, milliseconds. */
  readonly test: number;
  /** `monitor.blind`, milliseconds. */
  readonly blind: number;
  /** Mails of a campaign: enough to be still busy when the fault begins. */
  readonly mails: number;
  readonly flapping: {
    /** How long a link flaps, and each of its phases, milliseconds. */
    readonly for: number;
    readonly phase: number;
    readonly mails: number;
    /** How much larger the daemon may be in the last third of that time than in the first, bytes. */
    readonly drift: number;
  };
}

const MB = 2 ** 20;

/** The daemon's real deadlines and outages of a minute: `npm run soak`. */
const REAL: Timing = {
  settings: { log: { level: "debug", addresses: "full" } },
  outage: seconds(60),
  recovery: seconds(35),
  test: hours(1),
  blind: seconds(60),
  mails: 2000,
  flapping: { for: minutes(10), phase: seconds(5), mails: 20_000, drift: 10 * MB },
};

/** Everything about a tenth to a fifth, so that a fault takes seconds. */
const SCALED: Timing = {
  settings: {
    pool: {
      connectTimeout: "500ms",
      statementTimeout: "1500ms",
      acquireTimeout: "500ms",
      pingIdle: "500ms",
      pingTimeout: "300ms",
      healthEvery: "2s",
      idleLimit: "3s",
      lockWait: "1s",
      drain: "2s",
    },
    monitor: { far: "1s", middle: "1s", near: "1s", end: "500ms", blind: "5s" },
    lease: { ttl: "5s", renew: "700ms", timeout: "500ms" },
    accounts: { reread: "1s", restAfterFault: "1s" },
    suppression: { maxAge: "10s" },
    takeover: { quietFor: "3s" },
    log: { level: "debug", addresses: "full" },
  },
  outage: seconds(3),
  recovery: seconds(7),
  test: seconds(40),
  blind: seconds(5),
  mails: 240,
  // So short a time is mostly a young process growing to its size.
  flapping: { for: seconds(6), phase: seconds(1), mails: 480, drift: 60 * MB },
};

/** SOAK=1 asks for the real numbers. */
export const timing: Timing = process.env.SOAK ? REAL : SCALED;
