import type { Database } from "./database.js";
import { SCHEMA_VERSION, SIDE_TABLES } from "./sideTables.js";
import { number, type Row, statement, text } from "./statement.js";

/** Tables and columns without which nothing works, a server (contract §1). */
const NEEDED = {
  emailId: {
    campaign_master: [
      "campaign_id",
      "mail_subject",
      "mail_body",
      "csv_list_id",
      "import_batch_id",
      "template_id",
      "user_id",
    ],
    campaign_status: [
      "id",
      "campaign_id",
      "status",
      "total_emails",
      "pending_emails",
      "sent_emails",
      "failed_emails",
      "end_time",
    ],
    emails: ["id", "raw_emailid", "csv_list_id", "domain_status", "validation_status", "user_id"],
    imported_recipients: ["id", "import_batch_id", "Emails", "is_active"],
    mail_templates: ["template_id", "template_html", "is_active"],
    unsubscribers: ["email"],
    exclude_domains: ["domain"],
    exclude_accounts: ["account"],
  },
  crm: {
    mail_blaster: [
      "id",
      "campaign_id",
      "to_mail",
      "csv_list_id",
      "user_id",
      "smtpid",
      "smtp_account_id",
      "smtp_email",
      "status",
      "attempt_count",
      "error_message",
      "delivery_date",
      "delivery_time",
      "sent_at",
      "updated_at",
    ],
    smtp_servers: ["id", "host", "port", "encryption", "received_email", "is_active"],
    smtp_accounts: [
      "id",
      "smtp_server_id",
      "email",
      "password",
      "daily_limit",
      "hourly_limit",
      "is_active",
      "sent_today",
      "total_sent",
      "user_id",
    ],
    smtp_usage: ["smtp_id", "date", "hour", "timestamp", "emails_sent", "user_id"],
    smtp_health: ["smtp_id", "health", "consecutive_failures", "suspend_until"],
  },
} as const;

const COLUMNS = statement(
  "schema.columns",
  `SELECT TABLE_NAME AS t, COLUMN_NAME AS c, CHARACTER_SET_NAME AS charset FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()`,
);
const INDEXES = statement(
  "schema.indexes",
  `SELECT TABLE_NAME AS t, INDEX_NAME AS i, NON_UNIQUE AS non_unique, GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX) AS columns_
   FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() GROUP BY TABLE_NAME, INDEX_NAME, NON_UNIQUE`,
);
const VERSION = statement("schema.version", `SELECT v FROM campaignd_meta WHERE k = 'schema_version'`);

/** What a look at one database found. */
export interface Probe {
  /** Tables and columns that must be there and are not; no waiting mends this. */
  readonly missing: readonly string[];
  /** Optional things that are not there, and what follows. */
  readonly notes: readonly { readonly what: string; readonly follows: string }[];
  readonly sideTables: "ready" | "absent" | "newer" | "older";
  readonly absentSideTables: readonly string[];
  readonly uniqueRecipient: boolean;
  readonly pendingIndex: boolean;
  /** Whether mail_blaster.to_mail can hold every character; a narrower column would store another address. */
  readonly wideAddresses: boolean;
  readonly clearLoginServers: readonly string[];
}

interface Shape {
  readonly columns: ReadonlySet<string>;
  readonly tables: ReadonlySet<string>;
  readonly unique: readonly string[];
  readonly indexes: ReadonlySet<string>;
  /** Text columns that do not hold every character. */
  readonly narrow: ReadonlySet<string>;
}

/** Looks at the tables of one server and says what is missing; changes nothing. */
export async function probe(db: Database): Promise<Probe> {
  const shape = await look(db);
  const missing = lacking(NEEDED[db.server], shape);
  return db.server === "emailId" ? emailIdProbe(missing, shape) : crmProbe(db, missing, shape);
}

