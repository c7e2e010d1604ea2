import type { Clock } from "../clock.js";
import type { Running } from "../db/campaigns.js";
import type { Database } from "../db/database.js";
import { processingRows, settleForeign } from "../db/mailBlaster.js";
import type { News } from "../events.js";
import type { Conditions } from "../worker/conditions.js";

export interface InterlockOptions {
  readonly db: Database;
  readonly clock: Clock;
  readonly news: News;
  readonly conditions: Conditions;
  readonly inFlight: ReadonlyMap<number, unknown>;
  readonly epoch: () => number;
  /** Milliseconds after which a foreign row in `processing` is nobody's any more. */
  readonly staleAfter: number;
  readonly staleProcessing: "park" | "release";
  readonly quietFor: number;
  readonly force: boolean;
  /** Rows of this campaign changed under us: count them anew. */
  readonly changed: (campaignId: number, ids: readonly number[]) => void;
}

interface Foreign {
  readonly mailId: number;
  readonly campaignId: number;
  readonly age: number;
}

/** A sign of a legacy sender, and how old it is. */
interface Evidence {
  readonly what: string;
  readonly campaignId: number;
  readonly ageMs: number;
}

/** So many foreign rows are looked at in one look; the rest at the next. */
const FOREIGN_AT_ONCE = 1000;

/**
 * Keeps campaignd and the legacy senders apart: while one is seen alive every campaign rests, and what a dead one left in
 * `processing` is parked (contract §4, §7). Alive means rows turning `processing` that are not ours, or a process_pid that
 * changes between two looks; an old value proves nothing.
 */
export class Interlock {
  private pids = new Map<number, number>();
  private lastSeen = Number.NEGATIVE_INFINITY;
  private resting = false;

  constructor(private readonly options: InterlockOptions) {}

  async look(list: readonly Running[]): Promise<void> {
    const foreign = await this.foreignRows(list.map((running) => running.campaignId));
    const evidence = this.newPid(list) ?? this.freshRow(foreign);
    if (evidence) this.seen(evidence);
    if (this.resting && this.options.clock.monotonic() - this.lastSeen >= this.options.quietFor) this.gone();
    if (!this.resting) await this.settleStale(foreign);
  }

  private async foreignRows(campaigns: readonly number[]): Promise<Foreign[]> {
    const { db, inFlight } = this.options;
    const before = new Set(inFlight.keys());
    const rows = await processingRows(db, campaigns, inFlight.size + FOREIGN_AT_ONCE);
    // Ours before the look, or claimed during it: both are in one of the two views.
    return rows.filter((row) => !before.has(row.mailId) && !inFlight.has(row.mailId));
  }

  private newPid(list: readonly Running[]): Evidence | undefined {
    let evidence: Evidence | undefined;
    for (const { campaignId, processPid } of list) {
      const before = this.pids.get(campaignId);
      if (before !== undefined && before !== processPid && processPid !== 0) {
        evidence = {
          what: `process_pid of campaign ${campaignId} changed from ${before} to ${processPid}`,
          campaignId,
          ageMs: 0,
        };
      }
    }
    // Only what was seen at two looks in a row has changed between them.
    this.pids = new Map(list.map(({ campaignId, processPid }) => [campaignId, processPid]));
    return evidence;
  }

  private freshRow(foreign: readonly Foreign[]): Evidence | undefined {
    const [fresh] = [...foreign].sort((a, b) => a.age - b.age);
    if (!fresh || fresh.age * 1000 >= this.options.quietFor) return undefined;
    const what = `mail ${fresh.mailId} turned processing ${fresh.age} s ago and is not ours`;
    return { what, campaignId: fresh.campaignId, ageMs: fresh.age * 1000 };
  }

  private seen({ what, campaignId, ageMs }: Evidence): void {
    const { clock, conditions, news, force, quietFor } = this.options;
    this.lastSeen = Math.max(this.lastSeen, clock.monotonic() - ageMs);
    if (this.resting) return;
    this.resting = true;
    news.emit("legacy:seen", { evidence: what, campaignId });
    if (force) return;
    const text = `a legacy sender is alive (${what}): disable its cron line and its orchestrator; goes on ${quietFor / 1000} s after it was last seen, or with takeover.force`;
    conditions.stop("legacy", text);
  }

  private gone(): void {
    this.resting = false;
    this.options.conditions.clear("legacy");
    this.options.news.emit("legacy:gone", { quietMs: this.options.quietFor });
  }

  private async settleStale(foreign: readonly Foreign[]): Promise<void> {
    const { db, news, epoch, staleProcessing, changed } = this.options;
    const staleAfter = Math.ceil(this.options.staleAfter / 1000);
    const stale = foreign.filter((row) => row.age >= staleAfter);
    const campaigns = [...new Set(stale.map((row) => row.campaignId))];
    for (const campaignId of campaigns) {
      const ids = stale.filter((row) => row.campaignId === campaignId).map((row) => row.mailId);
      const why = "another sender left it in processing";
      const rows = await settleForeign(db, epoch(), ids, staleAfter, staleProcessing, why);
      if (rows === 0) continue;
      news.emit(staleProcessing === "park" ? "foreign:parked" : "foreign:released", { campaignId, rows });
      changed(campaignId, ids);
    }
  }
}
