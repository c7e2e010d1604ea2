import type { Clock } from "../clock.js";

export interface DialerOptions<T> {
  /** How the thing is called in errors, e.g. "connection to Server 2 (CRM)". */
  readonly what: string;
  /** Times a creation is tried before its error is passed on. */
  readonly tries: number;
  /** Milliseconds before the nth try after a failure (n = 1, 2, …). */
  readonly pause: (failures: number) => number;
  readonly clock: Clock;
  create(): Promise<T>;
  /** May its creation be tried again at once? */
  worthRetrying(error: unknown): boolean;
  /** A creation failed; the other side may be down. */
  failed?(error: unknown): void;
  /** May nothing be created for now, whoever waits? Asked before each creation. */
  barred?(): boolean;
}

/** Fastest pace of dials to a server that refuses: two a second, so that waiters, probe and KILLs together stay under five. */
const DIAL_GAP = 500;

/** How often a dial that is barred looks whether it may go. */
const BARRED_LOOK = 100;

/** For so long a dial that succeeded lets others go side by side; after that one goes ahead alone. */
const FRESH = 1000;

/**
 * Creates things at a pace that the other side can bear: generic-pool retries a rejecting create in a microtask loop that starves
 * every timer, so failures go on inside. One dial goes ahead of the others, and after a failure they go one at a time and spaced.
 */
export class Dialer<T> {
  private count = 0;
  private failures = 0;
  private error: unknown;
  private nextDial = 0;
  private lastGood = Number.NEGATIVE_INFINITY;
  /** The dial that goes ahead: twenty at once would be a storm where nobody listens. */
  private scout: Promise<void> | undefined;

  constructor(
    private readonly options: DialerOptions<T>,
    /** Aborted at shutdown: no wait outlasts it. */
    private readonly done: AbortSignal,
  ) {}

  /** Things created so far. */
  get created(): number {
    return this.count;
  }

  /** Why the last creation failed; undefined since one succeeded. */
  get lastError(): unknown {
    return this.error;
  }

  /** Creates one; throws the last error when its tries are used up, not sooner than a gap after it. */
  async dial(): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      const arrived = await this.turn();
      if (this.options.barred?.()) {
        arrived();
        // Not at once: the pool would dial again in the same breath, and no timer would run.
        await this.options.clock.sleep(BARRED_LOOK, this.done);
        throw this.error ?? new Error(`no ${this.options.what} is opened for now`);
      }
      try {
        const item = await this.options.create();
        this.count += 1;
        this.failures = 0;
        this.error = undefined;
        this.lastGood = this.options.clock.monotonic();
        arrived();
        return item;
      } catch (error) {
        this.fault(error);
        arrived();
        if (tries < this.options.tries && this.options.worthRetrying(error) && !this.done.aborted) continue;
        // Rejecting frees the slot and makes the pool dial again for whoever still waits: not sooner than the gap.
        await this.spaced();
        throw error;
      }
    }
  }

  private fault(error: unknown): void {
    this.failures += 1;
    this.error = error;
    this.nextDial = this.options.clock.monotonic() + Math.max(DIAL_GAP, this.options.pause(this.failures));
    this.options.failed?.(error);
  }

  /**
   * Ends when this dial may go, and returns what is to be called when it has arrived or failed: at once while dials succeed,
   * behind the one that goes ahead when that is not known, a gap apart while they fail.
   */
  private async turn(): Promise<() => void> {
    const { clock } = this.options;
    while (this.scout && !this.done.aborted) await this.scout;
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
    if (this.failures > 0) await clock.sleep(Math.max(0, this.nextDial - clock.monotonic()), this.done);
  }
}
