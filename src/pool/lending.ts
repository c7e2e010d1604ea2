import { createPool, type Pool } from "generic-pool";
import type { Clock } from "../clock.js";
import { CampaigndError, describe } from "../errors.js";

export interface LendingOptions<T> {
  /** How the thing is called in errors, e.g. "a connection to Server 2 (CRM)". */
  readonly what: string;
  readonly max: number;
  /** Longest wait for a free one, milliseconds; undefined waits as long as it takes. */
  readonly acquireTimeout: number | undefined;
  /** Times a creation is tried before its error is passed on. */
  readonly tries: number;
  /** Milliseconds before the nth try after a failure (n = 1, 2, …). */
  readonly pause: (failures: number) => number;
  /** How often idle ones are looked at, milliseconds. */
  readonly sweepEvery: number;
  /** An idle one older than this is closed, milliseconds. */
  readonly idleLimit: number;
  readonly clock: Clock;
  create(): Promise<T>;
  /** Closes it; never rejects. */
  destroy(item: T): Promise<void>;
  /** Is it still fit to be lent? Never rejects: any error is `false`. */
  fit(item: T): Promise<boolean>;
  /** May its creation be tried again at once? */
  worthRetrying(error: unknown): boolean;
}

export interface LendingStats {
  readonly size: number;
  readonly inUse: number;
  readonly idle: number;
  readonly waiting: number;
  readonly created: number;
  readonly destroyed: number;
  readonly timeouts: number;
}

/** Slowest pace of dials to a server that refuses: four a second, so that waiters never turn into a storm. */
const DIAL_GAP = 250;

/**
 * Lends things through generic-pool, with the holes of generic-pool 3.9.0 closed here: a create that fails goes on inside
 * (a rejecting create is retried by the pool in a microtask loop that starves every timer), dials after a failure go one at a
 * time and spaced, validation never rejects (else the slot is lost for ever), the last creation error is the cause of a wait
 * that timed out, and drain has a deadline.
 */
export class Lending<T> {
  private readonly pool: Pool<T>;
  private created = 0;
  private destroyed = 0;
  private timeouts = 0;
  private failures = 0;
  private lastError: unknown;
  private nextDial = 0;
  private closed = false;

  constructor(private readonly options: LendingOptions<T>) {
    this.pool = createPool<T>(
      {
        create: () => this.dial(),
        destroy: async (item) => {
          this.destroyed += 1;
          await options.destroy(item);
        },
        validate: (item) => options.fit(item).catch(() => false),
      },
      {
        max: options.max,
        min: 0,
        testOnBorrow: true,
        ...(options.acquireTimeout === undefined ? {} : { acquireTimeoutMillis: options.acquireTimeout }),
        evictionRunIntervalMillis: options.sweepEvery,
        softIdleTimeoutMillis: -1,
        idleTimeoutMillis: options.idleLimit,
        numTestsPerEvictionRun: options.max,
        fifo: false,
      },
    );
    // The error itself reaches the waiter as the cause of its time-out; unheard, the event would end the process.
    this.pool.on("factoryCreateError", () => undefined);
    this.pool.on("factoryDestroyError", () => undefined);
  }

  /**
   * Runs `work` with a lent thing; afterwards `keep` decides whether it may be lent again.
   * Throws CampaigndError("unreachable") when none is free in time; else whatever `work` throws.
   */
  async use<R>(work: (item: T) => Promise<R>, keep: (item: T) => boolean): Promise<R> {
    const item = await this.acquire();
    try {
      return await work(item);
    } finally {
      await (keep(item) && !this.closed ? this.pool.release(item) : this.pool.destroy(item));
    }
  }

  stats(): LendingStats {
    return {
      size: this.pool.size,
      inUse: this.pool.borrowed,
      idle: this.pool.available,
      waiting: this.pool.pending,
      created: this.created,
      destroyed: this.destroyed,
      timeouts: this.timeouts,
    };
  }

  /** Lends nothing more, waits at most `ms` for what is lent, closes the rest. */
  async drain(ms: number): Promise<void> {
    this.closed = true;
    const enough = new AbortController();
    await Promise.race([this.pool.drain(), this.options.clock.sleep(ms, enough.signal)]);
    enough.abort();
    await Promise.race([Promise.resolve(this.pool.clear()), this.options.clock.sleep(DIAL_GAP)]);
  }

  private async acquire(): Promise<T> {
    if (this.closed) throw new CampaigndError("stopped", `${this.options.what} is not lent any more: shutting down`);
    try {
      return await this.pool.acquire();
    } catch (error) {
      this.timeouts += 1;
      const why = this.lastError === undefined ? "all are in use" : describe(this.lastError);
      const text = `no ${this.options.what} within ${this.options.acquireTimeout} ms: ${why}`;
      throw new CampaigndError("unreachable", text, {}, { cause: this.lastError ?? error });
    }
  }

  private async dial(): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      await this.turn();
      try {
        const item = await this.options.create();
        this.created += 1;
        this.failures = 0;
        this.lastError = undefined;
        return item;
      } catch (error) {
        this.failures += 1;
        this.lastError = error;
        this.nextDial = Math.max(this.nextDial, this.options.clock.monotonic() + this.gap());
        const last = tries >= this.options.tries || !this.options.worthRetrying(error) || this.closed;
        if (last) {
          // Rejecting frees the slot and makes the pool dial again for whoever still waits: not sooner than the gap.
          await this.turn();
          throw error;
        }
      }
    }
  }

  private gap(): number {
    return Math.max(DIAL_GAP, this.options.pause(this.failures));
  }

  /** While dials fail, hands out one place at a time, a gap apart; otherwise at once. */
  private async turn(): Promise<void> {
    if (this.failures === 0) return;
    const now = this.options.clock.monotonic();
    const at = Math.max(now, this.nextDial);
    this.nextDial = at + this.gap();
    await this.options.clock.sleep(at - now);
  }
}
