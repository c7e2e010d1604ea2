import { setMaxListeners } from "node:events";
import { createPool, type Pool } from "generic-pool";
import { CampaigndError, describe } from "../errors.js";
import { Dialer, type DialerOptions } from "./dialer.js";
import { Waits, type WaitTimes } from "./waits.js";

export interface LendingOptions<T> extends DialerOptions<T> {
  readonly max: number;
  /** Longest wait for a free one, milliseconds; undefined waits as long as it takes. */
  readonly acquireTimeout: number | undefined;
  /** How often idle ones are looked at, milliseconds. */
  readonly sweepEvery: number;
  /** Why it must not be lent again, or undefined when it may; may ask the other side. A rejection counts as a reason. */
  unfit(item: T): Promise<string | undefined>;
  /** Closes it; ends when the other side has forgotten it too: until then it counts as in use. Never rejects. */
  destroy(item: T): Promise<void>;
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

/**
 * Lends things through generic-pool, with the holes of generic-pool 3.9.0 closed here: creating goes through a Dialer, fitness is
 * checked after borrowing (a rejecting validate loses the slot for ever), the last creation error is the cause of a wait that
 * timed out, the sweep is ours, and drain has a deadline.
 */
export class Lending<T> {
  private readonly pool: Pool<T>;
  private readonly destroyed = new Map<string, number>();
  private readonly waits = new Waits();
  private readonly done = new AbortController();
  private readonly dialer: Dialer<T>;
  private timeouts = 0;

  constructor(private readonly options: LendingOptions<T>) {
    // Everybody who waits for a turn to dial listens to this one signal.
    setMaxListeners(0, this.done.signal);
    this.dialer = new Dialer(options, this.done.signal);
    this.pool = createPool<T>(
      { create: () => this.dialer.dial(), destroy: async () => undefined },
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
   * Throws CampaigndError("unreachable", waitedFor) when none is free in time, caused by the last failed creation; else whatever `work` throws.
   */
  async use<R>(work: (item: T) => Promise<R>, doubt: (item: T) => string | undefined, abort?: AbortSignal): Promise<R> {
    const item = await this.acquire(abort);
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
      created: this.dialer.created,
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

  private async acquire(abort: AbortSignal | undefined): Promise<T> {
    const { clock, acquireTimeout = Number.POSITIVE_INFINITY } = this.options;
    const from = clock.monotonic();
    for (;;) {
      if (this.done.signal.aborted) throw this.closed();
      const item = await (abort ? this.unless(abort, this.borrow()) : this.borrow());
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

  /** The borrowed thing, unless the abort comes first: then it goes straight back when it arrives. */
  private unless(abort: AbortSignal, borrowed: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let left = false;
      const leave = (): void => {
        left = true;
        reject(new CampaigndError("stopped", `nobody waits for a ${this.options.what} any more`));
      };
      if (abort.aborted) leave();
      abort.addEventListener("abort", leave, { once: true });
      borrowed
        .then((item) => (left ? this.giveBack(item, undefined) : resolve(item)), reject)
        .finally(() => abort.removeEventListener("abort", leave));
    });
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
      await Promise.all(Array.from({ length: idle }, () => this.lookAtOne()));
    }
  }

  private async lookAtOne(): Promise<void> {
    const item = await this.pool.acquire().catch(() => undefined);
    if (item !== undefined) this.giveBack(item, await this.reasonAgainst(item));
  }

  private closed(): CampaigndError {
    return new CampaigndError("stopped", `no ${this.options.what} is lent any more: shutting down`);
  }

  private tooLate(error: unknown): CampaigndError {
    this.timeouts += 1;
    const none = this.pool.borrowed < this.options.max ? "the other side has not answered yet" : "all are in use";
    const why = this.dialer.lastError === undefined ? none : describe(this.dialer.lastError);
    const text = `no ${this.options.what} within ${this.options.acquireTimeout} ms: ${why}`;
    const waitedFor = this.dialer.lastError === undefined ? "a place" : "a dial";
    return new CampaigndError(
      "unreachable",
      text,
      { timedOut: true, waitedFor },
      { cause: this.dialer.lastError ?? error },
    );
  }
}
