import type { Clock } from "../clock.js";
import type { MysqlSession } from "./mysqlSession.js";

export interface ReaperOptions {
  readonly clock: Clock;
  /** Opens a connection in the slot that is kept free for this. */
  open(): Promise<MysqlSession>;
  readonly timeout: number;
  /** After so long the server has ended an idle thread by itself (wait_timeout), milliseconds. */
  readonly forgottenAfter: number;
  killText(threadId: number): string;
  /** The slot could not be opened. */
  failed(error: unknown): void;
  /** While true only visits that are asked for go out: the breaker's probe, which kills the lost ones too. */
  barred(): boolean;
  /** Is this id one of a connection that we hold now? Ids start anew when a server restarts. */
  inUse(threadId: number): boolean;
}

interface Lost {
  readonly since: number;
  readonly gone: () => void;
}

const AGAIN = 500;

/**
 * Ends what lost connections still run on the server: a client that gives up does not stop the server, and a thread that
 * lingers still counts there. One visit at a time, in the one slot kept free for it.
 */
export class Reaper {
  private readonly lost = new Map<number, Lost>();
  private turn: Promise<unknown> = Promise.resolve();
  private reaping = false;

  constructor(private readonly options: ReaperOptions) {}

  /** Threads that may still live on the server. */
  get lingering(): number {
    return this.lost.size;
  }

  /** Ends when the thread is killed, or the server has surely ended it by itself. */
  bury(threadId: number): Promise<void> {
    return new Promise((resolve) => {
      this.lost.set(threadId, { since: this.options.clock.monotonic(), gone: resolve });
      if (!this.reaping) void this.reap();
    });
  }

  /** Runs `work` on a fresh connection in the free slot, after the lost threads were killed; visits take turns. */
  visit<R>(work: (session: MysqlSession) => Promise<R>): Promise<R> {
    const mine = this.turn.then(() => this.go(work));
    this.turn = mine.catch(() => undefined);
    return mine;
  }

  private async go<R>(work: (session: MysqlSession) => Promise<R>): Promise<R> {
    const session = await this.open();
    try {
      for (const threadId of [...this.lost.keys()]) await this.kill(session, threadId);
      return await work(session);
    } finally {
      await session.close(this.options.timeout);
      if (!session.sound) void this.bury(session.threadId);
    }
  }

  private async open(): Promise<MysqlSession> {
    try {
      return await this.options.open();
    } catch (error) {
      // Where every place is taken by lost connections nobody else dials, so this is how an outage is seen.
      this.options.failed(error);
      throw error;
    }
  }

  private async kill(session: MysqlSession, threadId: number): Promise<void> {
    if (!this.options.inUse(threadId)) {
      try {
        await session.query(this.options.killText(threadId), [], this.options.timeout);
      } catch (error) {
        // "Unknown thread" is what we want to hear; a cut of this very connection is not.
        if (!session.sound) throw error;
      }
    }
    this.forget(threadId);
  }

  private async reap(): Promise<void> {
    const { clock, forgottenAfter } = this.options;
    this.reaping = true;
    while (this.lost.size > 0) {
      if (!this.options.barred()) await this.visit(async () => undefined).catch(() => undefined);
      for (const [threadId, { since }] of this.lost) {
        if (clock.monotonic() - since > forgottenAfter) this.forget(threadId);
      }
      if (this.lost.size > 0) await clock.sleep(AGAIN);
    }
    this.reaping = false;
  }

  private forget(threadId: number): void {
    this.lost.get(threadId)?.gone();
    this.lost.delete(threadId);
  }
}
