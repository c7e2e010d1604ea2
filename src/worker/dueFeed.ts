import type { Clock } from "../clock.js";
import type { Database } from "../db/database.js";
import { type Candidate, rowsById } from "../db/mailBlaster.js";
import { dueEntries, endEntries, nextDueIn } from "../db/retries.js";
import { describe, saidAlready } from "../errors.js";
import type { News } from "../events.js";
import { Loop } from "../loop.js";
import type { Service } from "../service.js";
import { MAX_ATTEMPTS } from "./judge.js";

/** A failed row whose time has come, ready to be claimed. */
export interface Due extends Candidate {
  /** Milliseconds since its first failure. */
  readonly failingFor: number;
}

export interface DueFeedOptions {
  readonly db: Database;
  readonly clock: Clock;
  readonly news: News;
  readonly inFlight: ReadonlyMap<number, unknown>;
  /** The campaigns that are sent now. */
  readonly campaigns: () => readonly number[];
  /** Told when a campaign has due mail. */
  readonly arrived: (campaignId: number) => void;
}

const LIMIT = 2000;
const IDLE = 60_000;

/** Finds the due mails of all running campaigns in one query, at the time when the next one is due and not before. */
export class DueFeed implements Service {
  readonly name = "dueFeed";
  private readonly queues = new Map<number, Due[]>();
  private readonly loop: Loop;
  private lookAt = 0;

  constructor(private readonly options: DueFeedOptions) {
    this.loop = new Loop({
      name: this.name,
      clock: options.clock,
      tick: () => this.tick(),
      failed: (error) => this.failed(error),
    });
  }

  async start(): Promise<void> {
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
  }

  /** Entries may have come: rows were adopted or a campaign has started. */
  look(): void {
    this.lookAt = 0;
    this.loop.nudge();
  }

  /** An entry was written that is due in so many milliseconds. */
  expect(dueInMs: number): void {
    // A due time has whole seconds in the database: a look in the same second would find nothing and come back at once.
    const at = this.options.clock.monotonic() + Math.ceil(dueInMs / 1000) * 1000 + 200;
    if (at >= this.lookAt) return;
    this.lookAt = at;
    this.loop.nudge();
  }

  /** Takes up to n due mails of a campaign. */
  async take(campaignId: number, n: number): Promise<Due[]> {
    return this.queues.get(campaignId)?.splice(0, n) ?? [];
  }

  putBack(entries: readonly Due[]): void {
    // They are still due in the database: the next look finds them.
    if (entries.length > 0) this.look();
  }

  private async tick(): Promise<number> {
    const { clock } = this.options;
    const early = this.lookAt - clock.monotonic();
    if (early > 0) return early;
    this.lookAt = Number.POSITIVE_INFINITY;
    const campaigns = this.options.campaigns();
    for (const id of this.queues.keys()) if (!campaigns.includes(id)) this.queues.delete(id);
    if (campaigns.length === 0) return IDLE;
    const more = await this.fetch(campaigns);
    const next = more ? 1 : await nextDueIn(this.options.db, campaigns);
    this.lookAt = Math.min(this.lookAt, clock.monotonic() + (next === undefined ? IDLE : next * 1000 + 200));
    return Math.max(0, this.lookAt - clock.monotonic());
  }

  /** True when there may be more than one look can hold. */
  private async fetch(campaigns: readonly number[]): Promise<boolean> {
    const { db, inFlight } = this.options;
    const queued = new Set([...this.queues.values()].flat().map((due) => due.mailId));
    const limit = LIMIT + inFlight.size + queued.size;
    const entries = await dueEntries(db, campaigns, limit);
    const fresh = entries.filter((entry) => !inFlight.has(entry.mailId) && !queued.has(entry.mailId));
    const rows = new Map(
      (
        await rowsById(
          db,
          fresh.map((entry) => entry.mailId),
        )
      ).map((row) => [row.mailId, row]),
    );
    const ended: number[] = [];
    for (const entry of fresh) {
      const row = rows.get(entry.mailId);
      // Claimed between the two statements: its entry stays during the claim.
      if (inFlight.has(entry.mailId)) continue;
      if (row?.raw === "failed" && (row.attempts ?? 0) < MAX_ATTEMPTS)
        this.enqueue(entry.campaignId, { ...row, failingFor: entry.failingFor * 1000 });
      else if (row?.raw !== "processing") ended.push(entry.mailId);
    }
    await endEntries(db, ended);
    for (const [campaignId, queue] of this.queues) if (queue.length > 0) this.options.arrived(campaignId);
    return entries.length >= limit;
  }

  private enqueue(campaignId: number, due: Due): void {
    const queue = this.queues.get(campaignId);
    if (queue) queue.push(due);
    else this.queues.set(campaignId, [due]);
  }

  private failed(error: unknown): number {
    this.lookAt = 0;
    const { news } = this.options;
    if (!saidAlready(error))
      news.emit("campaign:troubled", { campaignId: 0, doing: "look for due mails", err: describe(error) });
    return 2000;
  }
}
