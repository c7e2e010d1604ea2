import type { Clock } from "./clock.js";

export interface LoopOptions {
  readonly name: string;
  readonly clock: Clock;
  /** Does one round and returns how long to nap, in milliseconds. */
  tick(): Promise<number>;
  /** Answers a tick that threw with the nap before the next one; the loop itself never dies of an error. */
  failed(error: unknown): number;
}

const STEP = 1000;

/** Runs a tick, then naps for what the tick returned, until stopped; nudge() ends the nap. */
export class Loop {
  private readonly stopping = new AbortController();
  private napping: AbortController | undefined;
  private nudged = false;
  private running: Promise<void> | undefined;

  constructor(private readonly options: LoopOptions) {}

  get name(): string {
    return this.options.name;
  }

  start(): void {
    this.running ??= this.run();
  }

  /** Ends the nap, or makes the next one end at once when a tick is under way: news never waits for a nap. */
  nudge(): void {
    this.nudged = true;
    this.napping?.abort();
  }

  /** Ends after the tick under way; a loop that never started ends at once. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.napping?.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      this.nudged = false;
      await this.nap(await this.tick());
    }
  }

  private async tick(): Promise<number> {
    try {
      return await this.options.tick();
    } catch (error) {
      return this.options.failed(error);
    }
  }

  /** Naps in steps of a second against the monotonic clock, so that a suspended machine does not oversleep for hours. */
  private async nap(ms: number): Promise<void> {
    const { clock } = this.options;
    const end = clock.monotonic() + ms;
    this.napping = new AbortController();
    while (!this.nudged && !this.stopping.signal.aborted) {
      const left = end - clock.monotonic();
      if (left <= 0) break;
      await clock.sleep(Math.min(left, STEP), this.napping.signal);
    }
    this.napping = undefined;
  }
}
