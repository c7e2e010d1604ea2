import type { Clock } from "../clock.js";
import { claim, claimStored, markReleased, type Wanted } from "../db/claims.js";
import type { Database } from "../db/database.js";
import { type Candidate, freshRows, reopenedRows, windowRows } from "../db/mailBlaster.js";
import { isKind } from "../errors.js";
import type { News } from "../events.js";
import type { Rotation } from "../smtp/rotation.js";
import type { Seat, Seeker } from "../smtp/seat.js";
import { Batch, type Claim } from "./batch.js";
import type { DueFeed } from "./dueFeed.js";
import type { Leadership } from "./leadership.js";

export interface ClaimerOptions {
  readonly db: Database;
  readonly news: News;
  readonly clock: Clock;
  readonly rotation: Rotation;
  readonly leadership: Pick<Leadership, "epoch" | "lost">;
  readonly due: Pick<DueFeed, "take" | "putBack">;
  /** Claims of this daemon by row, entered before the statement that claims them goes out. */
  readonly inFlight: Map<number, Claim>;
  /** A new batch's name, never used before. */
  readonly batchName: () => string;
  /** How many rows to keep released ahead, when moving the mark takes so many milliseconds. */
  readonly window: (markMs: number) => number;
  readonly pendingIndex: boolean;
}

const RETRY_EVERY = 500;

/** Claims mails of one campaign in batches: due ones first, then pending ones behind an advancing cursor. */
export class Claimer {
  private cursor = 0;
  /** How long the last marks took, milliseconds. */
  private markMs = 0;

  constructor(
    private readonly campaignId: number,
    private readonly options: ClaimerOptions,
  ) {}

  /** Rows from this id on may be pending again: given back, inserted or re-opened. */
  reopened(mailId: number): void {
    this.cursor = Math.min(this.cursor, mailId - 1);
  }

  /** Claims up to `room` mails; undefined when no row is there to claim. An empty batch lost its rows to somebody else. */
  async claim(seeker: Seeker, room: number): Promise<Batch | undefined> {
    const due = await this.options.due.take(this.campaignId, room);
    const pending = due.length >= room ? [] : await this.pending(room - due.length);
    const found = [
      ...due.map((entry) => ({ ...entry, hasEntry: true })),
      ...pending.map((row) => ({ ...row, failingFor: 0, hasEntry: false })),
    ];
    const rows = found.filter((row) => !this.options.inFlight.has(row.mailId));
    if (rows.length === 0) return undefined;
    const seats = this.options.rotation.reserve(seeker, rows.length);
    const batch = this.assemble(rows.slice(0, seats.length), seats);
    // The accounts' room went to somebody else since it was counted.
    if (pending.length > 0 && seats.length < rows.length) this.reopened(Math.min(...pending.map((row) => row.mailId)));
    this.options.due.putBack(due.filter((entry) => !batch.claims.some((c) => c.mailId === entry.mailId)));
    return seats.length > 0 ? this.store(batch) : batch;
  }

  private async pending(limit: number): Promise<Candidate[]> {
    const { db, pendingIndex } = this.options;
    if (!pendingIndex) {
      const rows = this.advance(await windowRows(db, this.campaignId, this.cursor, limit));
      // Nothing more behind the cursor: the next look starts anew, for what was re-opened before it.
      if (rows.length === 0) this.cursor = 0;
      return rows;
    }
    const fresh = this.advance(await freshRows(db, this.campaignId, this.cursor, limit));
    return fresh.length > 0 ? fresh : reopenedRows(db, this.campaignId, limit);
  }

  private advance(rows: Candidate[]): Candidate[] {
    this.cursor = rows.at(-1)?.mailId ?? this.cursor;
    return rows;
  }

  private assemble(
    rows: readonly (Candidate & { failingFor: number; hasEntry: boolean })[],
    seats: readonly Seat[],
  ): Batch {
    const { batchName, inFlight } = this.options;
    const window = () => this.options.window(this.markMs);
    const batch = new Batch(batchName(), Math.min(rows.length, window()), window, (id, released) =>
      this.mark(id, released),
    );
    for (const [index, row] of rows.entries()) {
      const claimed: Claim = {
        mailId: row.mailId,
        campaignId: this.campaignId,
        to: row.to,
        attempts: row.attempts ?? 0,
        failingFor: row.failingFor,
        hasEntry: row.hasEntry,
        before: { mailId: row.mailId, status: row.status, updatedAt: row.updatedAt, attempts: row.attempts },
        seat: seats[index] as Seat,
        batch,
        index,
      };
      batch.add(claimed);
      inFlight.set(claimed.mailId, claimed);
    }
    return batch;
  }

  private async store(batch: Batch): Promise<Batch> {
    const { db, news, clock, leadership } = this.options;
    const from = clock.monotonic();
    try {
      await claim(db, leadership.epoch, batch.id, batch.releasedMark, batch.claims.map(wanted));
    } catch (error) {
      if (!(isKind(error, "unreachable") && (await this.decide(batch.id)))) return this.missed(batch, error);
    }
    news.emit("claim:made", {
      campaignId: this.campaignId,
      batch: batch.id,
      mails: batch.claims.length,
      ms: Math.round(clock.monotonic() - from),
    });
    return batch;
  }

  /** The answer was lost: asks until the server says whether the claim stands; until then its rows stay ours in memory. */
  private async decide(batchId: string): Promise<boolean> {
    for (;;) {
      try {
        return await claimStored(this.options.db, batchId);
      } catch (error) {
        // Whatever it is: until the server has said whether the claim stands, nobody may touch its rows.
        if (isKind(error, "stopped")) throw error;
        await this.options.clock.sleep(RETRY_EVERY);
      }
    }
  }

  /** Nothing was claimed: places and rows are free again. */
  private missed(batch: Batch, error: unknown): Batch {
    const { news, rotation, inFlight, leadership, due } = this.options;
    for (const lost of batch.claims) {
      rotation.giveBack(lost.seat);
      inFlight.delete(lost.mailId);
      if (!lost.hasEntry) this.reopened(lost.mailId);
    }
    due.putBack(
      batch.claims
        .filter((lost) => lost.hasEntry)
        .map((lost) => ({ ...lost.before, to: lost.to, failingFor: lost.failingFor })),
    );
    if (isKind(error, "fenced")) leadership.lost(error);
    if (!isKind(error, "row")) throw error;
    const won = typeof error.facts.won === "number" ? error.facts.won : 0;
    news.emit("claim:missed", { campaignId: this.campaignId, batch: batch.id, wanted: batch.claims.length, won });
    return new Batch(
      batch.id,
      0,
      () => 0,
      async () => undefined,
    );
  }

  /** Moves the released mark, however long Server 2 takes to answer; a lost lease ends it. */
  private async mark(batchId: string, released: number): Promise<void> {
    const { db, leadership, clock } = this.options;
    for (;;) {
      try {
        const from = clock.monotonic();
        await markReleased(db, leadership.epoch, batchId, released);
        this.markMs = (this.markMs + clock.monotonic() - from) / 2;
        return;
      } catch (error) {
        if (isKind(error, "fenced")) leadership.lost(error);
        if (!isKind(error, "unreachable", "contention", "readOnly", "resources")) throw error;
        await clock.sleep(RETRY_EVERY);
      }
    }
  }
}

function wanted({ before, seat }: Claim): Wanted {
  return { ...before, accountId: seat.account.facts.id, accountEmail: seat.account.facts.email };
}
