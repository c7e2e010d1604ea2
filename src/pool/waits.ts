/** Percentiles of the waits for a lent thing, milliseconds. */
export interface WaitTimes {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

const REMEMBERED = 1000;

/** The last thousand waits. */
export class Waits {
  private readonly ring: number[] = [];
  private next = 0;

  add(ms: number): void {
    this.ring[this.next] = ms;
    this.next = (this.next + 1) % REMEMBERED;
  }

  times(): WaitTimes {
    const sorted = [...this.ring].sort((a, b) => a - b);
    const at = (share: number) => Math.round(100 * (sorted[Math.floor(share * (sorted.length - 1))] ?? 0)) / 100;
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
  }
}
