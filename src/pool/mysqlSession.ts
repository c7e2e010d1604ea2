import type { Socket } from "node:net";
import { type Connection as CoreConnection, createConnection } from "mysql2";
import type { Connection, QueryOptions } from "mysql2/promise";
import { after, systemClock } from "../clock.js";
import { CampaigndError } from "../errors.js";

export interface MysqlAddress {
  readonly host: string;
  readonly port: number;
  readonly socketPath?: string | undefined;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly tls?: {
    readonly ca?: string;
    readonly rejectUnauthorized: boolean;
    readonly verifyIdentity: boolean;
    readonly minVersion: string;
  };
}

export interface SessionOptions {
  readonly address: MysqlAddress;
  readonly connectTimeout: number;
  /** Whether several statements may travel as one packet; their texts are constants of db/ (Server 2 only). */
  readonly packets: boolean;
}

/** What the driver gives back for one statement, before db/ makes sense of it. */
export type Raw = unknown;

/**
 * One connection to one server, with a deadline on everything.
 * A connection whose deadline passed is destroyed and never lent again: the command may still run on the server, and mysql2's own
 * destroy() leaves the waiting caller unanswered (it only half-closes), so the stream goes first.
 */
export class MysqlSession {
  private doubted: string | undefined;
  private readonly born = systemClock.monotonic();
  private used = systemClock.monotonic();
  private heard = systemClock.monotonic();

  private constructor(private readonly connection: Connection) {
    // A connection lost while idle says so here; unheard, the event would end the process.
    connection.on("error", () => {
      this.doubted ??= "lost";
    });
  }

  /**
   * Connects and authenticates within `connectTimeout`; throws the driver's error. Where the server had greeted us before the
   * connection was lost, `stranded` is told the thread, which may live on there without anybody at the other end.
   */
  static async open(options: SessionOptions, stranded: (threadId: number) => void): Promise<MysqlSession> {
    const { address } = options;
    const connection = createConnection({
      ...(address.socketPath ? { socketPath: address.socketPath } : { host: address.host, port: address.port }),
      user: address.user,
      password: address.password,
      database: address.database,
      ...(address.tls ? { ssl: address.tls } : {}),
      connectTimeout: options.connectTimeout,
      charset: "utf8mb4_unicode_ci",
      supportBigNumbers: true,
      dateStrings: true,
      decimalNumbers: true,
      disableEval: true,
      multipleStatements: options.packets,
      maxPreparedStatements: 50,
      flags: ["-LOCAL_FILES"],
    });
    try {
      await connected(connection);
    } catch (error) {
      const { connectionId } = connection as { connectionId?: number };
      if (connectionId !== undefined && !(error as { sqlState?: string }).sqlState) stranded(connectionId);
      throw error;
    }
    return new MysqlSession(connection.promise());
  }

  get threadId(): number {
    return this.connection.threadId;
  }

  /** May this connection be lent again? */
  get sound(): boolean {
    return this.doubted === undefined;
  }

  /** Why it may not: "lost" (closed or reset by the other side) or "timed out" (cut by us at a deadline). */
  get doubt(): string | undefined {
    return this.doubted;
  }

  /** Milliseconds since its last statement. */
  idleFor(): number {
    return systemClock.monotonic() - this.used;
  }

  /** Milliseconds since the server last answered anything, pings included. */
  quietFor(): number {
    return systemClock.monotonic() - this.heard;
  }

  age(): number {
    return systemClock.monotonic() - this.born;
  }

  /** Sends a text with its values bound by the client; throws the driver's error, or CampaigndError("unreachable") at the deadline. */
  async query(sql: string, values: readonly unknown[], timeout: number): Promise<Raw> {
    this.used = systemClock.monotonic();
    const work = this.connection.query({ sql, values: [...values] } as QueryOptions);
    const [result] = await this.within(timeout, sql, work);
    this.used = systemClock.monotonic();
    return result;
  }

  /** The same through a prepared statement of this connection; for a handful of constant texts. */
  async execute(sql: string, values: readonly (string | number | null)[], timeout: number): Promise<Raw> {
    this.used = systemClock.monotonic();
    const [result] = await this.within(timeout, sql, this.connection.execute(sql, [...values]));
    this.used = systemClock.monotonic();
    return result;
  }

  /** True when the server answers a ping within `timeout`. */
  async ping(timeout: number): Promise<boolean> {
    try {
      await this.within(timeout, "ping", this.connection.ping());
    } catch {
      this.doubted ??= "lost";
    }
    return this.sound;
  }

  /** Says good-bye and waits until the server has closed, or cuts a doubtful one; still sound afterwards means gone there too. */
  async close(timeout: number): Promise<void> {
    try {
      if (this.sound) await this.within(timeout, "quit", this.quit());
    } catch {
      this.doubted ??= "lost";
    }
    this.cut(new Error("connection is closed"));
  }

  private async quit(): Promise<void> {
    const { stream } = this;
    const closed = new Promise((resolve) => stream.once("close", resolve));
    await this.connection.end();
    if (!stream.closed) await closed;
  }

  private get stream(): Socket {
    return (this.connection as unknown as { connection: { stream: Socket } }).connection.stream;
  }

  private async within<R>(timeout: number, what: string, work: Promise<R>): Promise<R> {
    const cancel = after(timeout, () => {
      const statement = /^\/\* (\S+) \*\//.exec(what)?.[1] ?? what.slice(0, 40);
      const text = `no answer to ${statement} within ${timeout} ms`;
      this.doubted ??= "timed out";
      this.cut(new CampaigndError("unreachable", text, { statement, timedOut: true }));
    });
    try {
      const answer = await work;
      this.heard = systemClock.monotonic();
      return answer;
    } catch (error) {
      if (fatal(error)) this.doubted ??= "lost";
      throw error;
    } finally {
      cancel();
    }
  }

  /** Ends the socket first: mysql2's own destroy() half-closes it and leaves the waiting caller unanswered for ever. */
  private cut(why: Error): void {
    this.stream.destroy(why);
    this.connection.destroy();
  }
}

function connected(connection: CoreConnection): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.once("connect", () => resolve());
    // For good: what goes wrong once more after the first error would otherwise end the process.
    connection.on("error", reject);
  });
}

/** Only an error that the server itself sent leaves the connection usable. */
function fatal(error: unknown): boolean {
  const e = error as { sqlState?: string; fatal?: boolean; errno?: number };
  return e.fatal === true || !e.sqlState || e.errno === 1153;
}
