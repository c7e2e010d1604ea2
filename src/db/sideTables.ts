/**
 * campaignd's own tables, all on Server 2 (contract §1, reliability of claims: one record a claimed batch).
 * Plain DDL that MariaDB 5.5 onwards and MySQL 8 understand; `schema apply` creates what is missing, `run` never does.
 */
export const SCHEMA_VERSION = 1;

/** The one queue of this database; the key of its lease and of its fence. */
export const QUEUE = "mail_blaster";

const END = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4";

export const SIDE_TABLES: ReadonlyMap<string, string> = new Map([
  [
    "campaignd_meta",
    `CREATE TABLE IF NOT EXISTS campaignd_meta (
  k VARCHAR(64) NOT NULL, v TEXT NULL, PRIMARY KEY (k)) ${END}`,
  ],
  [
    "campaignd_lease",
    `CREATE TABLE IF NOT EXISTS campaignd_lease (
  k VARCHAR(64) NOT NULL, owner VARCHAR(128) NOT NULL DEFAULT '', expires_at DATETIME NOT NULL, PRIMARY KEY (k)) ${END}`,
  ],
  [
    "campaignd_fence",
    `CREATE TABLE IF NOT EXISTS campaignd_fence (
  k VARCHAR(64) NOT NULL, epoch BIGINT UNSIGNED NOT NULL DEFAULT 0, PRIMARY KEY (k)) ${END}`,
  ],
  [
    "campaignd_claim",
    `CREATE TABLE IF NOT EXISTS campaignd_claim (
  batch VARCHAR(64) CHARACTER SET ascii NOT NULL, epoch BIGINT UNSIGNED NOT NULL, released INT NOT NULL DEFAULT 0,
  ids MEDIUMTEXT CHARACTER SET ascii NOT NULL, PRIMARY KEY (batch)) ${END}`,
  ],
  [
    "campaignd_batch",
    `CREATE TABLE IF NOT EXISTS campaignd_batch (
  lane INT NOT NULL, epoch BIGINT UNSIGNED NOT NULL, seq BIGINT UNSIGNED NOT NULL, PRIMARY KEY (lane)) ${END}`,
  ],
  [
    "campaignd_retry",
    `CREATE TABLE IF NOT EXISTS campaignd_retry (
  mail_id INT NOT NULL, campaign_id BIGINT UNSIGNED NOT NULL, due_at DATETIME NOT NULL, class VARCHAR(32) NOT NULL,
  account_id INT NULL, first_failed_at DATETIME NOT NULL, PRIMARY KEY (mail_id),
  KEY idx_campaign_due (campaign_id, due_at)) ${END}`,
  ],
  [
    "campaignd_unknown",
    `CREATE TABLE IF NOT EXISTS campaignd_unknown (
  mail_id INT NOT NULL, campaign_id BIGINT UNSIGNED NOT NULL, message_id VARCHAR(255) NOT NULL, account_id INT NULL,
  at DATETIME NOT NULL, why VARCHAR(255) NOT NULL, resolution VARCHAR(32) NULL, PRIMARY KEY (mail_id),
  KEY idx_campaign (campaign_id)) ${END}`,
  ],
  [
    "campaignd_campaign",
    `CREATE TABLE IF NOT EXISTS campaignd_campaign (
  campaign_id BIGINT UNSIGNED NOT NULL, fill_source VARCHAR(160) NULL, fill_cursor BIGINT UNSIGNED NOT NULL DEFAULT 0,
  filled_at DATETIME NULL, hold_reason VARCHAR(500) NULL, held_at DATETIME NULL, unknown_policy VARCHAR(16) NULL,
  PRIMARY KEY (campaign_id)) ${END}`,
  ],
  [
    "campaignd_audit",
    `CREATE TABLE IF NOT EXISTS campaignd_audit (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, at DATETIME NOT NULL, who VARCHAR(128) NOT NULL, command VARCHAR(64) NOT NULL,
  target VARCHAR(255) NOT NULL DEFAULT '', detail TEXT NULL, PRIMARY KEY (id), KEY idx_at (at)) ${END}`,
  ],
]);

/** The single rows that the queue needs; idempotent. */
export const SIDE_ROWS: readonly string[] = [
  `INSERT IGNORE INTO campaignd_lease (k, owner, expires_at) VALUES ('${QUEUE}', '', UTC_TIMESTAMP() - INTERVAL 1 SECOND)`,
  `INSERT IGNORE INTO campaignd_fence (k, epoch) VALUES ('${QUEUE}', 0)`,
  `INSERT IGNORE INTO campaignd_meta (k, v) VALUES ('schema_version', '${SCHEMA_VERSION}')`,
];

const READ_ON_SERVER_1 = [
  "campaign_master",
  "campaign_status",
  "emails",
  "imported_recipients",
  "csv_list",
  "users",
  "mail_templates",
  "unsubscribers",
  "bounced_emails",
  "exclude_domains",
  "exclude_accounts",
  "campaign_distribution",
];

/** The least a daemon's login needs; `account` is quoted as MariaDB wants it, e.g. `'campaignd'@'10.0.0.5'`. */
export function grants(
  account: string,
  database: { emailId: string; crm: string },
): { emailId: string[]; crm: string[] } {
  const s1 = `\`${database.emailId}\``;
  const s2 = `\`${database.crm}\``;
  return {
    emailId: [
      ...READ_ON_SERVER_1.map((table) => `GRANT SELECT ON ${s1}.${table} TO ${account}`),
      `GRANT UPDATE (status, total_emails, pending_emails, sent_emails, failed_emails, end_time) ON ${s1}.campaign_status TO ${account}`,
    ],
    crm: [
      ...["mail_blaster", "smtp_usage", "smtp_health"].map(
        (t) => `GRANT SELECT, INSERT, UPDATE ON ${s2}.${t} TO ${account}`,
      ),
      `GRANT SELECT ON ${s2}.smtp_servers TO ${account}`,
      `GRANT SELECT, UPDATE (sent_today, total_sent) ON ${s2}.smtp_accounts TO ${account}`,
      ...[...SIDE_TABLES.keys()].map((table) => `GRANT SELECT, INSERT, UPDATE, DELETE ON ${s2}.${table} TO ${account}`),
    ],
  };
}
