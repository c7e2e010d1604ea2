import type { Database } from "./database.js";
import { number, statement, text } from "./statement.js";

/** What a connection of ours really has set, seconds. */
export interface SessionLimitsRead {
  readonly lockWait: number;
  readonly wait: number;
  readonly netRead: number;
  readonly netWrite: number;
}

/** A server's own time. */
export interface ServerClock {
  /** Seconds since 1970 by its clock. */
  readonly epoch: number;
  /** Its session zone's distance from UTC, minutes. */
  readonly offsetMinutes: number;
  readonly zone: string;
}

const LIMITS = statement(
  "vitals.limits",
  `SELECT @@innodb_lock_wait_timeout AS lock_wait, @@wait_timeout AS wait, @@net_read_timeout AS net_read, @@net_write_timeout AS net_write`,
);
const CLOCK = statement(
  "vitals.clock",
  `SELECT UNIX_TIMESTAMP() AS epoch, TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(), NOW()) AS offset_minutes,
   @@time_zone AS zone, @@system_time_zone AS system_zone`,
);
const ALIVE = statement("vitals.alive", `SELECT 1 AS alive`);
const STATUS_LOOK = statement(
  "vitals.status",
  `SELECT campaign_id, status FROM campaign_status ORDER BY id DESC LIMIT 10`,
);
const QUEUE_LOOK = statement("vitals.queue", `SELECT id FROM mail_blaster WHERE status = 'pending' LIMIT 1`);

/** One round trip. */
export async function alive(db: Database): Promise<void> {
  await db.rows(ALIVE);
}

/** The look that an operator's first question costs: the newest campaigns on Server 1, a waiting mail on Server 2. */
export async function firstLook(db: Database): Promise<void> {
  await db.rows(db.server === "emailId" ? STATUS_LOOK : QUEUE_LOOK);
}

export async function readLimits(db: Database): Promise<SessionLimitsRead> {
  const row = (await db.rows(LIMITS))[0] ?? {};
  return {
    lockWait: number(row, "lock_wait"),
    wait: number(row, "wait"),
    netRead: number(row, "net_read"),
    netWrite: number(row, "net_write"),
  };
}

export async function readClock(db: Database): Promise<ServerClock> {
  const row = (await db.rows(CLOCK))[0] ?? {};
  const zone = text(row, "zone");
  return {
    epoch: number(row, "epoch"),
    offsetMinutes: number(row, "offset_minutes"),
    zone: zone === "SYSTEM" ? text(row, "system_zone") : zone,
  };
}
