import type { Clock } from "../../src/clock.js";

interface Nap {
  readonly until: number;
  readonly wake: () => void;
}

/** A clock that stands still until a test moves it; both its times start at `start`. */
export class ManualClock implements Clock {
  private passed = 0;
  private readonly naps = new Set<Nap>();
  private waiters: (() => void)[] = [];

  constructor(private start = Date.UTC(2026, 10, 24, 6)) {}

  now(): number {
    return this.start + this.passed;
  }

  monotonic(): number {
    return this.passed;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (ms <= 0 || signal?.aborted) return resolve();
      const nap: Nap = { until: this.passed + ms, wake: () => this.end(nap, resolve) };
      this.naps.add(nap);
      signal?.addEventListener("abort", nap.wake, { once: true });
      for (const told of this.waiters.splice(0)) told();
    });
  }

  /** Lets time pass: each nap that ends within it ends at its own instant, and what it wakes runs before the next one. */
  async advance(ms: number): Promise<void> {
    const end = this.passed + ms;
    await idle();
    for (let nap = this.first(); nap !== undefined && nap.until <= end; nap = this.first()) {
      this.passed = Math.max(this.passed, nap.until);
      nap.wake();
      await idle();
    }
    this.passed = end;
  }

  /** Moves the wall clock alone, as a step of NTP or a person does. */
  jump(ms: number): void {
    this.start += ms;
  }

  /** Ends when somebody sleeps on this clock. */
  async asleep(): Promise<void> {
    if (this.naps.size === 0) await new Promise<void>((resolve) => this.waiters.push(resolve));
  }

  private end(nap: Nap, resolve: () => void): void {
    this.naps.delete(nap);
    resolve();
  }

  private first(): Nap | undefined {
    return [...this.naps].sort((a, b) => a.until - b.until)[0];
  }
}

/** Ends when every promise that could go on without time or a socket has gone on. */
export function idle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
