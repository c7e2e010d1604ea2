import type { Database } from "./database.js";
import { idOrNone, number, type Row, statement, text } from "./statement.js";

/** One running campaign as campaign_status has it. */
export interface Running {
  readonly statusId: number;
  readonly campaignId: number;
  readonly total: number;
  readonly pending: number;
  readonly sent: number;
  readonly failed: number;
  readonly processPid: number;
  readonly userId: number | undefined;
}

/** What a campaign says of itself in campaign_master. */
export interface Master {
  readonly campaignId: number;
  readonly description: string;
  readonly subject: string;
  readonly body: string;
  readonly templateId: number | undefined;
  readonly listId: number | undefined;
  readonly batchId: string | undefined;
  readonly attachmentPath: string;
  readonly sendAsHtml: boolean;
  readonly replyTo: string;
  readonly userId: number | undefined;
}

/** The one status statement for all campaigns (contract §8); where rows of a campaign are doubled, the newest counts. */
const LIST_RUNNING = statement(
  "campaigns.running",
  `SELECT s.id, s.campaign_id, s.total_emails, s.pending_emails, s.sent_emails, s.failed_emails, s.process_pid, s.user_id
   FROM campaign_status s
   WHERE s.status = 'running' AND s.id = (SELECT MAX(n.id) FROM campaign_status n WHERE n.campaign_id = s.campaign_id)`,
  true,
);
const MASTERS = statement("campaigns.masters", `SELECT * FROM campaign_master WHERE campaign_id IN (?)`);
const SOURCES = statement(
  "campaigns.sources",
  `SELECT campaign_id, csv_list_id, import_batch_id, template_id FROM campaign_master WHERE campaign_id IN (?)`,
);
const TEMPLATE = statement(
  "campaigns.template",
  `SELECT template_html FROM mail_templates WHERE template_id = ? AND is_active = 1`,
);
const LIST_THERE = statement("campaigns.listThere", `SELECT id FROM csv_list WHERE id = ?`);
const BATCH_THERE = statement(
  "campaigns.batchThere",
  `SELECT id FROM imported_recipients WHERE import_batch_id = ? LIMIT 1`,
);
const COMPLETE = statement(
  "campaigns.complete",
  `UPDATE campaign_status SET status = 'completed', total_emails = ?, sent_emails = ?, failed_emails = ?, pending_emails = 0, end_time = ?
   WHERE id = ? AND status = 'running'`,
);
const HOLD = statement(
  "campaigns.hold",
  `UPDATE campaign_status SET status = 'paused' WHERE id = ? AND status = 'running'`,
);
const RECOUNT = statement(
  "campaigns.recount",
  `UPDATE campaign_status SET total_emails = ?, sent_emails = ?, failed_emails = ?, pending_emails = ? WHERE id = ? AND status <> 'running'`,
);
const RECOUNT_COMPLETED = statement(
  "campaigns.recountCompleted",
  `UPDATE campaign_status SET total_emails = ?, sent_emails = ?, failed_emails = ?, pending_emails = ? WHERE id = ? AND status = 'completed'`,
);

export async function listRunning(db: Database): Promise<Running[]> {
  return (await db.rows(LIST_RUNNING)).map((row) => ({
    statusId: number(row, "id"),
    campaignId: number(row, "campaign_id"),
    total: number(row, "total_emails"),
    pending: number(row, "pending_emails"),
    sent: number(row, "sent_emails"),
    failed: number(row, "failed_emails"),
    processPid: number(row, "process_pid"),
    userId: idOrNone(row, "user_id"),
  }));
}

export async function readMaster(db: Database, campaignId: number): Promise<Master | undefined> {
  const row = (await db.rows(MASTERS, [[campaignId]]))[0];
  return row ? master(row) : undefined;
}

