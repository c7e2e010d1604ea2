import { lockFence } from "./claims.js";
import type { Database } from "./database.js";
import { FENCED, fenced } from "./fence.js";
import { number, type Part, type Row, type Scalar, statement, text } from "./statement.js";

/** One SMTP account with the server it belongs to, as the tables have them. */
export interface SmtpAccount {
  readonly id: number;
  readonly email: string;
  readonly fromName: string;
  readonly password: string;
  readonly hourlyLimit: number;
  readonly dailyLimit: number;
  readonly owner: number;
  readonly serverId: number;
  readonly host: string;
  readonly port: number;
  readonly encryption: "ssl" | "tls" | "";
  readonly replyTo: string;
  readonly health: "healthy" | "degraded" | "suspended";
  readonly failures: number;
  /** Seconds until a suspension ends by Server 2's clock; 0 when none. */
  readonly suspendedFor: number;
}

/** Mails counted for an account in the present hour and day of `legacyZone`. */
export interface AccountUsage {
  readonly hour: number;
  readonly day: number;
}

const ACCOUNTS = statement(
  "smtpAccounts.usable",
  `SELECT a.id, a.email, a.from_name, a.password, a.hourly_limit, a.daily_limit, a.user_id, s.id AS server_id, s.host, s.port,
     s.encryption, s.received_email, h.health, h.consecutive_failures,
     GREATEST(0, COALESCE(TIMESTAMPDIFF(SECOND, NOW(), h.suspend_until), 0)) AS suspended_for
   FROM smtp_accounts a JOIN smtp_servers s ON s.id = a.smtp_server_id LEFT JOIN smtp_health h ON h.smtp_id = a.id
   WHERE a.is_active = 1 AND s.is_active = 1 ORDER BY a.id`,
);
const USAGE = statement(
  "smtpUsage.today",
  `SELECT smtp_id, SUM(emails_sent) AS day, SUM(IF(hour = ?, emails_sent, 0)) AS hour FROM smtp_usage
   WHERE date = ? GROUP BY smtp_id`,
);

export async function readAccounts(db: Database): Promise<SmtpAccount[]> {
  return (await db.rows(ACCOUNTS)).map(account);
}

/** The sums that the limits are held against: the legacy senders' mails and our own alike (contract §5). */
export async function readUsage(db: Database, date: string, hour: number): Promise<Map<number, AccountUsage>> {
  const rows = await db.rows(USAGE, [hour, date]);
  return new Map(rows.map((row) => [number(row, "smtp_id"), { hour: number(row, "hour"), day: number(row, "day") }]));
}

function account(row: Row): SmtpAccount {
  const encryption = text(row, "encryption").toLowerCase();
  const health = text(row, "health");
  return {
    id: number(row, "id"),
    email: text(row, "email").trim(),
    fromName: text(row, "from_name"),
    password: text(row, "password"),
    hourlyLimit: Math.max(0, number(row, "hourly_limit")),
    dailyLimit: Math.max(0, number(row, "daily_limit")),
    owner: number(row, "user_id"),
    serverId: number(row, "server_id"),
    host: text(row, "host").trim(),
    port: number(row, "port"),
    encryption: encryption === "ssl" || encryption === "tls" ? encryption : "",
    replyTo: text(row, "received_email").trim(),
    health: health === "degraded" || health === "suspended" ? health : "healthy",
    failures: number(row, "consecutive_failures"),
    suspendedFor: number(row, "suspended_for"),
  };
}

/** What became of an account since its health was last written (columns of smtp_health, their meanings as legacy.md §3.4). */
export interface HealthNote {
  readonly accountId: number;
  readonly owner: number;
  readonly failures: number;
  readonly health: "healthy" | "degraded" | "suspended";
  readonly suspendSeconds: number;
  readonly succeeded: boolean;
  readonly failed: boolean;
  readonly errorType: string | null;
  readonly errorText: string | null;
}

const HEALTH_ROW = `(?, ?, ?, IF(? = 1, NOW(), NULL), IF(? = 1, NOW(), NULL), IF(? > 0, NOW() + INTERVAL ? SECOND, NULL), ?, ?, ?)`;

/** Writes the health of all changed accounts in one statement; times are Server 2's own. */
export async function writeHealth(db: Database, notes: readonly HealthNote[]): Promise<void> {
  const sorted = [...notes].sort((a, b) => a.accountId - b.accountId);
  const upsert = statement(
    "smtpHealth.write",
    `INSERT INTO smtp_health (smtp_id, health, consecutive_failures, last_success_at, last_failure_at, suspend_until,
       last_error_type, last_error_message, user_id) VALUES ${sorted.map(() => HEALTH_ROW).join(", ")}
     ON DUPLICATE KEY UPDATE health = VALUES(health), consecutive_failures = VALUES(consecutive_failures),
       last_success_at = COALESCE(VALUES(last_success_at), last_success_at),
       last_failure_at = COALESCE(VALUES(last_failure_at), last_failure_at), suspend_until = VALUES(suspend_until),
       last_error_type = COALESCE(VALUES(last_error_type), last_error_type),
       last_error_message = COALESCE(VALUES(last_error_message), last_error_message)`,
  );
  const flag = (yes: boolean): Scalar => (yes ? 1 : 0);
  const values = sorted.flatMap((n): Scalar[] => [
    n.accountId,
    n.health,
    n.failures,
    flag(n.succeeded),
    flag(n.failed),
    n.suspendSeconds,
    Math.ceil(n.suspendSeconds),
    n.errorType,
    n.errorText === null ? null : n.errorText.slice(0, 500),
    n.owner,
  ]);
  await db.run(upsert, values);
}

const RESET_MARK = statement(
  "smtpAccounts.resetMark",
  `INSERT INTO campaignd_meta (k, v) SELECT 'sent_today_reset', ? FROM campaignd_fence f WHERE f.k = ? AND f.epoch = ?
   ON DUPLICATE KEY UPDATE v = VALUES(v)`,
);
const RESET = statement(
  "smtpAccounts.reset",
  `UPDATE smtp_accounts a ${FENCED} SET a.sent_today = 0 WHERE a.sent_today <> 0`,
);
const RESET_LAST = statement("smtpAccounts.resetLast", `SELECT v FROM campaignd_meta WHERE k = 'sent_today_reset'`);

/**
 * Zeroes the sent_today of every account, once a `legacyZone` day. The first day that we see is only noted: what is counted in
 * it so far is right.
 */
export async function resetSentToday(db: Database, epoch: number, date: string): Promise<void> {
  const last = text((await db.rows(RESET_LAST))[0] ?? {}, "v");
  if (last >= date) return;
  const parts: Part[] = [lockFence(epoch), [RESET_MARK, [date, ...fenced(epoch)]]];
  if (last !== "") parts.push([RESET, fenced(epoch)]);
  await db.packet("smtpAccounts.reset", parts, () => undefined);
}
