import { retry } from "../backoff.js";
import { CampaigndError, describe, type ErrorKind, saidAlready } from "../errors.js";
import type { ServerName } from "../events.js";
import type { Breaker, Trouble } from "../pool/breaker.js";
import type { MysqlPool } from "../pool/mysqlPool.js";
import type { MysqlSession } from "../pool/mysqlSession.js";
import { failedFast, translate } from "./mysqlErrors.js";
import { checkValues, number, type Part, type Row, type Statement, statement, type Value } from "./statement.js";

/** What one statement gave: rows of a SELECT, or how many rows a write matched. */
export interface Result {
  readonly rows: readonly Row[];
  readonly affected: number;
  readonly insertId: number;
}

export interface DatabaseOptions {
  readonly server: ServerName;
  /** How the server is called in messages, e.g. "Server 2 (CRM)". */
  readonly title: string;
  readonly pool: MysqlPool;
  readonly breaker: Breaker;
  readonly statementTimeout: number;
}

const PROBE = statement("pulse.probe", "SELECT 1 AS alive");
const PROBE_WRITE = statement(
  "pulse.write",
  `INSERT INTO campaignd_meta (k, v) VALUES ('probe', UTC_TIMESTAMP()) ON DUPLICATE KEY UPDATE v = VALUES(v)`,
);
/** Server 1 has no table of ours to write to. */
const PROBE_READ_ONLY = statement("pulse.readOnly", "SELECT @@global.read_only AS read_only");
const START = "START TRANSACTION";
const COMMIT = "/* commit */ COMMIT";
const ROLLBACK = "/* rollback */ ROLLBACK";

/** All access to one server: statements by name, errors translated once, the breaker asked before and told after. */
export class Database {
  constructor(private readonly options: DatabaseOptions) {}

  get server(): ServerName {
    return this.options.server;
  }

  get breaker(): Breaker {
    return this.options.breaker;
  }

  async rows(statement: Statement, values: readonly Value[] = []): Promise<readonly Row[]> {
    return (await this.run(statement, values)).rows;
  }

  /** Runs one idempotent statement; what failed fast is tried again within ten seconds, contention likewise. */
  run(statement: Statement, values: readonly Value[] = []): Promise<Result> {
    checkValues([statement, values]);
    return this.again(() => this.guarded(statement.name, (session) => this.send(session, statement, values)));
  }

  /**
   * Sends all parts as one packet inside a transaction, commits when `check` is content, rolls back when it throws.
   * Stored as a whole or not at all; after "unreachable" nobody knows which, and the caller asks by its own token.
   */
  packet<T>(name: string, parts: readonly Part[], check: (results: readonly Result[]) => T): Promise<T> {
    for (const part of parts) checkValues(part);
    const text = [START, ...parts.map(([statement]) => statement.text)].join("; ");
    const values = parts.flatMap(([, bound]) => bound);
    const once = (session: MysqlSession) =>
      this.transact(session, async () => {
        const raw = (await session.query(text, values, this.options.statementTimeout)) as unknown[];
        return check(raw.slice(1).map(asResult));
      });
    return this.again(() => this.guarded(name, once), contended);
  }

  /** Runs `work` in one transaction on one connection; for the rare steps that must look before they write. */
  transaction<T>(
    name: string,
    work: (run: (statement: Statement, values?: readonly Value[]) => Promise<Result>) => Promise<T>,
  ): Promise<T> {
    const once = (session: MysqlSession) =>
      this.transact(session, async () => {
        await session.query(START, [], this.options.statementTimeout);
        return work((statement, values = []) => {
          checkValues([statement, values]);
          return this.send(session, statement, values);
        });
      });
    return this.again(() => this.guarded(name, once), contended);
  }