function emailIdProbe(missing: string[], shape: Shape): Probe {
  const notes = [];
  if (!shape.unique.some((u) => u === "campaign_status(campaign_id)")) {
    notes.push({
      what: "campaign_status has no unique key on campaign_id",
      follows: "the newest row of a campaign counts",
    });
  }
  if (!shape.columns.has("campaign_master.reply_to")) {
    notes.push({ what: "campaign_master has no reply_to", follows: "Reply-To comes from smtp_servers.received_email" });
  }
  return { ...NOTHING, missing, notes };
}

async function crmProbe(db: Database, missing: string[], shape: Shape): Promise<Probe> {
  const notes = [];
  const uniqueRecipient = shape.unique.some((u) => /^mail_blaster\(campaign_id,to_mail\)$/.test(u));
  const pendingIndex = shape.indexes.has("mail_blaster.idx_campaign_pending(campaign_id,status,attempt_count,id)");
  if (!uniqueRecipient) {
    const follows = "campaigns are not filled unless fill.guardWithoutUniqueKey is on";
    notes.push({ what: "mail_blaster has no unique key on (campaign_id, to_mail)", follows });
  }
  if (!pendingIndex) {
    const follows = "claims read the primary key in windows, which costs more near the end of a campaign";
    notes.push({ what: "mail_blaster has no idx_campaign_pending (campaign_id, status, attempt_count, id)", follows });
  }
  const wideAddresses = !shape.narrow.has("mail_blaster.to_mail");
  if (!wideAddresses) {
    const follows = "recipients with characters beyond ASCII are failed, not sent";
    notes.push({ what: "mail_blaster.to_mail is not utf8mb4", follows });
  }
  const absent = [...SIDE_TABLES.keys()].filter((table) => !shape.tables.has(table));
  const clear = missing.length > 0 ? [] : await clearServers(db);
  return {
    missing,
    notes,
    sideTables: absent.length > 0 ? "absent" : await sideVersion(db),
    absentSideTables: absent,
    uniqueRecipient,
    pendingIndex,
    wideAddresses,
    clearLoginServers: clear,
  };
}

const NOTHING = {
  sideTables: "ready",
  absentSideTables: [],
  uniqueRecipient: true,
  pendingIndex: true,
  wideAddresses: true,
  clearLoginServers: [],
} as const;

async function sideVersion(db: Database): Promise<Probe["sideTables"]> {
  const found = Number(text((await db.rows(VERSION))[0] ?? {}, "v"));
  if (found > SCHEMA_VERSION) return "newer";
  return found < SCHEMA_VERSION ? "older" : "ready";
}

const CLEAR = statement(
  "schema.clearServers",
  `SELECT id, host, port FROM smtp_servers WHERE encryption NOT IN ('ssl', 'tls') AND is_active = 1 ORDER BY id`,
);

/** Servers that may get a login in clear when they offer no STARTTLS (contract §5). */
async function clearServers(db: Database): Promise<string[]> {
  return (await db.rows(CLEAR)).map((row) => `${number(row, "id")} (${text(row, "host")}:${number(row, "port")})`);
}

async function look(db: Database): Promise<Shape> {
  const columns = await db.rows(COLUMNS);
  const indexes = await db.rows(INDEXES);
  const form = (row: Row) => `${text(row, "t")}(${text(row, "columns_")})`;
  return {
    columns: new Set(columns.map((row) => `${text(row, "t")}.${text(row, "c")}`)),
    tables: new Set(columns.map((row) => text(row, "t"))),
    narrow: new Set(columns.filter(isNarrow).map((row) => `${text(row, "t")}.${text(row, "c")}`)),
    unique: indexes.filter((row) => number(row, "non_unique") === 0).map(form),
    indexes: new Set(indexes.map((row) => `${text(row, "t")}.${text(row, "i")}(${text(row, "columns_")})`)),
  };
}

const isNarrow = (row: Row): boolean => !["", "utf8mb4"].includes(text(row, "charset"));

function lacking(needed: Readonly<Record<string, readonly string[]>>, shape: Shape): string[] {
  return Object.entries(needed).flatMap(([table, columns]) => {
    if (!shape.tables.has(table)) return [`table ${table}`];
    return columns
      .filter((column) => !shape.columns.has(`${table}.${column}`))
      .map((column) => `column ${table}.${column}`);
  });
}
