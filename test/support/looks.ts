import { monitorEventLoopDelay } from "node:perf_hooks";
import { systemClock } from "../../src/clock.js";

const LOOK_EVERY = 20;

/** Looks at a number again and again until told to end, and returns the highest seen. */
export function watchHighest(look: () => Promise<number> | number): { end(): Promise<number> } {
  const done = new AbortController();
  let highest = Number.NEGATIVE_INFINITY;
  const watching = (async () => {
    while (!done.signal.aborted) {
      highest = Math.max(highest, await look());
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

/** The longest time that this process's event loop did not turn, milliseconds. */
export function watchEventLoop(): { end(): number } {
  const resolution = 5;
  const delays = monitorEventLoopDelay({ resolution });
  delays.enable();
  return {
    end: () => {
      delays.disable();
      return delays.max / 1e6 - resolution;
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
