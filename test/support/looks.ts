import { systemClock } from "../../src/clock.js";

const LOOK_EVERY = 20;

/** Looks at a number again and again until told to end, and returns the highest seen. */
export function watchHighest(look: () => Promise<number>): { end(): Promise<number> } {
  const done = new AbortController();
  let highest = Number.NEGATIVE_INFINITY;
  const watching = (async () => {
    while (!done.signal.aborted) {
      // A look that fails, e.g. while its server is down, says nothing.
      highest = Math.max(highest, await look().catch(() => highest));
      await systemClock.sleep(LOOK_EVERY, done.signal);
    }
  })();
  return {
    end: async () => {
      done.abort();
      await watching;
      return highest;
    },
  };
}

/**
 * The longest turn of this process's event loop, milliseconds of its own CPU time: a stall that we make ourselves, not one that
 * a busy machine makes for us.
 */
export function watchEventLoop(): { end(): number } {
  let longest = 0;
  let before = process.cpuUsage();
  const look = () => {
    const used = process.cpuUsage(before);
    longest = Math.max(longest, (used.user + used.system) / 1000);
    before = process.cpuUsage();
  };
  const timer = setInterval(look, 1);
  return {
    end: () => {
      clearInterval(timer);
      look();
      return longest;
    },
  };
}

/** How a promise ended and after how many milliseconds. */
export async function timed<T>(work: Promise<T>): Promise<{ ms: number; value?: T; error?: unknown }> {
  const from = systemClock.monotonic();
  try {
    const value = await work;
    return { ms: systemClock.monotonic() - from, value };
  } catch (error) {
    return { ms: systemClock.monotonic() - from, error };
  }
}
