import { systemClock } from "../../src/clock.js";
import { type SeededAccounts, type SmtpPorts, seedAccounts } from "./seed/accounts.js";
import { EXCLUDED_ACCOUNTS, EXCLUDED_DOMAIN, type ListNotes, seedAddressList } from "./seed/addressList.js";
import { type Bystanders, insertList, seedBystanders } from "./seed/bystanders.js";
import {
  INVOICE_SUBJECT,
  insertCampaign,
  insertInvoiceTemplate,
  NEWSLETTER_SUBJECT,
  newsletterBody,
} from "./seed/campaigns.js";
import { type Expectation, emptyExpectation, totalRows } from "./seed/expectation.js";
import { STORED_FILES, writeStoredFiles } from "./seed/files.js";
import { seedImportBatch } from "./seed/importBatch.js";
import { expectQueue, loosenQueue, seedQueue } from "./seed/queue.js";
import { seededRandom } from "./seed/random.js";
import { type Databases, insertRow, insertRows, moment } from "./seed/rows.js";

export interface SeedOptions {
  /** Lines of the CSV list (5,000). */
  readonly emails?: number;
  /** Rows of the import batch (2,000). */
  readonly imports?: number;
  /** SMTP accounts of the owner (40). */
  readonly accounts?: number;
  /** A root of `files.roots`, into which images and attachment are written. */
  readonly filesDir: string;
  readonly smtp: SmtpPorts;
  readonly password: (user: string) => string;
  /** What stands before a stored path in an image's URL, if `files.prefixes` maps it to filesDir. */
  readonly storageUrl?: string;
  /** Milliseconds since 1970 that count as now (the real time). */
  readonly now?: number;
}

export interface SeededCampaign {
  readonly campaignId: number;
  readonly name: string;
  readonly expected: Expectation;
}

export interface Seeded extends SeededAccounts {
  readonly newsletter: SeededCampaign;
  readonly invoices: SeededCampaign;
  readonly bystanders: Bystanders;
  readonly ownerId: number;
  /** Mails that the SMTP server may take from this run, doubtful addresses included. */
  readonly deliverable: number;
  /** Mails that the limits leave room for: 1.3 times the deliverable ones. */
  readonly room: number;
}

const BATCH_ID = "BATCH_20261120_093015_5f3c9a1e";

/**
 * Fills both databases with input that looks like production, the same at every call: two running campaigns with all that
 * belongs to them, and tenants that must not be touched. Returns what must become of it. The session on Server 2 is lenient afterwards.
 */
export async function seed(db: Databases, options: SeedOptions): Promise<Seeded> {
  const { emails = 5000, imports = 2000, accounts = 40, now = systemClock.now() } = options;
  const random = seededRandom(20_261_124);
  await writeStoredFiles(options.filesDir);
  await loosenQueue(db);
  const [ownerId, secondId, strangerId] = await seedUsers(db, now);

  const listId = await insertList(db, now, ownerId, "Diwali customers 2026", emails);
  const newsletter = emptyExpectation();
  const queued = Math.min(300, Math.floor(emails / 12));
  const list = { id: listId, userId: ownerId, strangerId, size: emails, queued };
  const notes = await seedAddressList(db, random, list, newsletter);

  const invoices = emptyExpectation();
  const batch = { id: BATCH_ID, userId: ownerId, strangerId, size: imports, now };
  const unsubscribed = await seedImportBatch(db, random, batch, invoices);
  await seedSuppression(db, now, ownerId, notes, unsubscribed);
  expectQueue(newsletter, notes.top);

  const counters = { total: 0, sent: 0, failed: 0, pending: 0 };
  const newsletterId = await insertCampaign(db, now, {
    description: "Diwali newsletter",
    subject: NEWSLETTER_SUBJECT,
    body: newsletterBody(options.storageUrl),
    listId,
    attachments: STORED_FILES.catalogue,
    userId: ownerId,
    status: "running",
    counters,
    processPid: 48_213,
  });
  const templateId = await insertInvoiceTemplate(db, now, ownerId);
  const invoicesId = await insertCampaign(db, now, {
    description: "Invoice reminder",
    subject: INVOICE_SUBJECT,
    batchId: BATCH_ID,
    templateId,
    userId: ownerId,
    status: "running",
    counters,
  });

  const deliverable = mayArrive(newsletter) + mayArrive(invoices);
  const room = Math.ceil(1.3 * deliverable);
  const plan = { ownerId, strangerIds: [secondId, strangerId], count: accounts, room, now };
  const lent = await seedAccounts(db, random, { ...plan, smtp: options.smtp, password: options.password });
  const queue = {
    campaignId: newsletterId,
    listId,
    userId: ownerId,
    addresses: notes.top,
    accounts: lent.accounts,
    now,
  };
  await seedQueue(db, queue);
  await writeStartCounters(db, newsletterId, newsletter);
  await writeStartCounters(db, invoicesId, invoices);

  return {
    ...lent,
    newsletter: { campaignId: newsletterId, name: "Diwali newsletter", expected: newsletter },
    invoices: { campaignId: invoicesId, name: "Invoice reminder", expected: invoices },
    bystanders: await seedBystanders(db, { secondId, strangerId }, now),
    ownerId,
    deliverable,
    room,
  };
}

async function seedUsers({ s1 }: Databases, now: number): Promise<[number, number, number]> {
  const aUser = (name: string, role: string): Promise<number> =>
    insertRow(s1, "users", {
      email: `${name}@lakshmi-software.example`,
      password_hash: "$2y$10$not-a-real-hash",
      name,
      role,
      permissions: "{}",
      created_at: moment(now),
    });
  return [await aUser("lakshmi", "admin"), await aUser("imran", "user"), await aUser("bystander", "user")];
}

async function seedSuppression(
  { s1 }: Databases,
  now: number,
  userId: number,
  notes: ListNotes,
  unsubscribed: readonly string[],
): Promise<void> {
  const at = moment(now);
  const strangers = Array.from({ length: 50 }, (_, i) => `gone${i}@elsewhere.example`);
  const all = [...notes.unsubscribed, ...unsubscribed, ...strangers];
  const columns = ["email", "source", "reason", "created_at", "user_id"];
  await insertRows(
    s1,
    "unsubscribers",
    columns,
    all.map((email, i) => [email, "reply", "unsubscribe", at, i % 3 === 0 ? null : userId]),
  );
  await insertRows(
    s1,
    "bounced_emails",
    columns,
    [...notes.bounced, "mailer-daemon@elsewhere.example"].map((email) => [
      email,
      "reply",
      "Undelivered Mail",
      at,
      userId,
    ]),
  );
  await insertRow(s1, "exclude_domains", { domain: EXCLUDED_DOMAIN, ip_address: "192.0.2.7", user_id: userId });
  await insertRows(
    s1,
    "exclude_accounts",
    ["account", "user_id"],
    EXCLUDED_ACCOUNTS.map((account) => [account, userId]),
  );
}

/** The legacy start counts the recipients, takes all of them for pending and zeroes the rest. */
async function writeStartCounters({ s1 }: Databases, campaignId: number, expected: Expectation): Promise<void> {
  const total = totalRows(expected);
  await s1.query("UPDATE campaign_status SET total_emails = ?, pending_emails = ? WHERE campaign_id = ?", [
    total,
    total,
    campaignId,
  ]);
}

function mayArrive(expected: Expectation): number {
  return expected.delivered.size + expected.either.size;
}
