import { readFileSync } from "node:fs";
import { spread } from "../backoff.js";
import type { Clock } from "../clock.js";
import type { Config } from "../config/config.js";
import { describe } from "../errors.js";
import type { News, ServerName } from "../events.js";
import { Breaker, type Trouble } from "../pool/breaker.js";
import { MysqlPool } from "../pool/mysqlPool.js";
import type { MysqlAddress } from "../pool/mysqlSession.js";
import { Database } from "./database.js";
import { failedFast, translate } from "./mysqlErrors.js";
import { killText, SessionSetup } from "./sessionSetup.js";

/** One server, ready to be asked: nothing is dialled before the first statement. */
export interface Server {
  readonly db: Database;
  readonly pool: MysqlPool;
  readonly setup: SessionSetup;
}

const TITLE: Readonly<Record<ServerName, string>> = { emailId: "Server 1 (email_id)", crm: "Server 2 (CRM)" };

/** Connections kept back: one slot unopened for a probe or a KILL, and on Server 2 one for the lease (contract §8). */
const KEPT: Readonly<Record<ServerName, number>> = { emailId: 1, crm: 2 };

const FAILURES = 3;

/** Between two probes of a server that may be back any moment, milliseconds. */
const PROBE_EVERY = 1000;

/** What a person must mend is looked at as seldom as the pool's health, so that nobody's log fills with refused logins. */
const SLOW: ReadonlySet<Trouble> = new Set(["misconfigured", "schema", "resources"]);

/** Builds pool, breaker and database of one server from the configuration; edges of the breaker become news and reach `edge`. */
export function connect(
  server: ServerName,
  config: Config,
  clock: Clock,
  news: News,
  edge: (open: Trouble | undefined) => void,
): Server {
  const { pool: limits, servers } = config;
  const setup = new SessionSetup(limits);
  const title = TITLE[server];
  const pool = new MysqlPool({
    ...limits,
    what: `connection to ${title}`,
    address: addressOf(servers[server]),
    packets: server === "crm",
    lent: servers[server].maxConnections - KEPT[server],
    clock,
    setUp: (session) => setup.apply(session),
    worthRetrying: failedFast,
    dialFailed: (error) => db.judgeDial(translate(error, "connect")),
    barred: () => breaker.state !== undefined,
    killText,
  });
  const breaker: Breaker = new Breaker({
    clock,
    failures: FAILURES,
    probeEvery: (trouble) => (SLOW.has(trouble) ? spread(limits.healthEvery, 0.1) : spread(PROBE_EVERY, 0.2)),
    opened: (trouble, error) => {
      news.emit("db:lost", { server, kind: trouble, err: describe(error) });
      edge(trouble);
    },
    closed: (ms) => {
      news.emit("db:recovered", { server, ms: Math.round(ms) });
      edge(undefined);
    },
  });
  const db: Database = new Database({ server, title, pool, breaker, statementTimeout: limits.statementTimeout });
  return { db, pool, setup };
}

function addressOf(server: Config["servers"]["crm"]): MysqlAddress {
  const { host, port, socketPath, user, password, database, tls } = server;
  const encrypted = {
    ...(tls.caFile ? { ca: readFileSync(tls.caFile, "utf8") } : {}),
    rejectUnauthorized: tls.verify,
    verifyIdentity: tls.verify,
    minVersion: tls.minVersion,
  };
  return { host, port, socketPath, user, password, database, ...(tls.enabled ? { tls: encrypted } : {}) };
}
