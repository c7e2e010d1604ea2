import { parseAddress } from "../campaign/address.js";
import type { Campaign } from "../campaign/catalog.js";
import { type Suppression, suppressedText } from "../campaign/suppression.js";
import type { Clock } from "../clock.js";
import { NOTE_FILL, readNotes } from "../db/campaignNotes.js";
import { batchExists, listExists } from "../db/campaigns.js";
import { lockFence } from "../db/claims.js";
import type { Database } from "../db/database.js";
import { fenced } from "../db/fence.js";
import { existingAddresses, insertRows, type NewRow, serverStamp } from "../db/mailBlaster.js";
import { recipientPage, type Source, type SourceRow } from "../db/recipients.js";
import type { Part } from "../db/statement.js";
import { CampaigndError } from "../errors.js";

export interface FillerOptions {
  readonly emailId: Database;
  readonly crm: Database;
  readonly clock: Clock;
  readonly suppression: Suppression;
  readonly epoch: () => number;
  readonly page: number;
  readonly pause: number;
  readonly allTenants: boolean;
  /** Whether the queue has its unique key on campaign and address; without it only the guarded way fills. */
  readonly uniqueKey: boolean;
  readonly guardWithoutUniqueKey: boolean;
  /** Whether the queue's address column holds every character. */
  readonly wideAddresses: boolean;
}

export interface Filled {
  readonly inserted: number;
  readonly present: number;
  readonly suppressed: number;
  readonly invalid: number;
  readonly collisions: number;
}

const NOTHING: Filled = { inserted: 0, present: 0, suppressed: 0, invalid: 0, collisions: 0 };

/**
 * Puts every recipient of a campaign into the queue, page by page, memory flat whatever the size; only missing addresses are
 * inserted, and the cursor outlives a restart (contract §3). `inserted` is told the first id and the number of each page.
 */
export async function fill(
  campaign: Campaign,
  options: FillerOptions,
  stopped: AbortSignal,
  inserted: (firstId: number, rows: number) => void,
): Promise<Filled> {
  const key = sourceKey(campaign.source);
  const notes = await readNotes(options.crm, campaign.id);
  const known = notes.fillSource === key;
  if (known && notes.filled) return NOTHING;
  if (!options.uniqueKey && !options.guardWithoutUniqueKey) throw unguarded();
  if (!known) await requireSource(options.emailId, campaign.source);
  const owner = options.allTenants && campaign.source.kind === "all" ? undefined : campaign.owner;
  let total = NOTHING;
  for (let cursor: number | undefined = known ? notes.fillCursor : 0; cursor !== undefined && !stopped.aborted; ) {
    const page = await recipientPage(options.emailId, campaign.source, owner, cursor, options.page);
    total = add(total, await fillPage(campaign, page.rows, { key, cursor: page.cursor }, options, inserted));
    cursor = page.cursor;
    if (cursor !== undefined) await options.clock.sleep(options.pause, stopped);
  }
  return total;
}

/** A list that was deleted looks like an empty one: the campaign would complete without a mail, and nobody would know why. */
async function requireSource(db: Database, source: Source): Promise<void> {
  if (source.kind === "list" && !(await listExists(db, source.listId)))
    throw new CampaigndError("files", `list ${source.listId} is missing; give the campaign another one`);
  if (source.kind === "import" && !(await batchExists(db, source.batchId)))
    throw new CampaigndError("files", `import batch ${source.batchId} is missing; import it again, or choose another`);
}

