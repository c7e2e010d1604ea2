import { type Connection, createConnection, type QueryOptions } from "mysql2/promise";
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
  private doubtful = false;
  private readonly born = systemClock.monotonic();
  private used = systemClock.monotonic();

  private constructor(private readonly connection: Connection) {
    // A connection lost while idle says so here; unheard, the event would end the process.
    connection.on("error", () => {
      this.doubtful = true;
    });
  }

  /** Connects and authenticates within `connectTimeout`; throws the driver's error. */
  static async open(options: SessionOptions): Promise<MysqlSession> {
    const { address } = options;
    const connection = await createConnection({
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
    return new MysqlSession(connection);
  }

  get threadId(): number {
    return this.connection.threadId;
  }

  /** May this connection be lent again? */
  get sound(): boolean {
    return !this.doubtful;
  }

  idleFor(): number {
    return systemClock.monotonic() - this.used;
  }

  age(): number {
    return systemClock.monotonic() - this.born;
  }

  /** Sends a text with its values bound by the client; throws the driver's error, or CampaigndError("unreachable") at the deadline. */
  async query(sql: string, values: readonly unknown[], timeout: number): Promise<Raw> {
    const [result] = await this.within(
      timeout,
      sql,
      this.connection.query({ sql, values: [...values] } as QueryOptions),
    );
    return result;
  }

  /** The same through a prepared statement of this connection; for a handful of constant texts. */
  async execute(sql: string, values: readonly (string | number | null)[], timeout: number): Promise<Raw> {
    const [result] = await this.within(timeout, sql, this.connection.execute(sql, [...values]));
    return result;
  }

  /** True when the server answers a ping within `timeout`. */
  async ping(timeout: number): Promise<boolean> {
    try {
      await this.within(timeout, "ping", this.connection.ping());
      return !this.doubtful;
    } catch {
      this.doubtful = true;
      return false;
    }
  }

  /** Says good-bye when the connection is sound, cuts it otherwise; never rejects, never hangs. */
  async close(timeout: number): Promise<void> {
    if (this.doubtful) return this.cut(new Error("connection is closed"));
    try {
      await this.within(timeout, "quit", this.connection.end());
    } catch {
      this.cut(new Error("connection is closed"));
    }
  }

  private async within<R>(timeout: number, what: string, work: Promise<R>): Promise<R> {
    const cancel = after(timeout, () => {
      const statement = /^\/\* (\S+) \*\//.exec(what)?.[1] ?? what.slice(0, 40);
      this.cut(
        new CampaigndError("unreachable", `no answer to ${statement} within ${timeout} ms`, {
          statement,
          timedOut: true,
        }),
      );
    });
    try {
      return await work;
    } catch (error) {
      if (fatal(error)) this.doubtful = true;
      throw error;
    } finally {
      cancel();
      this.used = systemClock.monotonic();
    }
  }

  private cut(why: Error): void {
    this.doubtful = true;
    const raw = (this.connection as unknown as { connection: { stream: { destroy(error: Error): void } } }).connection;
    raw.stream.destroy(why);
    this.connection.destroy();
  }
}

/** Only an error that the server itself sent leaves the connection usable. */
function fatal(error: unknown): boolean {
  const e = error as { sqlState?: string; fatal?: boolean; errno?: number };
  return e.fatal === true || !e.sqlState || e.errno === 1153;
}
