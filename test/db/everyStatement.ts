import * as notes from "../../src/db/campaignNotes.js";
import * as campaigns from "../../src/db/campaigns.js";
import * as claims from "../../src/db/claims.js";
import type { Database } from "../../src/db/database.js";
import * as fence from "../../src/db/fence.js";
import * as mails from "../../src/db/mailBlaster.js";
import * as recipients from "../../src/db/recipients.js";
import * as recovery from "../../src/db/recovery.js";
import * as retries from "../../src/db/retries.js";
import { probe } from "../../src/db/schema.js";
import { apply } from "../../src/db/schemaApply.js";
import * as settlements from "../../src/db/settlements.js";
import * as accounts from "../../src/db/smtpAccounts.js";
import * as suppression from "../../src/db/suppression.js";
import * as tallies from "../../src/db/tallies.js";
import * as vitals from "../../src/db/vitals.js";

/** What the statements are asked about; sizes as the daemon's own: a claim of 500, a page of 1,000. */
export interface Scene {
  /** Each has pending rows. */
  readonly campaigns: readonly number[];
  readonly list: number;
  readonly batch: string;
  readonly owner: number;
  readonly template: number;
  readonly accounts: readonly number[];
  /** Addresses that the list and the batch hold. */
  readonly addresses: readonly string[];
  readonly claim: number;
}

const HOUR = { date: "2026-11-24", hour: 12, stamp: "2026-11-24 12:30:00" };
const COUNTERS = { total: 10, sent: 4, failed: 1, pending: 5 };
const SLICE = 50_000;

/** Calls every function that sends a statement to a database at least once, with realistic values; writes as they write. */
export async function askEverything(db: { emailId: Database; crm: Database }, scene: Scene): Promise<void> {
  const lease = await db.crm.transaction("lease.takeOver", (run) => fence.takeLease(run, "tester", "tester", 30_000));
  const epoch = lease?.epoch ?? 0;
  for (const server of [db.emailId, db.crm]) {
    await probe(server);
    await vitals.alive(server);
    await vitals.firstLook(server);
    await vitals.readLimits(server);
    await vitals.readClock(server);
  }
  await apply(db.crm, []); // its rows alone: the daemon's login may not create tables
  await askServer1(db.emailId, scene);
  await askQueue(db.crm, scene, epoch);
  await askClaims(db.crm, scene, epoch);
  await askRest(db.crm, scene, epoch);
}

async function askServer1(db: Database, scene: Scene): Promise<void> {
  const [first = 0] = scene.campaigns;
  const running = await campaigns.listRunning(db);
  const status = running.find(({ campaignId }) => campaignId === first);
  await campaigns.readMaster(db, first);
  await campaigns.listExists(db, 1);
  await campaigns.batchExists(db, "none");
  await campaigns.readSources(db, scene.campaigns);
  await campaigns.readTemplate(db, scene.template);
  await campaigns.writeProgress(
    db,
    running.slice(0, 5).map(({ statusId }) => ({ statusId, counters: COUNTERS })),
  );
  await campaigns.recountCampaign(db, status?.statusId ?? 0, COUNTERS);
  await campaigns.holdCampaign(db, 0);
  await campaigns.completeCampaign(db, 0, COUNTERS, HOUR.stamp);

  const sources: recipients.Source[] = [
    { kind: "import", batchId: scene.batch },
    { kind: "list", listId: scene.list },
    { kind: "all" },
  ];
  for (const source of sources) {
    for (const owner of [undefined, scene.owner]) {
      for (const cursor of [0, SLICE / 2, 10 * SLICE]) await recipients.recipientPage(db, source, owner, cursor, 1000);
    }
    await recipients.recipientRows(db, source, scene.addresses.slice(0, scene.claim));
  }
  await suppression.unsubscribed(db, scene.addresses);
  await suppression.bounced(db, scene.addresses);
  await suppression.excludedDomains(db);
  await suppression.excludedAccounts(db);
}

async function askQueue(db: Database, scene: Scene, epoch: number): Promise<void> {
  const [first = 0] = scene.campaigns;
  for (const campaignId of scene.campaigns) {
    const { highest } = await mails.idBounds(db, campaignId);
    for (const cursor of [0, highest - 10]) {
      await mails.freshRows(db, campaignId, cursor, scene.claim);
      await mails.windowRows(db, campaignId, cursor, scene.claim);
      await mails.nextId(db, campaignId, cursor);
    }
    await mails.reopenedRows(db, campaignId, scene.claim);
  }
  await mails.existingAddresses(db, first, scene.addresses);
  await mails.processingRows(db, scene.campaigns, 5000);
  await tallies.tallySlice(db, first, 0, SLICE);
  await tallies.healSlice(db, epoch, first, 0, SLICE);
  await tallies.adoptSlice(db, epoch, first, 0, SLICE);
  const stamp = await mails.serverStamp(db);
  const rows = Array.from({ length: 1000 }, (_, n) => ({ to: `new.${epoch}.${n}@recipients.example` }));
  const note = [first, `list:${scene.list}`, 1000, 0, ...fence.fenced(epoch)];
  const insert = mails.insertRows({ id: first, listId: scene.list, userId: scene.owner }, rows, stamp);
  await db.packet("fill", [claims.lockFence(epoch), [notes.NOTE_FILL, note], insert], () => undefined);
}

