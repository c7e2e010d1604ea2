import { insertCampaign } from "./campaigns.js";
import { type Databases, insertRow, insertRows, moment } from "./rows.js";

/** What must be exactly as before when the run is over. */
export interface Bystanders {
  /** A paused and a completed campaign with their rows. */
  readonly campaignIds: readonly number[];
  /** Their rows as the seed left them; compare with untouchedRows(). */
  readonly before: string;
}

/** Makes a paused and a completed campaign of another owner, with queue rows, and a third owner's list. */
export async function seedBystanders(
  db: Databases,
  owners: { secondId: number; strangerId: number },
  now: number,
): Promise<Bystanders> {
  const listId = await insertList(db, now, owners.secondId, "Spring mailing", 40);
  const strangersList = await insertList(db, now, owners.strangerId, "Tenant list", 50);
  await insertRows(
    db.s1,
    "emails",
    [
      "raw_emailid",
      "domain_verified",
      "domain_status",
      "domain_processed",
      "csv_list_id",
      "validation_status",
      "user_id",
    ],
    [
      ...Array.from({ length: 40 }, (_, i) => [`spring${i}@second.example`, 1, 1, 1, listId, "valid", owners.secondId]),
      ...Array.from({ length: 50 }, (_, i) => [
        `own${i}@tenant.example`,
        1,
        1,
        1,
        strangersList,
        "valid",
        owners.strangerId,
      ]),
    ],
  );
  const shared = {
    listId,
    userId: owners.secondId,
    subject: "Spring news",
    body: "<p>Spring has come, with news.</p>",
  };
  const counters = { total: 40, sent: 10, failed: 0, pending: 30 };
  const paused = await insertCampaign(db, now, {
    ...shared,
    description: "Spring (paused)",
    status: "paused",
    counters,
  });
  const all = { total: 40, sent: 38, failed: 2, pending: 0 };
  const done = await insertCampaign(db, now, { ...shared, description: "Winter", status: "completed", counters: all });
  await seedRows(db, paused, listId, owners.secondId, now, (i) => (i < 10 ? ["success", 1] : ["pending", 0]));
  await seedRows(db, done, listId, owners.secondId, now, (i) => (i < 38 ? ["success", 1] : ["failed", 5]));
  const campaignIds = [paused, done];
  return { campaignIds, before: await untouchedRows(db, campaignIds) };
}

/** The status and queue rows of the campaigns in one string, equal exactly when nothing was written. */
export async function untouchedRows({ s1, s2 }: Databases, campaignIds: readonly number[]): Promise<string> {
  const [statuses] = await s1.query("SELECT * FROM campaign_status WHERE campaign_id IN (?) ORDER BY id", [
    campaignIds,
  ]);
  const [rows] = await s2.query("SELECT * FROM mail_blaster WHERE campaign_id IN (?) ORDER BY id", [campaignIds]);
  return JSON.stringify([statuses, rows]);
}

/** Inserts a list's head row and returns its id. */
export function insertList(
  { s1 }: Databases,
  now: number,
  userId: number,
  name: string,
  size: number,
): Promise<number> {
  return insertRow(s1, "csv_list", {
    list_name: name,
    file_name: `${name.toLowerCase().replaceAll(" ", "_")}.csv`,
    total_emails: size,
    valid_count: size,
    status: "completed",
    created_at: moment(now),
    updated_at: moment(now),
    user_id: userId,
  });
}

async function seedRows(
  { s2 }: Databases,
  campaignId: number,
  listId: number,
  userId: number,
  now: number,
  state: (i: number) => readonly [string, number],
): Promise<void> {
  const at = moment(now - 48 * 3_600_000);
  const columns = ["campaign_id", "to_mail", "csv_list_id", "user_id", "status", "attempt_count", "smtpid"];
  const rows = Array.from({ length: 40 }, (_, i) => {
    return [campaignId, `spring${i}@second.example`, listId, userId, ...state(i), 0, at, at, at];
  });
  await insertRows(s2, "mail_blaster", [...columns, "delivery_date", "delivery_time", "updated_at"], rows);
}
