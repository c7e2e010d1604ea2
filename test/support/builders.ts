import type { Sandbox } from "./sandbox.js";
import type { SqlValue } from "./sandboxDatabases.js";

/** The databases to build in: a Sandbox is one. */
export type BuilderDatabases = Pick<Sandbox, "s1" | "s2">;
type Query = Sandbox["s1"];

/** A user of the web application; returns its id. */
export function aUser(
  { s1 }: BuilderDatabases,
  user: { name?: string; role?: "admin" | "user" } = {},
): Promise<number> {
  const { name = `user-${next()}`, role = "user" } = user;
  return insert(s1, "users", { email: `${name}@crm.example`, password_hash: "-", name, role });
}

interface ServerRow {
  readonly port: number;
  readonly host?: string;
  readonly encryption?: "ssl" | "tls" | "";
  readonly replyTo?: string;
  readonly active?: boolean;
  readonly userId?: number | null;
}

/** An SMTP server; returns its id. */
export function aServer({ s2 }: BuilderDatabases, server: ServerRow): Promise<number> {
  return insert(s2, "smtp_servers", {
    name: `server-${next()}`,
    host: server.host ?? "127.0.0.1",
    port: server.port,
    encryption: server.encryption ?? "",
    received_email: server.replyTo ?? "",
    is_active: server.active ?? true,
    user_id: server.userId,
  });
}

interface AccountRow {
  /** Its server: an id, or what aServer() takes to make one. */
  readonly server: number | ServerRow;
  readonly email?: string;
  /** `pw-<email>` by default, as the SMTP server expects. */
  readonly password?: string;
  readonly fromName?: string;
  /** Mails; 0 is none (the default). */
  readonly hourlyLimit?: number | null;
  readonly dailyLimit?: number | null;
  readonly active?: boolean;
  readonly userId?: number | null;
}

/** An SMTP account, without limits unless given, with its server; returns its id. */
export async function anAccount(db: BuilderDatabases, account: AccountRow): Promise<number> {
  const { server, email = `account-${next()}@sender.example`, userId } = account;
  const serverId = typeof server === "number" ? server : await aServer(db, { userId: userId ?? null, ...server });
  return insert(db.s2, "smtp_accounts", {
    smtp_server_id: serverId,
    email,
    from_name: account.fromName,
    password: account.password ?? `pw-${email}`,
    daily_limit: account.dailyLimit === undefined ? 0 : account.dailyLimit,
    hourly_limit: account.hourlyLimit === undefined ? 0 : account.hourlyLimit,
    is_active: account.active ?? true,
    user_id: userId,
  });
}

/** A CSV list without addresses; returns its id. */
export function aList({ s1 }: BuilderDatabases, list: { name?: string; userId?: number | null } = {}): Promise<number> {
  const { name = `list-${next()}`, userId } = list;
  return insert(s1, "csv_list", { list_name: name, file_name: `${name}.csv`, status: "completed", user_id: userId });
}

interface EmailRows {
  readonly list?: number | null;
  /** The addresses, or how many of `ok.<n>@recipients.example` to make. */
  readonly addresses: readonly string[] | number;
  readonly userId?: number | null;
  readonly domainStatus?: 0 | 1 | 2;
  readonly validationStatus?: string | null;
}

/** Addresses on a CSV list, valid unless said otherwise; returns them. */
export async function someEmails({ s1 }: BuilderDatabases, emails: EmailRows): Promise<readonly string[]> {
  const { addresses, list = null, userId = null, domainStatus = 1, validationStatus = "valid" } = emails;
  const all = typeof addresses === "number" ? recipients(addresses) : addresses;
  const columns =
    "raw_emailid, sp_account, sp_domain, csv_list_id, user_id, domain_status, validation_status, domain_processed";
  for (let from = 0; from < all.length; from += 1000) {
    const page = all.slice(from, from + 1000).map((address) => {
      const [account = "", domain = ""] = address.split("@");
      return [address, account, domain, list, userId, domainStatus, validationStatus, 1];
    });
    await s1(`INSERT INTO emails (${columns}) VALUES ?`, [page]);
  }
  return all;
}

interface ImportRow {
  readonly batch: string;
  readonly address: string | null;
  /** Business columns by name, e.g. BilledName, Company, "Group Name". */
  readonly columns?: Readonly<Record<string, SqlValue>>;
  /** Columns of the sheet that the table lacks. */
  readonly extra?: Readonly<Record<string, unknown>> | string;
  readonly active?: boolean;
  readonly userId?: number | null;
}

/** One row of an Excel import; returns its id. */
export function anImport({ s1 }: BuilderDatabases, row: ImportRow): Promise<number> {
  const { extra } = row;
  return insert(s1, "imported_recipients", {
    import_batch_id: row.batch,
    Emails: row.address,
    extra_data: extra === undefined || typeof extra === "string" ? extra : JSON.stringify(extra),
    is_active: row.active ?? true,
    user_id: row.userId,
    ...row.columns,
  });
}

interface TemplateRow {
  readonly html: string;
  readonly active?: boolean;
  readonly userId?: number | null;
}

