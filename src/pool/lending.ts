import { createPool, type Pool } from "generic-pool";
import type { Clock } from "../clock.js";
import { CampaigndError, describe } from "../errors.js";
import { Waits, type WaitTimes } from "./waits.js";

export interface LendingOptions<T> {
  /** How the thing is called in errors, e.g. "connection to Server 2 (CRM)". */
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
  readonly clock: Clock;
  create(): Promise<T>;
  /** Why it must not be lent again, or undefined when it may; may ask the other side. A rejection counts as a reason. */
  unfit(item: T): Promise<string | undefined>;
  /** Closes it; ends when the other side has forgotten it too: until then it counts as in use. Never rejects. */
  destroy(item: T): Promise<void>;
  /** May its creation be tried again at once? */
  worthRetrying(error: unknown): boolean;
  /** A creation failed; the other side may be down. */
  failed?(error: unknown): void;
}

export interface LendingStats {
  readonly size: number;
  readonly inUse: number;
  readonly idle: number;
  readonly waiting: number;
  readonly created: number;
  /** Why things were destroyed, and how many each. */
  readonly destroyed: Readonly<Record<string, number>>;
  readonly timeouts: number;
  readonly waitMs: WaitTimes;
}

/** Slowest pace of dials to a server that refuses: four a second, so that waiters never turn into a storm. */
const DIAL_GAP = 250;

/**
 * Lends things through generic-pool, with the holes of generic-pool 3.9.0 closed here: a create that fails goes on inside
 * (a rejecting create is retried by the pool in a microtask loop that starves every timer), dials after a failure go one at a
 * time and spaced, fitness is checked after borrowing (a rejecting validate loses the slot for ever), the last creation error is
 * the cause of a wait that timed out, the sweep is ours, and drain has a deadline.
 */
export class Lending<T> {
  private readonly pool: Pool<T>;
  private readonly destroyed = new Map<string, number>();
  private readonly waits = new Waits();
  private readonly done = new AbortController();
  private created = 0;
  private timeouts = 0;
  private failures = 0;
  private lastError: unknown;
  private nextDial = 0;

  constructor(private readonly options: LendingOptions<T>) {
    this.pool = createPool<T>(
      { create: () => this.dial(), destroy: async () => undefined },
      {
        max: options.max,
        min: 0,
        ...(options.acquireTimeout === undefined ? {} : { acquireTimeoutMillis: options.acquireTimeout }),
        fifo: false,
      },
    );
    // The error itself reaches the waiter as the cause of its time-out; unheard, the event would end the process.
    this.pool.on("factoryCreateError", () => undefined);
    void this.sweep();
  }

  /**
   * Runs `work` with a lent thing; afterwards `doubt` says why it must not be lent again, if so.
   * Throws CampaigndError("unreachable") when none is free in time; else whatever `work` throws.
   */
  async use<R>(work: (item: T) => Promise<R>, doubt: (item: T) => string | undefined): Promise<R> {
    const item = await this.acquire();
    try {
      return await work(item);
    } finally {
      this.giveBack(item, doubt(item));
    }
  }

  stats(): LendingStats {
    return {
      size: this.pool.size,
      inUse: this.pool.borrowed,
      idle: this.pool.available,
      waiting: this.pool.pending,
      created: this.created,
      destroyed: Object.fromEntries(this.destroyed),
      timeouts: this.timeouts,
      waitMs: this.waits.times(),
    };
  }

  /** Lends nothing more, waits at most `ms` for what is lent, closes the rest. */
  async drain(ms: number): Promise<void> {
    this.done.abort();
    const enough = new AbortController();
    while (this.pool.available > 0) this.discard(await this.pool.acquire(), "drained");
    await Promise.race([this.pool.drain(), this.options.clock.sleep(ms, enough.signal)]);
    enough.abort();
  }

  private async acquire(): Promise<T> {
    const { clock, acquireTimeout = Number.POSITIVE_INFINITY } = this.options;
    const from = clock.monotonic();
    for (;;) {
      if (this.done.signal.aborted) throw this.closed();
      const item = await this.borrow();
      const unfit = await this.reasonAgainst(item);
      this.waits.add(clock.monotonic() - from);
      if (unfit === undefined) return item;
      this.discard(item, unfit);
      if (clock.monotonic() - from >= acquireTimeout) throw this.tooLate(undefined);
    }
  }

  private async borrow(): Promise<T> {
    try {
      return await this.pool.acquire();
    } catch (error) {
      throw this.done.signal.aborted ? this.closed() : this.tooLate(error);
    }
  }

  private async reasonAgainst(item: T): Promise<string | undefined> {
    try {
      return await this.options.unfit(item);
    } catch {
      return "lost";
    }
  }

  private giveBack(item: T, doubt: string | undefined): void {
    if (doubt !== undefined || this.done.signal.aborted) this.discard(item, doubt ?? "drained");
    else this.pool.release(item).catch(() => undefined);
  }

  /** Its place is free only when the other side has let go too. */
  private discard(item: T, why: string): void {
    this.destroyed.set(why, (this.destroyed.get(why) ?? 0) + 1);
    void this.options.destroy(item).then(() => this.pool.destroy(item).catch(() => undefined));
  }

  /** Looks at everything idle, so that what died while idle is gone before somebody needs it. */
  private async sweep(): Promise<void> {
    const { clock, sweepEvery } = this.options;
    for (;;) {
      await clock.sleep(sweepEvery, this.done.signal);
      if (this.done.signal.aborted) return;
      const idle = this.pool.pending === 0 ? this.pool.available : 0;
      const items = await Promise.all(Array.from({ length: idle }, () => this.pool.acquire().catch(() => undefined)));
      for (const item of items) if (item !== undefined) this.giveBack(item, await this.reasonAgainst(item));
    }
  }

  private closed(): CampaigndError {
    return new CampaigndError("stopped", `no ${this.options.what} is lent any more: shutting down`);
  }

  private tooLate(error: unknown): CampaigndError {
    this.timeouts += 1;
    const why = this.lastError === undefined ? "all are in use" : describe(this.lastError);
    const text = `no ${this.options.what} within ${this.options.acquireTimeout} ms: ${why}`;
    return new CampaigndError("unreachable", text, { timedOut: true }, { cause: this.lastError ?? error });
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
        this.fault(error);
        if (tries < this.options.tries && this.options.worthRetrying(error) && !this.done.signal.aborted) continue;
        // Rejecting frees the slot and makes the pool dial again for whoever still waits: not sooner than the gap.
        await this.turn();
        throw error;
      }
    }
  }

  private fault(error: unknown): void {
    this.failures += 1;
    this.lastError = error;
    this.nextDial = Math.max(this.nextDial, this.options.clock.monotonic() + this.gap());
    this.options.failed?.(error);
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
    await this.options.clock.sleep(at - now, this.done.signal);
  }
}
