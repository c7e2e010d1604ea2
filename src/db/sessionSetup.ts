import { CampaigndError } from "../errors.js";
import type { MysqlSession } from "../pool/mysqlSession.js";
import { type Row, statement, text } from "./statement.js";

/** Session limits, in milliseconds; the server takes whole seconds (contract §1). */
export interface SessionLimits {
  readonly lockWait: number;
  readonly sessionTimeout: number;
  readonly netTimeout: number;
  readonly statementTimeout: number;
}

const VARIABLES = statement(
  "session.variables",
  `SHOW VARIABLES WHERE Variable_name IN ('tx_isolation','transaction_isolation','log_bin','binlog_format','version')`,
);

/** What the server itself says of its version and switches. */
export interface ServerTraits {
  readonly version: string;
  readonly isolationVariable: "tx_isolation" | "transaction_isolation";
  /** REPEATABLE-READ where statement-based replication forbids the lighter one (error 1665). */
  readonly isolation: "READ-COMMITTED" | "REPEATABLE-READ";
}

/** Sets each new connection up in one statement, after asking the server once what it calls its isolation variable. */
export class SessionSetup {
  private known: ServerTraits | undefined;

  constructor(private readonly limits: SessionLimits) {}

  get traits(): ServerTraits | undefined {
    return this.known;
  }

  async apply(session: MysqlSession): Promise<void> {
    this.known ??= await this.probe(session);
    await session.query(this.text(this.known), [], this.limits.statementTimeout);
  }

  private async probe(session: MysqlSession): Promise<ServerTraits> {
    const rows = (await session.query(VARIABLES.text, [], this.limits.statementTimeout)) as Row[];
    const value = new Map(rows.map((row) => [text(row, "Variable_name").toLowerCase(), text(row, "Value")]));
    const isolationVariable = value.has("tx_isolation") ? "tx_isolation" : "transaction_isolation";
    if (!value.has(isolationVariable))
      throw new CampaigndError("misconfigured", "the server names no isolation variable");
    const statementLog = value.get("log_bin") === "ON" && value.get("binlog_format") === "STATEMENT";
    return {
      version: value.get("version") ?? "",
      isolationVariable,
      isolation: statementLog ? "REPEATABLE-READ" : "READ-COMMITTED",
    };
  }

  /** index_merge off: with the production indexes it intersects two of them and sorts millions of rows for a claim of 500. */
  private text(traits: ServerTraits): string {
    const whole = (ms: number) => Math.max(1, Math.ceil(ms / 1000));
    const { lockWait, sessionTimeout, netTimeout } = this.limits;
    return statement(
      "session.setUp",
      `SET sql_mode='STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', ${traits.isolationVariable}='${traits.isolation}',
       innodb_lock_wait_timeout=${whole(lockWait)}, wait_timeout=${whole(sessionTimeout)},
       interactive_timeout=${whole(sessionTimeout)}, net_read_timeout=${whole(netTimeout)}, net_write_timeout=${whole(netTimeout)}, optimizer_switch='index_merge=off'`,
    ).text;
  }
}

/** Ends a lost thread of ours with whatever it still runs; one's own threads need no privilege. */
export const killText = (threadId: number): string => statement("session.kill", `KILL ${threadId}`).text;
