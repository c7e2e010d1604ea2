import { backoff } from "../backoff.js";
import type { Clock } from "../clock.js";
import { CampaigndError } from "../errors.js";
import { Lending, type LendingStats } from "./lending.js";
import { MysqlSession, type SessionOptions } from "./mysqlSession.js";
import { Reaper } from "./reaper.js";

export interface MysqlPoolOptions extends SessionOptions {
  readonly what: string;
  /** Connections that are lent; what the server may see in all is more (lease, probe). */
  readonly lent: number;
  readonly acquireTimeout: number;
  readonly statementTimeout: number;
  readonly pingIdle: number;
  readonly pingTimeout: number;
  readonly healthEvery: number;
  readonly idleLimit: number;
  readonly ageLimit: number;
  readonly sessionTimeout: number;
  readonly tries: number;
  readonly backoffFirst: number;
  readonly backoffMax: number;
  readonly clock: Clock;
  /** Makes a new connection ready (session settings); throws to refuse it. */
  setUp(session: MysqlSession): Promise<void>;
  /** Is this creation error one that a second try may mend? */
  worthRetrying(error: unknown): boolean;
  /** A new connection could not be had. */
  dialFailed(error: unknown): void;
  /** May nothing be dialled for now but the probe? */
  barred(): boolean;
  /** The text that ends a given thread of ours. */
  killText(threadId: number): string;
}

export interface MysqlPoolStats extends LendingStats {
  /** Threads of lost connections that the server may still hold. */
  readonly lingering: number;
}

/** Lends connections to one server; a doubtful one is cut, its thread killed, and its place taken until the server has let go. */
export class MysqlPool {
  private readonly lending: Lending<MysqlSession>;
  private readonly reaper: Reaper;
  private readonly open_ = new Set<MysqlSession>();
  /** Threads that a failed dial may have left on the server: nothing more is dialled before they are gone. */
  private stranded = 0;

  constructor(private readonly options: MysqlPoolOptions) {
    this.reaper = new Reaper({
      clock: options.clock,
      open: () => MysqlSession.open(options, (threadId) => void this.reaper.bury(threadId)),
      timeout: options.pingTimeout,
      forgottenAfter: options.sessionTimeout,
      killText: (threadId) => options.killText(threadId),
      failed: (error) => options.dialFailed(error),
      barred: () => options.barred(),
      inUse: (threadId) => [...this.open_].some((session) => session.threadId === threadId && session.sound),
    });
    this.lending = new Lending<MysqlSession>({
      what: options.what,
      max: options.lent,
      acquireTimeout: options.acquireTimeout,
      tries: options.tries,
      pause: (failures) => backoff(failures, { first: options.backoffFirst, max: options.backoffMax }),
      sweepEvery: options.healthEvery,
      clock: options.clock,
      create: () => this.open(),
      destroy: (session) => this.close(session),
      unfit: (session) => this.unfit(session),
      worthRetrying: (error) => options.worthRetrying(error),
      failed: (error) => options.dialFailed(error),
      barred: () => this.barred(),
    });
  }

  /** Lends a connection to `work`; the connection is gone afterwards when its answer is in doubt. */
  use<R>(work: (session: MysqlSession) => Promise<R>): Promise<R> {
    return this.lending.use(work, (session) => session.doubt);
  }

  /** A connection of its own, outside the lent ones, e.g. for the lease; give it back with close(). */
  async open(): Promise<MysqlSession> {
    if (this.barred())
      throw new CampaigndError("unreachable", `no ${this.options.what} is opened for now`, { refused: true });
    const session = await MysqlSession.open(this.options, (threadId) => void this.strand(threadId));
    this.open_.add(session);
    try {
      await this.options.setUp(session);
      return session;
    } catch (error) {
      await this.close(session);
      throw error;
    }
  }

  /** Says good-bye to a sound connection; of a doubtful one ends when the server has let go of its thread. Never rejects. */
  async close(session: MysqlSession): Promise<void> {
    this.open_.delete(session);
    await session.close(this.options.pingTimeout);
    if (!session.sound) await this.reaper.bury(session.threadId);
  }

  /** Asks the server one thing in the slot kept free for it, past all that is lent or lost: the breaker's probe. */
  probe(text: string): Promise<unknown> {
    return this.reaper.visit((session) => session.query(text, [], this.options.pingTimeout));
  }

  stats(): MysqlPoolStats {
    return { ...this.lending.stats(), lingering: this.reaper.lingering };
  }

  drain(ms: number): Promise<void> {
    return this.lending.drain(ms);
  }

  private barred(): boolean {
    return this.stranded > 0 || this.options.barred();
  }

  private async strand(threadId: number): Promise<void> {
    this.stranded += 1;
    await this.reaper.bury(threadId);
    this.stranded -= 1;
  }

  /** Ping only when idle for a while: a ping costs a round trip. */
  private async unfit(session: MysqlSession): Promise<string | undefined> {
    const { ageLimit, idleLimit, pingIdle, pingTimeout } = this.options;
    if (!session.sound) return session.doubt;
    if (session.age() > ageLimit) return "old";
    if (session.idleFor() > idleLimit) return "idle";
    if (session.quietFor() < pingIdle || (await session.ping(pingTimeout))) return undefined;
    return session.doubt;
  }
}
