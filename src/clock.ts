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

/** "4 s", "12 min", "3 h 5 min": a span for people, rounded to what they need. */
export function humanSpan(ms: number): string {
  const s = Math.round(ms / 1000);
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  const h = Math.floor(s / 3600);
  const m = Math.round((s % 3600) / 60);
  return h < 48 ? `${h} h ${m} min` : `${Math.round(h / 24)} d`;
}
