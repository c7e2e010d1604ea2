import type { QueueRow } from "./books.js";
import type { Sandbox } from "./sandbox.js";

/** What a killed daemon left: the rows that its claim records name and that are still processing. */
export interface Stranded {
  /** Claim records, those whose rows are all settled included. */
  readonly records: number;
  /** May have reached a connection. */
  readonly released: readonly number[];
  /** Certainly did not; `before` is what a release must put back. */
  readonly untouched: readonly { readonly id: number; readonly status: string; readonly updatedAt: number }[];
}

export async function strandedOf({ s2 }: Pick<Sandbox, "s2">): Promise<Stranded> {
  const processing = await s2<QueueRow>("SELECT * FROM mail_blaster WHERE status = 'processing'");
  const open = new Set(processing.map((row) => row.id));
  const released: number[] = [];
  const untouched: { id: number; status: string; updatedAt: number }[] = [];
  const records = await s2<{ released: number; ids: string }>("SELECT released, ids FROM campaignd_claim");
  for (const record of records) {
    for (const [index, entry] of record.ids.split(",").entries()) {
      const [id = "", status = "", updatedAt = ""] = entry.split(":");
      if (!open.has(Number(id))) continue;
      if (index < record.released) released.push(Number(id));
      else untouched.push({ id: Number(id), status, updatedAt: Number(updatedAt) });
    }
  }
  return { records: records.length, released, untouched };
}
