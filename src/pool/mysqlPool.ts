import { backoff } from "../backoff.js";
import type { Clock } from "../clock.js";
import { Lending, type LendingStats } from "./lending.js";
import { MysqlSession, type SessionOptions } from "./mysqlSession.js";

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
  readonly tries: number;
  readonly backoffFirst: number;
  readonly backoffMax: number;
  readonly clock: Clock;
  /** Makes a new connection ready (session settings); throws to refuse it. */
  setUp(session: MysqlSession): Promise<void>;
  /** Is this creation error one that a second try may mend? */
  worthRetrying(error: unknown): boolean;
  /** The text that ends what a given thread of ours still runs. */
  killText(threadId: number): string;
}

/** Lends connections to one server; a doubtful one is destroyed and what it still runs is killed. */
export class MysqlPool {
  private readonly lending: Lending<MysqlSession>;

  constructor(private readonly options: MysqlPoolOptions) {
    this.lending = new Lending<MysqlSession>({
      what: options.what,
      max: options.lent,
      acquireTimeout: options.acquireTimeout,
      tries: options.tries,
      pause: (failures) => backoff(failures, { first: options.backoffFirst, max: options.backoffMax }),
      sweepEvery: options.healthEvery,
      idleLimit: options.idleLimit,
      clock: options.clock,
      create: () => this.open(),
      destroy: (session) => session.close(options.pingTimeout),
      fit: (session) => this.fit(session),
      worthRetrying: (error) => options.worthRetrying(error),
    });
  }

  /** Lends a connection to `work`; the connection is gone afterwards when its answer is in doubt. */
  use<R>(work: (session: MysqlSession) => Promise<R>): Promise<R> {
    return this.lending.use(
      async (session) => {
        try {
          return await work(session);
        } catch (error) {
          if (!session.sound) this.kill(session.threadId);
          throw error;
        }
      },
      (session) => session.sound,
    );
  }

  /** A connection of its own, outside the lent ones, e.g. for the lease; the caller closes it. */
  async open(): Promise<MysqlSession> {
    const session = await MysqlSession.open(this.options);
    try {
      await this.options.setUp(session);
      return session;
    } catch (error) {
      await session.close(this.options.pingTimeout);
      throw error;
    }
  }

  stats(): LendingStats {
    return this.lending.stats();
  }

  drain(ms: number): Promise<void> {
    return this.lending.drain(ms);
  }

  /** Ping only when idle for a while: a ping costs a round trip. */
  private async fit(session: MysqlSession): Promise<boolean> {
    if (!session.sound || session.age() > this.options.ageLimit) return false;
    return session.idleFor() < this.options.pingIdle || (await session.ping(this.options.pingTimeout));
  }

  /** A client that gives up does not stop the server: end what the lost thread still runs, in the slot kept free for it. */
  private kill(threadId: number): void {
    const end = async () => {
      const session = await MysqlSession.open(this.options);
      try {
        await session.query(this.options.killText(threadId), [], this.options.pingTimeout);
      } finally {
        await session.close(this.options.pingTimeout);
      }
    };
    // The thread may be gone already, or the server unreachable: both are fine, the server reaps it by wait_timeout.
    end().catch(() => undefined);
  }
}
