import { setTimeout as timer } from "node:timers/promises";

/** The only reader of time; everything else asks a Clock, so that tests can move it. All values are milliseconds. */
export interface Clock {
  /** Wall-clock time, milliseconds since 1970 UTC; may jump. */
  now(): number;
  /** Milliseconds that never go back; stands still while the machine is suspended. */
  monotonic(): number;
  /** Ends after `ms`, or at once when the signal aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    await timer(ms, undefined, signal ? { signal } : {}).catch(() => undefined);
  },
};

export const seconds = (n: number): number => n * 1000;
export const minutes = (n: number): number => n * 60_000;
export const hours = (n: number): number => n * 3_600_000;
export const days = (n: number): number => n * 86_400_000;

/** Runs `act` after `ms` unless the returned function is called first; the timer keeps no process alive. */
export function after(ms: number, act: () => void): () => void {
  const handle = setTimeout(act, ms);
  handle.unref();
  return () => clearTimeout(handle);
}
