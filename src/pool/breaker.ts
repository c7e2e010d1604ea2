import type { Clock } from "../clock.js";

/** Why a server is not used: it does not answer, a person must act, or it takes no writes for now. */
export type Trouble = "unreachable" | "misconfigured" | "schema" | "readOnly" | "resources";

export interface BreakerOptions {
  readonly clock: Clock;
  /** Failures in a row that open it; what the server says of itself opens it at once. */
  readonly failures: number;
  /** Milliseconds between probes, by trouble. */
  readonly probeEvery: (trouble: Trouble) => number;
  opened(trouble: Trouble, error: unknown): void;
  closed(ms: number): void;
}

/** For so long a write refused for want of space or handles is remembered, milliseconds. */
const REMEMBERED = 30_000;

/**
 * A circuit breaker for one server: closed; open, so that everybody is refused at once; half-open while the one probe is out.
 * Contention and rows never count: a bad row says nothing about a server.
 */
export class Breaker {
  private inARow = 0;
  private shortages = { count: 0, last: Number.NEGATIVE_INFINITY };
  private trouble: Trouble | undefined;
  private since = 0;
  private nextProbe = 0;
  private error: unknown;

  constructor(private readonly options: BreakerOptions) {}

  /** The trouble while open, undefined while closed. */
  get state(): Trouble | undefined {
    return this.trouble;
  }

  /** What opened it, or last kept it open; undefined while closed. */
  get lastError(): unknown {
    return this.trouble === undefined ? undefined : this.error;
  }

  /** Milliseconds until the next probe may go; 0 while closed. */
  retryIn(): number {
    return this.trouble === undefined ? 0 : Math.max(0, this.nextProbe - this.options.clock.monotonic());
  }

  /** A statement was answered. While open that proves nothing: it began before, or was a read where writes are refused. */
  succeeded(): void {
    this.inARow = 0;
  }

  /** The probe was answered: closes. */
  probed(): void {
    this.inARow = 0;
    this.shortages.count = 0;
    if (this.trouble === undefined) return;
    this.trouble = undefined;
    this.options.closed(this.options.clock.monotonic() - this.since);
  }

  /** Opens at once on what a server says of itself, otherwise after several failures in a row; says only the edge. */
  failed(trouble: Trouble, error: unknown): void {
    const count = trouble === "resources" ? this.countShortage() : ++this.inARow;
    const said = trouble === "misconfigured" || trouble === "schema" || trouble === "readOnly";
    if (this.trouble === undefined && !said && count < this.options.failures) return;
    const edge = this.trouble === undefined || this.trouble !== trouble;
    if (this.trouble === undefined) this.since = this.options.clock.monotonic();
    this.trouble = trouble;
    this.error = error;
    this.nextProbe = this.options.clock.monotonic() + this.options.probeEvery(trouble);
    if (edge) this.options.opened(trouble, error);
  }

  /** No success takes these back, only time: a server whose disk is full goes on answering reads. */
  private countShortage(): number {
    const now = this.options.clock.monotonic();
    const count = now - this.shortages.last < REMEMBERED ? this.shortages.count + 1 : 1;
    this.shortages = { count, last: now };
    return count;
  }
}
