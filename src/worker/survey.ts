import { Tally } from "../campaign/progress.js";
import type { Database } from "../db/database.js";
import { idBounds, nextId } from "../db/mailBlaster.js";
import { adoptSlice, healSlice, tallySlice } from "../db/tallies.js";

/** Ids of one slice: bounds what a single statement reads (contract §4). */
const SLICE_IDS = 50_000;

export interface Surveyed {
  readonly tally: Tally;
  readonly healed: number;
  readonly adopted: number;
}

/** Runs the work on one slice, e.g. while no settle is under way. */
export type Around = <T>(work: () => Promise<T>) => Promise<T>;

/**
 * Walks all rows of a campaign in slices: counts them, gives odd ones their true state and makes the legacy system's failed
 * rows due. Done when a campaign is first seen and again just before it is completed.
 */
export async function survey(
  db: Database,
  epoch: () => number,
  campaignId: number,
  around: Around = (work) => work(),
): Promise<Surveyed> {
  const tally = new Tally(SLICE_IDS);
  let [healed, adopted] = [0, 0];
  const { highest } = await idBounds(db, campaignId);
  for (let id = await nextId(db, campaignId, 0); id !== 0 && id <= highest; ) {
    const slice = tally.sliceOf(id);
    const mended = await around(() => recount(db, epoch, campaignId, tally, slice));
    healed += mended.healed;
    adopted += mended.adopted;
    id = await nextId(db, campaignId, tally.bounds(slice).upTo);
  }
  return { tally, healed, adopted };
}

/** Counts one slice anew and mends what is odd in it. */
export async function recount(
  db: Database,
  epoch: () => number,
  campaignId: number,
  tally: Tally,
  slice: number,
): Promise<{ healed: number; adopted: number }> {
  const { after, upTo } = tally.bounds(slice);
  let counts = await tallySlice(db, campaignId, after, upTo);
  const healed = counts.odd > 0 ? await healSlice(db, epoch(), campaignId, after, upTo) : 0;
  const adopted = counts.retryable > 0 || healed > 0 ? await adoptSlice(db, epoch(), campaignId, after, upTo) : 0;
  if (healed > 0) counts = await tallySlice(db, campaignId, after, upTo);
  tally.replace(slice, counts);
  return { healed, adopted };
}