async function fillPage(
  campaign: Campaign,
  rows: readonly SourceRow[],
  next: { key: string; cursor: number | undefined },
  options: FillerOptions,
  inserted: (firstId: number, rows: number) => void,
): Promise<Filled> {
  const { crm, suppression, epoch } = options;
  const wanted = distinct(rows);
  const present = new Set((await existingAddresses(crm, campaign.id, [...wanted.values()])).map(keyOf));
  const missing = [...wanted].filter(([key]) => !present.has(key)).map(([, address]) => address);
  const reasons = await suppression.ask(missing);
  const fresh = missing.map((address) => newRow(address, reasons, options.wideAddresses));
  const note = next.cursor === undefined ? [0, 1] : [next.cursor, 0];
  const parts: Part[] = [
    lockFence(epoch()),
    [NOTE_FILL, [campaign.id, next.key, ...(note as [number, number]), ...fenced(epoch())]],
  ];
  if (fresh.length > 0) parts.push(insertRows(rowsOf(campaign), fresh, await serverStamp(crm)));
  const result = await crm.packet("fill", parts, ([fence, , insert]) => {
    if (fence?.rows.length !== 1)
      throw new CampaigndError("fenced", "another daemon leads this queue: nothing was filled");
    return { count: insert?.affected ?? 0, firstId: insert?.insertId ?? 0 };
  });
  if (result.count > 0) inserted(result.firstId, fresh.length);
  return {
    inserted: result.count,
    present: wanted.size - missing.length,
    suppressed: fresh.filter((row) => row.failure?.startsWith("[SUPPRESSED]")).length,
    invalid: fresh.filter((row) => row.failure?.startsWith("[INVALID]")).length,
    collisions: rows.length - wanted.size + (fresh.length - result.count),
  };
}

const rowsOf = (campaign: Campaign) => ({
  id: campaign.id,
  listId: campaign.source.kind === "import" ? null : (campaign.listId ?? null),
  userId: campaign.owner ?? null,
});

/** An address that cannot be written to ends at once, with the reason, instead of stopping the fill. */
function newRow(address: string, suppressed: ReadonlyMap<string, string>, wide: boolean): NewRow {
  const parsed = parseAddress(address);
  if (!parsed.ok) return { to: printable(address), failure: `[INVALID] ${parsed.reason}` };
  if (!wide && BEYOND_ASCII.test(address)) {
    const reason = "the queue's character set cannot hold the address (mail_blaster.to_mail is not utf8mb4)";
    return { to: address.replace(BEYOND_ASCII_ALL, "?"), failure: `[INVALID] ${reason}` };
  }
  const reason = suppressed.get(address.toLowerCase());
  return reason === undefined ? { to: address } : { to: address, failure: suppressedText(reason) };
}

const BEYOND_ASCII = /[^\x20-\x7e]/;
const BEYOND_ASCII_ALL = /[^\x20-\x7e]/gu;

/** Control characters would make the row unreadable for everybody; the column holds 255 characters. */
function printable(address: string): string {
  return address.replace(/\p{Cc}/gu, "?").slice(0, 255);
}

/** One entry for what the queue's collation takes for the same address: case, accents and outer blanks do not count. */
function distinct(rows: readonly SourceRow[]): Map<string, string> {
  const byKey = new Map<string, string>();
  for (const { address } of rows) {
    const trimmed = address.trim();
    if (trimmed !== "" && !byKey.has(keyOf(trimmed))) byKey.set(keyOf(trimmed), trimmed);
  }
  return byKey;
}

function keyOf(address: string): string {
  return printable(address.trim()).normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

const sourceKey = (source: Source): string =>
  source.kind === "import" ? `import:${source.batchId}` : source.kind === "list" ? `list:${source.listId}` : "all";

function add(a: Filled, b: Filled): Filled {
  return {
    inserted: a.inserted + b.inserted,
    present: a.present + b.present,
    suppressed: a.suppressed + b.suppressed,
    invalid: a.invalid + b.invalid,
    collisions: a.collisions + b.collisions,
  };
}

function unguarded(): CampaigndError {
  const text = "mail_blaster has no unique key on (campaign_id, to_mail), so filling could double recipients";
  return new CampaigndError("files", `${text}; add the key, or set fill.guardWithoutUniqueKey`);
}