/** Where each campaign's recipients and text come from; a change means that the campaign must be read anew. */
export async function readSources(db: Database, campaigns: readonly number[]): Promise<Map<number, string>> {
  if (campaigns.length === 0) return new Map();
  const rows = await db.rows(SOURCES, [campaigns]);
  return new Map(rows.map((row) => [number(row, "campaign_id"), sourceKey(row)]));
}

export const sourceKeyOf = (m: Master): string => `${m.listId ?? ""}/${m.batchId ?? ""}/${m.templateId ?? ""}`;

const sourceKey = (row: Row): string =>
  `${idOrNone(row, "csv_list_id") ?? ""}/${text(row, "import_batch_id")}/${idOrNone(row, "template_id") ?? ""}`;

/** The HTML of an active template; undefined when it is missing or switched off. */
export async function readTemplate(db: Database, templateId: number): Promise<string | undefined> {
  const row = (await db.rows(TEMPLATE, [templateId]))[0];
  return row ? text(row, "template_html") : undefined;
}

/** Whether the list that a campaign names exists, with recipients or without. */
export async function listExists(db: Database, listId: number): Promise<boolean> {
  return (await db.rows(LIST_THERE, [listId])).length > 0;
}

/** Whether the import batch has a row at all, whoever owns it. */
export async function batchExists(db: Database, batchId: string): Promise<boolean> {
  return (await db.rows(BATCH_THERE, [batchId])).length > 0;
}

function master(row: Row): Master {
  return {
    campaignId: number(row, "campaign_id"),
    description: text(row, "description"),
    subject: text(row, "mail_subject"),
    body: text(row, "mail_body"),
    templateId: idOrNone(row, "template_id"),
    listId: idOrNone(row, "csv_list_id"),
    batchId: text(row, "import_batch_id") || undefined,
    attachmentPath: text(row, "attachment_path"),
    sendAsHtml: number(row, "send_as_html") !== 0,
    replyTo: text(row, "reply_to"),
    userId: idOrNone(row, "user_id"),
  };
}

export interface Counters {
  readonly total: number;
  readonly sent: number;
  readonly failed: number;
  readonly pending: number;
}

/** Writes the counters of all changed campaigns in one statement; returns how many rows are still running. */
export async function writeProgress(
  db: Database,
  changed: readonly { statusId: number; counters: Counters }[],
): Promise<number> {
  const set = (column: string) => `${column} = CASE id ${"WHEN ? THEN ? ".repeat(changed.length)}END`;
  const update = statement(
    "campaigns.progress",
    `UPDATE campaign_status SET ${["total_emails", "sent_emails", "failed_emails", "pending_emails"].map(set).join(", ")}
     WHERE id IN (?) AND status = 'running'`,
  );
  const bind = (value: (c: Counters) => number) => changed.flatMap((c) => [c.statusId, value(c.counters)]);
  const values = [...bind((c) => c.total), ...bind((c) => c.sent), ...bind((c) => c.failed), ...bind((c) => c.pending)];
  return (await db.run(update, [...values, changed.map((c) => c.statusId)])).affected;
}

/** running → completed with the last counters, in one statement; false when somebody changed the status first. */
export async function completeCampaign(
  db: Database,
  statusId: number,
  counters: Counters,
  endTime: string,
): Promise<boolean> {
  const { affected } = await db.run(COMPLETE, [counters.total, counters.sent, counters.failed, endTime, statusId]);
  return affected === 1;
}

/** running → paused, for a campaign that must not send; false when it was not running any more. */
export async function holdCampaign(db: Database, statusId: number): Promise<boolean> {
  return (await db.run(HOLD, [statusId])).affected === 1;
}

/** Corrects the counters of a campaign that is not running any more, after its last mails landed; says whether it is completed. */
export async function recountCampaign(
  db: Database,
  statusId: number,
  { total, sent, failed, pending }: Counters,
): Promise<"completed" | "other"> {
  const values = [total, sent, failed, pending, statusId];
  if ((await db.run(RECOUNT_COMPLETED, values)).affected > 0) return "completed";
  await db.run(RECOUNT, values);
  return "other";
}
