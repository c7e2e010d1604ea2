import { setMaxListeners } from "node:events";
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
  /** May nothing be created for now, whoever waits? Asked before each creation. */
  barred?(): boolean;
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

/** Fastest pace of dials to a server that refuses: two a second, so that waiters, probe and KILLs together stay under five. */
const DIAL_GAP = 500;

/** How often a dial that is barred looks whether it may go. */
const BARRED_LOOK = 100;

/** For so long a dial that succeeded lets others go side by side; after that one goes ahead alone. */
const FRESH = 1000;

/**
 * Lends things through generic-pool, with the holes of generic-pool 3.9.0 closed here: a create that fails goes on inside
 * (a rejecting create is retried by the pool in a microtask loop that starves every timer), one dial goes ahead of the others and
 * after a failure they go one at a time and spaced, fitness is checked after borrowing (a rejecting validate loses the slot for ever), the last creation error is
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
  private lastGood = Number.NEGATIVE_INFINITY;
  /** The dial that goes ahead: twenty at once would be a storm where nobody listens. */
  private scout: Promise<void> | undefined;

  constructor(private readonly options: LendingOptions<T>) {
    // Everybody who waits for a turn to dial listens to this one signal.
    setMaxListeners(0, this.done.signal);
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
    const why = this.lastError === undefined ? none : describe(this.lastError);
    const text = `no ${this.options.what} within ${this.options.acquireTimeout} ms: ${why}`;
    const waitedFor = this.lastError === undefined ? "a place" : "a dial";
    return new CampaigndError("unreachable", text, { timedOut: true, waitedFor }, { cause: this.lastError ?? error });
  }

  private async dial(): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      const arrived = await this.turn();
      if (this.options.barred?.()) {
        arrived();
        // Not at once: the pool would dial again in the same breath, and no timer would run.
        await this.options.clock.sleep(BARRED_LOOK, this.done.signal);
        throw this.lastError ?? new Error(`no ${this.options.what} is opened for now`);
      }
      try {
        const item = await this.options.create();
        this.created += 1;
        this.failures = 0;
        this.lastError = undefined;
        this.lastGood = this.options.clock.monotonic();
        arrived();
        return item;
      } catch (error) {
        this.fault(error);
        arrived();
        if (tries < this.options.tries && this.options.worthRetrying(error) && !this.done.signal.aborted) continue;
        // Rejecting frees the slot and makes the pool dial again for whoever still waits: not sooner than the gap.
        await this.spaced();
        throw error;
      }
    }
  }

  private fault(error: unknown): void {
    this.failures += 1;
    this.lastError = error;
    this.nextDial = this.options.clock.monotonic() + Math.max(DIAL_GAP, this.options.pause(this.failures));
    this.options.failed?.(error);
  }

  /**
   * Ends when this dial may go, and returns what is to be called when it has arrived or failed: at once while dials succeed,
   * behind the one that goes ahead when that is not known, a gap apart while they fail.
   */
  private async turn(): Promise<() => void> {
    const { clock } = this.options;
    while (this.scout && !this.done.signal.aborted) await this.scout;
    if (this.failures === 0 && clock.monotonic() - this.lastGood < FRESH) return () => undefined;
    let arrived = (): void => undefined;
    const scout = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    this.scout = scout;
    await this.spaced();
    return () => {
      if (this.scout === scout) this.scout = undefined;
      arrived();
    };
  }

  /** While dials fail: not sooner than a gap after the last one. */
  private async spaced(): Promise<void> {
    const { clock } = this.options;
    if (this.failures > 0) await clock.sleep(Math.max(0, this.nextDial - clock.monotonic()), this.done.signal);
  }
}
