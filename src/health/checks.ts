import { ReadThrough } from "../cache/readThrough.js";
import type { Clock } from "../clock.js";
import type { Config } from "../config/config.js";
import type { Server } from "../db/connect.js";
import { alive, firstLook, readClock, readLimits, type ServerClock, type SessionLimitsRead } from "../db/vitals.js";
import { describe } from "../errors.js";

/** What was measured of one server; each step is undefined when it was not reached. */
export interface ServerFindings {
  readonly connectedMs?: number;
  readonly pool?: { readonly ms: number; readonly created: number; readonly inUse: number };
  readonly lookMs?: number;
  readonly limits?: SessionLimitsRead;
  readonly clock?: ServerClock & { readonly differenceMs: number };
  /** Why the next step could not be measured. */
  readonly fault?: string;
}

const TURNS = 3;
const CACHE_TTL = 50;

/** Measures one server step by step; what was measured before a fault stays. Ends within `deadline` milliseconds. */
export async function examine(server: Server, clock: Clock, deadline: number): Promise<ServerFindings> {
  const found: { -readonly [K in keyof ServerFindings]: ServerFindings[K] } = {};
  const steps = walk(server, clock, found).catch((error: unknown) => {
    found.fault = describe(error);
  });
  const enough = new AbortController();
  const late = clock.sleep(deadline, enough.signal).then(() => {
    if (!enough.signal.aborted) found.fault ??= `no answer within ${deadline / 1000} s`;
  });
  await Promise.race([steps, late]);
  enough.abort();
  return { ...found };
}

async function walk(
  { db, pool }: Server,
  clock: Clock,
  found: { -readonly [K in keyof ServerFindings]: ServerFindings[K] },
): Promise<void> {
  const timed = async (work: () => Promise<unknown>) => {
    const from = clock.monotonic();
    await work();
    return clock.monotonic() - from;
  };
  found.connectedMs = await timed(() => alive(db));
  const ms = await timed(async () => {
    for (let turn = 0; turn < TURNS; turn += 1) await alive(db);
  });
  const { created, inUse } = pool.stats();
  found.pool = { ms, created, inUse };
  found.lookMs = await timed(() => firstLook(db));
  found.limits = await readLimits(db);
  const asked = clock.now();
  const theirs = await readClock(db);
  // The server's answer has whole seconds: only what lies beyond the second and the round trip is a difference.
  const ours = (asked + clock.now()) / 2;
  found.clock = { ...theirs, differenceMs: Math.round(theirs.epoch * 1000 + 500 - ours) };
}

/** Puts an entry into a cache like the daemon's, reads it, and sees it expire; milliseconds until it had. */
export async function examineCache(clock: Clock): Promise<number> {
  let loads = 0;
  const cache = new ReadThrough<string, { turn: number }>({
    ttl: CACHE_TTL,
    max: 1,
    load: async () => ({ turn: ++loads }),
  });
  const from = clock.monotonic();
  const first = await cache.get("entry");
  if ((await cache.get("entry")).turn !== first.turn) throw new Error("an entry was not kept");
  while ((await cache.get("entry")).turn === first.turn) {
    if (clock.monotonic() - from > 20 * CACHE_TTL) throw new Error("an entry did not expire");
    await clock.sleep(5);
  }
  return clock.monotonic() - from;
}

/** The settings under which a health check asks: one connection a server, and no wait that would outlast the check. */
export function sparing(config: Config, longest: number): Config {
  const { servers, pool } = config;
  const one = { ...servers.emailId, maxConnections: 2 };
  return {
    ...config,
    servers: { emailId: one, crm: { ...servers.crm, maxConnections: 3 } },
    pool: {
      ...pool,
      connectTimeout: Math.min(pool.connectTimeout, longest),
      statementTimeout: Math.min(pool.statementTimeout, longest),
      acquireTimeout: Math.min(pool.acquireTimeout, longest),
    },
  };
}
