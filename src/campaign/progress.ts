/** What the web application shows of a campaign; total = sent + failed + pending always (contract §4). */
export interface Progress {
  readonly total: number;
  readonly sent: number;
  readonly failed: number;
  readonly pending: number;
}

/** Counts of one slice of ids. */
export interface SliceCounts {
  readonly sent: number;
  readonly failed: number;
  readonly open: number;
}

const NONE: SliceCounts = { sent: 0, failed: 0, open: 0 };

/** How one settled row changes the counts. */
export type Change = "sent" | "failed";

/**
 * A campaign's counts, kept by slices of ids so that one slice can be counted anew without touching the others:
 * seeded once, moved by our own settles, corrected slice by slice, never incremented in a database.
 */
export class Tally {
  private readonly slices = new Map<number, SliceCounts>();
  private dirty = new Set<number>();
  private turn = 0;

  /** `width` ids make a slice. */
  constructor(readonly width: number) {}

  sliceOf(mailId: number): number {
    return Math.floor((mailId - 1) / this.width);
  }

  /** The ids of a slice: after < id <= upTo. */
  bounds(slice: number): { after: number; upTo: number } {
    return { after: slice * this.width, upTo: (slice + 1) * this.width };
  }

  replace(slice: number, counts: SliceCounts): void {
    this.dirty.delete(slice);
    this.slices.set(slice, counts);
  }

  /** An open row has reached its final state. */
  settle(mailId: number, change: Change): void {
    const slice = this.sliceOf(mailId);
    const counts = this.slices.get(slice) ?? NONE;
    this.slices.set(slice, { ...counts, open: counts.open - 1, [change]: counts[change] + 1 });
  }

  /** Rows were inserted from this id on; which slices they fell into is counted at the next look. */
  inserted(firstId: number, rows: number): void {
    for (let slice = this.sliceOf(firstId); slice <= this.sliceOf(firstId + rows); slice += 1) this.dirty.add(slice);
  }

  /** Somebody else changed these rows: their slices are counted anew at the next look. */
  touched(mailIds: readonly number[]): void {
    for (const id of mailIds) this.dirty.add(this.sliceOf(id));
  }

  /** The slices to count anew at this look: all that are dirty, and one more in turn. */
  due(): number[] {
    const all = [...this.slices.keys()];
    const next = all[this.turn % Math.max(1, all.length)];
    this.turn += 1;
    return [...new Set([...this.dirty, ...(next === undefined ? [] : [next])])];
  }

  progress(): Progress {
    let [sent, failed, open] = [0, 0, 0];
    for (const counts of this.slices.values()) {
      sent += counts.sent;
      failed += counts.failed;
      open += counts.open;
    }
    return { total: sent + failed + open, sent, failed, pending: open };
  }
}

/** Share of the campaign that is done, 0 to 1; an empty one is done. */
export function doneShare(progress: Progress): number {
  return progress.total === 0 ? 1 : (progress.sent + progress.failed) / progress.total;
}