async function askClaims(db: Database, scene: Scene, epoch: number): Promise<void> {
  const [campaignId = 0] = scene.campaigns;
  const wanted = (await mails.freshRows(db, campaignId, 0, scene.claim)).map((row, n) => {
    const accountId = scene.accounts[n % scene.accounts.length] ?? 0;
    return { ...row, accountId, accountEmail: `account-${accountId}@sender.example` };
  });
  const batch = `${epoch}.1`;
  await claims.claim(db, epoch, batch, 0, wanted);
  await claims.claimStored(db, batch);
  await claims.claimStored(db, `${epoch}.lost`);
  await claims.markReleased(db, epoch, batch, wanted.length);
  await settlements.settle(db, batchOf(wanted, campaignId, epoch, batch));
  await settlements.settled(db, epoch, 1);
}

/** Every kind of outcome, a quarter of the rows each. */
function batchOf(
  rows: readonly claims.Wanted[],
  campaignId: number,
  epoch: number,
  batch: string,
): settlements.SettleBatch {
  const outcome = ({ accountId, ...before }: claims.Wanted, n: number): settlements.Settlement => {
    const { mailId } = before;
    const text = `[Attempt 1] [greylisted] 451 try later ${n % 3}`;
    const unknown = { campaignId, messageId: `<c${campaignId}.m${mailId}@sender.example>`, accountId, why: "lost" };
    const retry = { campaignId, dueInSeconds: 300, class: "greylisted", accountId };
    if (n % 4 === 0) return { kind: "sent", mailId };
    if (n % 4 === 1) return { kind: "failed", mailId, attempts: 1, text, retry };
    return n % 4 === 2 ? { kind: "unknown", mailId, text, unknown } : { kind: "released", mailId, before };
  };
  const usage = [...claims.groupBy(rows, (row) => row.accountId)].map(([accountId, mine]) => ({
    ...HOUR,
    accountId,
    userId: 1,
    count: mine.length,
  }));
  return { epoch, seq: 1, rows: rows.map(outcome), usage, ended: rows.map((row) => row.mailId), batches: [batch] };
}

async function askRest(db: Database, scene: Scene, epoch: number): Promise<void> {
  const [campaignId = 0] = scene.campaigns;
  await retries.dueEntries(db, scene.campaigns, 2000);
  const ids = (await mails.freshRows(db, campaignId, 0, scene.claim)).map((row) => row.mailId);
  await mails.rowsById(db, ids);
  await retries.nextDueIn(db, scene.campaigns);
  await retries.endEntries(db, ids);
  await mails.settleForeign(db, epoch, ids, 900, "park", "left in processing");
  await mails.settleForeign(db, epoch, ids, 900, "release", "");

  await notes.readNotes(db, campaignId);
  await notes.noteHold(db, campaignId, "a file is missing");
  await notes.clearHold(db, epoch, campaignId);
  await notes.refillLater(db, epoch, campaignId);
  await notes.countUnknowns(db, campaignId);

  await accounts.readAccounts(db);
  await accounts.readUsage(db, HOUR.date, HOUR.hour);
  for (const date of ["2026-11-23", HOUR.date]) await accounts.resetSentToday(db, epoch, date);
  const [accountId = 0] = scene.accounts;
  const note = { accountId, owner: 1, failures: 0, suspendSeconds: 0, errorType: null, errorText: null } as const;
  await accounts.writeHealth(db, [{ ...note, health: "healthy", succeeded: true, failed: false }]);
  await fence.leaseHolder(db);
  await askRecovery(db, campaignId, scene, epoch);
  await fence.giveLeaseBack(db, "tester");
}

async function askRecovery(db: Database, campaignId: number, scene: Scene, epoch: number): Promise<void> {
  const rows = (await mails.freshRows(db, campaignId, 0, scene.claim)).map((before) => ({
    before,
    campaignId,
    accountId: scene.accounts[0] ?? 0,
    accountEmail: "account@sender.example",
    released: true,
    messageId: "<m@sender.example>",
  }));
  const record = { batch: `${epoch}.2`, released: 1, rows: rows.map(({ before }) => before) };
  await db.transaction("lease.takeOver", async (run) => {
    await claims.moveRecords(run, epoch);
    await claims.adoptRecords(run, epoch);
    await recovery.strandedRows(run, [record]);
    await recovery.parkRows(run, epoch, rows, "the daemon ended", HOUR);
    await recovery.restoreRows(run, epoch, record.rows);
    await claims.forgetRecords(run, epoch);
  });
}