/** A mail template; returns its id. */
export function aTemplate({ s1 }: BuilderDatabases, template: TemplateRow): Promise<number> {
  const { html, active = true, userId } = template;
  const row = { template_name: `template-${next()}`, template_html: html, is_active: active, user_id: userId };
  return insert(s1, "mail_templates", row);
}

interface CampaignRow {
  /** `null` makes no campaign_status row, as a campaign that was never started has none. */
  readonly status?: string | null;
  readonly subject?: string;
  readonly body?: string | null;
  readonly list?: number | null;
  readonly batch?: string | null;
  readonly template?: number | null;
  readonly attachments?: string | null;
  readonly html?: boolean;
  readonly userId?: number | null;
  readonly total?: number;
  readonly pending?: number;
  readonly sent?: number;
  readonly failed?: number;
  readonly processPid?: number | null;
}

/** A campaign with its status row, running unless said otherwise; returns its id. */
export async function aCampaign({ s1 }: BuilderDatabases, campaign: CampaignRow = {}): Promise<number> {
  const { status = "running", userId } = campaign;
  const campaignId = await insert(s1, "campaign_master", {
    csv_list_id: campaign.list,
    import_batch_id: campaign.batch,
    template_id: campaign.template,
    description: `campaign-${next()}`,
    mail_subject: campaign.subject ?? "News of the week",
    mail_body: campaign.body === undefined ? "<p>Here is the news of the week.</p>" : campaign.body,
    attachment_path: campaign.attachments,
    send_as_html: campaign.html ?? true,
    user_id: userId,
  });
  if (status === null) return campaignId;
  await insert(s1, "campaign_status", {
    campaign_id: campaignId,
    status,
    total_emails: campaign.total ?? 0,
    pending_emails: campaign.pending ?? 0,
    sent_emails: campaign.sent ?? 0,
    failed_emails: campaign.failed ?? 0,
    process_pid: campaign.processPid,
    user_id: userId,
  });
  return campaignId;
}

interface MailRow {
  readonly campaign: number;
  readonly to?: string;
  /** "" is what a lax server makes of a word that the column does not know. */
  readonly status?: "pending" | "processing" | "success" | "failed" | "" | null;
  readonly attempts?: number | null;
  readonly error?: string | null;
  /** Milliseconds since the row was last written (updated_at). */
  readonly age?: number;
  /** An account's id after a result, a server's id between a legacy worker's claim and its result. */
  readonly smtpid?: number;
  readonly accountId?: number | null;
  readonly smtpEmail?: string | null;
  readonly list?: number | null;
  readonly userId?: number | null;
}

/** A queue row, pending and never tried unless said otherwise; returns its id. A NULL status needs a column that allows it. */
export async function aMail({ s2 }: BuilderDatabases, mail: MailRow): Promise<number> {
  const id = await insert(s2, "mail_blaster", {
    campaign_id: mail.campaign,
    to_mail: mail.to ?? recipients(1)[0],
    csv_list_id: mail.list,
    user_id: mail.userId,
    status: mail.status === undefined ? "pending" : mail.status,
    attempt_count: mail.attempts === undefined ? 0 : mail.attempts,
    error_message: mail.error,
    smtpid: mail.smtpid ?? mail.accountId ?? 0,
    smtp_account_id: mail.accountId,
    smtp_email: mail.smtpEmail,
    delivery_date: "2026-11-20",
    delivery_time: "10:00:00",
  });
  if (mail.age !== undefined) {
    const sql = "UPDATE mail_blaster SET updated_at = NOW() - INTERVAL ? SECOND WHERE id = ?";
    await s2(sql, [mail.age / 1000, id]);
  }
  return id;
}

interface UsageRow {
  readonly accountId: number;
  /** Of the zone in which the legacy system counts, e.g. "2026-11-24" and 0 to 23. */
  readonly date: string;
  readonly hour: number;
  readonly sent: number;
  readonly userId?: number | null;
}

/** What an account sent in an hour; returns the row's id. */
export function aUsage({ s2 }: BuilderDatabases, usage: UsageRow): Promise<number> {
  const { accountId, date, hour, sent, userId } = usage;
  const timestamp = `${date} ${String(hour).padStart(2, "0")}:30:00`;
  return insert(s2, "smtp_usage", { smtp_id: accountId, date, hour, timestamp, emails_sent: sent, user_id: userId });
}

/** Somebody who wants no more mail; returns the row's id. */
export function anUnsubscriber(
  { s1 }: BuilderDatabases,
  row: { email: string; userId?: number | null },
): Promise<number> {
  return insert(s1, "unsubscribers", { email: row.email, source: "reply", reason: "unsubscribe", user_id: row.userId });
}

let made = 0;

function next(): number {
  made += 1;
  return made;
}

function recipients(count: number): string[] {
  return Array.from({ length: count }, () => `ok.${next()}@recipients.example`);
}

async function insert(
  query: Query,
  table: string,
  row: Readonly<Record<string, SqlValue | undefined>>,
): Promise<number> {
  const columns = Object.keys(row);
  const names = columns.map((column) => `\`${column}\``).join(", ");
  const marks = columns.map(() => "?").join(", ");
  const values = columns.map((column) => row[column] ?? null);
  const [header] = await query<{ insertId: number }>(`INSERT INTO ${table} (${names}) VALUES (${marks})`, values);
  return header?.insertId ?? 0;
}
