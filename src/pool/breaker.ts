import type { Clock } from "../clock.js";

/** Why a server is not used: it does not answer, a person must act, or it takes no writes for now. */
export type Trouble = "unreachable" | "misconfigured" | "schema" | "readOnly" | "resources";

export interface BreakerOptions {
  readonly clock: Clock;
  /** Failures in a row that open it; a lasting refusal opens it at once. */
  readonly failures: number;
  /** Milliseconds between probes, by trouble. */
  readonly probeEvery: (trouble: Trouble) => number;
  opened(trouble: Trouble, error: unknown): void;
  closed(ms: number): void;
}

/**
 * A circuit breaker for one server: closed, open, half-open (one probe at a time).
 * Contention and rows never count: a bad row says nothing about a server.
 */
export class Breaker {
  private inARow = 0;
  private trouble: Trouble | undefined;
  private since = 0;
  private nextProbe = 0;
  private probing = false;

  constructor(private readonly options: BreakerOptions) {}

  /** The trouble while open, undefined while closed. */
  get state(): Trouble | undefined {
    return this.trouble;
  }

  /** May a statement go to the server now? While open, lets one probe through at a time. */
  admit(): boolean {
    if (this.trouble === undefined) return true;
    if (this.probing || this.options.clock.monotonic() < this.nextProbe) return false;
    this.probing = true;
    return true;
  }

  /** Milliseconds until the next probe may go; 0 while closed. */
  retryIn(): number {
    return this.trouble === undefined ? 0 : Math.max(0, this.nextProbe - this.options.clock.monotonic());
  }

  succeeded(): void {
    this.inARow = 0;
    this.probing = false;
    if (this.trouble === undefined) return;
    this.trouble = undefined;
    this.options.closed(this.options.clock.monotonic() - this.since);
  }

  failed(trouble: Trouble, error: unknown): void {
    this.inARow += 1;
    this.probing = false;
    const lasting = trouble === "misconfigured" || trouble === "schema";
    if (this.trouble === undefined && !lasting && this.inARow < this.options.failures) return;
    const edge = this.trouble === undefined;
    this.trouble = trouble;
    this.nextProbe = this.options.clock.monotonic() + this.options.probeEvery(trouble);
    if (!edge) return;
    this.since = this.options.clock.monotonic();
    this.options.opened(trouble, error);
  }

  /** A probe ended without saying anything about the server. */
  inconclusive(): void {
    this.probing = false;
  }
}
