import { messageId } from "../campaign/message.js";
import { adoptRecords, type ClaimRecord, forgetRecords } from "../db/claims.js";
import type { Run } from "../db/fence.js";
import { parkRows, restoreRows, strandedRows } from "../db/recovery.js";

export interface Recovered {
  readonly released: number;
  readonly parked: number;
  readonly records: number;
}

/** The words under which released rows of a dead daemon are parked. */
const WHY = "the daemon that had claimed it ended before its outcome was known";

/**
 * Inside the take-over: puts right what a dead predecessor had claimed, before anything is claimed anew (contract §4).
 * A row that its record had released may have been sent and is parked as unknown; every other goes back with its attempt.
 * Idempotent: rows that have left `processing` meanwhile are left alone, and the records go in the same transaction.
 */
export async function recover(
  run: Run,
  epoch: number,
  hour: { date: string; hour: number; stamp: string },
): Promise<Recovered> {
  const records: ClaimRecord[] = await adoptRecords(run, epoch);
  if (records.length === 0) return { released: 0, parked: 0, records: 0 };
  const stranded = await strandedRows(run, records);
  const doubtful = stranded.filter((row) => row.released);
  const untouched = stranded.filter((row) => !row.released);
  const named = doubtful.map((row) => ({
    ...row,
    messageId: messageId(row.campaignId, row.before.mailId, row.accountEmail),
  }));
  await parkRows(run, epoch, named, WHY, hour);
  await restoreRows(
    run,
    epoch,
    untouched.map((row) => row.before),
  );
  await forgetRecords(run, epoch);
  return { released: untouched.length, parked: doubtful.length, records: records.length };
}