  private async transact<T>(session: MysqlSession, work: () => Promise<T>): Promise<T> {
    const { statementTimeout } = this.options;
    try {
      const result = await work();
      await session.query(COMMIT, [], statementTimeout);
      return result;
    } catch (error) {
      // A lock wait time-out leaves the transaction open (error 1205): always end it; a lost connection ends it by itself.
      if (session.sound) await session.query(ROLLBACK, [], statementTimeout);
      throw error;
    }
  }

  private async send(session: MysqlSession, statement: Statement, values: readonly Value[]): Promise<Result> {
    const { statementTimeout } = this.options;
    const raw = statement.prepared
      ? await session.execute(statement.text, values as (string | number | null)[], statementTimeout)
      : await session.query(statement.text, values, statementTimeout);
    return asResult(raw);
  }

  /**
   * Asks the server in its spare slot whether it is well again, and tells the breaker: the one probe while it is open.
   * Where writes were refused it must be a write that succeeds; a read would close the breaker for a moment only.
   */
  async probe(): Promise<void> {
    try {
      await this.ask();
      this.options.breaker.probed();
    } catch (raw) {
      const error = translate(raw, "probe");
      const { breaker } = this.options;
      // Whatever it was, the next probe keeps its distance: a lock on the probe's own row would make a storm.
      breaker.failed(isTrouble(error.kind) ? error.kind : (breaker.state ?? "unreachable"), error);
    }
  }

  private async ask(): Promise<void> {
    const { breaker, pool, server, title } = this.options;
    if (breaker.state !== "readOnly" && breaker.state !== "resources") return void (await pool.probe(PROBE.text));
    if (server === "crm") return void (await pool.probe(PROBE_WRITE.text));
    const [row] = (await pool.probe(PROBE_READ_ONLY.text)) as Row[];
    if (number(row ?? {}, "read_only") === 1) throw new CampaigndError("readOnly", `${title} is read-only`);
  }

  private async guarded<T>(doing: string, work: (session: MysqlSession) => Promise<T>): Promise<T> {
    const { breaker, pool, title } = this.options;
    if (breaker.state !== undefined) {
      const why = breaker.lastError === undefined ? "" : ` (${describe(breaker.lastError)})`;
      throw new CampaigndError("unreachable", `${title} is ${breaker.state}${why}: ${doing} is not sent`, {
        refused: true,
      });
    }
    try {
      const result = await pool.use(work);
      breaker.succeeded();
      return result;
    } catch (raw) {
      const error = translate(raw, doing);
      this.judge(error);
      throw error;
    }
  }

  /** An answer that blames a row or a lock is still an answer: the server lives. That all places were taken says nothing of it. */
  judge(error: CampaigndError): void {
    const { breaker } = this.options;
    if (error.facts.waitedFor === "a place") return;
    if (isTrouble(error.kind)) breaker.failed(error.kind, error);
    else if (error.kind === "row" || error.kind === "contention") breaker.succeeded();
  }

  /** A refusal at the door that no table names (a locked account, an expired password) is a person's task too. */
  judgeDial(error: CampaigndError): void {
    if (saidAlready(error)) return;
    if (error.kind === "bug") this.options.breaker.failed("misconfigured", error);
    else this.judge(error);
  }

  private again<T>(work: () => Promise<T>, worth: (error: unknown) => boolean = transient): Promise<T> {
    return retry(work, { tries: 3, first: 100, max: 2000, budget: this.options.statementTimeout, retryOn: worth });
  }
}

const contended = (error: unknown): boolean => error instanceof CampaigndError && error.kind === "contention";
const transient = (error: unknown): boolean => contended(error) || failedFast(error);

function isTrouble(kind: ErrorKind): kind is Trouble & ErrorKind {
  return ["unreachable", "misconfigured", "schema", "readOnly", "resources"].includes(kind);
}

function asResult(raw: unknown): Result {
  if (Array.isArray(raw)) return { rows: raw as Row[], affected: 0, insertId: 0 };
  const header = raw as { affectedRows?: number; insertId?: number };
  return { rows: [], affected: header.affectedRows ?? 0, insertId: header.insertId ?? 0 };
}
