import type { Clock } from "../clock.js";
import type { Database } from "../db/database.js";
import { type SettleBatch, type Settlement, settle, settled, type Usage } from "../db/settlements.js";
import { describe, isKind, saidAlready } from "../errors.js";
import type { News } from "../events.js";
import { Loop } from "../loop.js";
import type { Service } from "../service.js";
import type { Rotation } from "../smtp/rotation.js";
import type { Claim } from "./batch.js";
import type { Leadership } from "./leadership.js";

/** One claim with its outcome on the way to the database. */
export interface Settling {
  readonly claim: Claim;
  readonly settlement: Settlement;
  /** The mail counts in its account's usage. */
  readonly counts: boolean;
  /** Called once it is stored. */
  stored(): void;
}

export interface SettlerOptions {
  readonly db: Database;
  readonly news: News;
  readonly clock: Clock;
  readonly leadership: Pick<Leadership, "epoch" | "lost" | "holds">;
  readonly rotation: Pick<Rotation, "stored">;
  readonly inFlight: ReadonlyMap<number, Claim>;
  readonly every: number;
  readonly batch: number;
  /** The time of smtp_usage.timestamp in `legacyZone`. */
  readonly stamp: () => string;
}

/** From so many on a batch is worth its statements at once; fewer wait up to ten times `every` for company, unless one goes back. */
const WORTHWHILE = 40;
const PATIENCE = 10;

/**
 * Stores outcomes in batches, one batch at a time (lane 0), and does not give up: what is not stored stays here and is tried
 * again until the database has it. After an answer that was lost it asks first whether the batch was stored.
 */
export class Settler implements Service {
  readonly name = "settler";
  private queue: Settling[] = [];
  private oldest = 0;
  /** A mail that goes back unsent is among them. */
  private returning = false;
  private seq = 0;
  /** Items of the next batch: halved while a row does not fit. */
  private most: number;
  /** The batch whose answer is outstanding or was lost, and what it holds. */
  private doubt: { batch: SettleBatch; items: readonly Settling[] } | undefined;
  private turn: Promise<unknown> = Promise.resolve();
  private draining = false;
  private readonly loop: Loop;

  constructor(private readonly options: SettlerOptions) {
    this.most = options.batch;
    this.loop = new Loop({
      name: this.name,
      clock: options.clock,
      tick: () => this.tick(),
      failed: (error) => this.failed(error),
    });
  }

  add(item: Settling): void {
    if (this.queue.length === 0) this.oldest = this.options.clock.monotonic();
    this.queue.push(item);
    this.returning ||= isReturn(item);
    if (this.queue.length === 1 || this.ripe()) this.loop.nudge();
  }

  /** Runs `work` while no settle is under way, so that what it reads counts nothing twice. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(work);
    this.turn = mine.catch(() => undefined);
    return mine;
  }

  async start(): Promise<void> {
    this.loop.start();
  }

  /** Ends when everything is stored. Called after the last delivery ended. */
  async stop(): Promise<void> {
    this.draining = true;
    this.loop.nudge();
    while (this.queue.length > 0) await this.options.clock.sleep(20);
    await this.loop.stop();
  }

  private async tick(): Promise<number> {
    if (this.queue.length === 0) return 60_000;
    if (!this.ripe()) return this.options.every / 4;
    await this.exclusive(() => this.store());
    return 0;
  }

  private ripe(): boolean {
    const { every, batch, inFlight, clock } = this.options;
    const n = this.queue.length;
    if (n >= batch || this.draining) return n > 0;
    if (n >= inFlight.size) return true;
    const age = clock.monotonic() - this.oldest;
    // After a pause nobody may find an unsent mail in processing for longer than a second.
    return age >= every * PATIENCE || (age >= every && (n >= WORTHWHILE || this.returning));
  }

  private async store(): Promise<void> {
    const { db, news, clock, leadership } = this.options;
    const from = clock.monotonic();
    const items = this.doubt?.items ?? this.queue.slice(0, this.most);
    const asked = this.doubt?.batch;
    if (asked && (await settled(db, asked.epoch, asked.seq))) return this.finish(items, asked.seq, from);
    if (!asked) this.seq += 1;
    const batch = this.assemble(items, this.seq);
    this.doubt = { batch, items };
    const changed = await settle(db, batch).catch((error: unknown) => {
      if (isKind(error, "fenced")) leadership.lost(error);
      if (isKind(error, "row")) this.single(items);
      throw error;
    });
    if (changed !== items.length) news.emit("settle:mismatch", { expected: items.length, changed, seq: batch.seq });
    this.finish(items, batch.seq, from);
  }

  /**
   * One row does not fit and the whole batch was rolled back: smaller batches find it. Alone, it is tried in plain ASCII and
   * behind the others, so that no row can keep the rest from being stored.
   */
  private single(items: readonly Settling[]): void {
    this.doubt = undefined;
    this.most = Math.max(1, Math.floor(items.length / 2));
    const [culprit] = items;
    if (items.length === 1 && culprit)
      this.queue = [...this.queue.slice(1), { ...culprit, settlement: plain(culprit.settlement) }];
  }

  private finish(items: readonly Settling[], seq: number, from: number): void {
    const { news, clock, rotation } = this.options;
    this.doubt = undefined;
    this.most = Math.min(this.options.batch, this.most * 2);
    this.queue = this.queue.slice(items.length);
    this.returning = this.queue.some(isReturn);
    this.oldest = clock.monotonic();
    for (const item of items) {
      if (item.counts) rotation.stored(item.claim.seat);
      item.stored();
    }
    news.emit("settle:stored", { rows: items.length, ms: Math.round(clock.monotonic() - from), seq });
  }

  private assemble(items: readonly Settling[], seq: number): SettleBatch {
    const last = new Map<string, number>();
    for (const { claim } of items) last.set(claim.batch.id, (last.get(claim.batch.id) ?? 0) + 1);
    const batches = items.map(({ claim }) => claim.batch).filter((batch, i, all) => all.indexOf(batch) === i);
    return {
      epoch: this.options.leadership.epoch,
      seq,
      rows: items.map((item) => item.settlement),
      usage: this.usage(items),
      ended: items.filter(endsEntry).map((item) => item.claim.mailId),
      batches: batches.filter((batch) => batch.left === last.get(batch.id)).map((batch) => batch.id),
    };
  }

  private usage(items: readonly Settling[]): Usage[] {
    const byHour = new Map<string, Usage>();
    const stamp = this.options.stamp();
    for (const { claim, counts } of items) {
      const { account, passed } = claim.seat;
      if (!counts || !passed) continue;
      const key = `${account.facts.id}/${passed.date}/${passed.hour}`;
      const known = byHour.get(key);
      const count = (known?.count ?? 0) + 1;
      byHour.set(key, { accountId: account.facts.id, userId: account.facts.owner, ...passed, stamp, count });
    }
    return [...byHour.values()];
  }

  private failed(error: unknown): number {
    const napMs = isKind(error, "fenced") ? 500 : isKind(error, "row") && this.most > 1 ? 0 : 1000;
    const { news } = this.options;
    if (!saidAlready(error)) news.emit("settle:failed", { rows: this.queue.length, err: describe(error), napMs });
    return napMs;
  }
}

const isReturn = ({ settlement }: Settling): boolean => settlement.kind === "released";

/** Final outcomes end the entry of a mail that failed before; a release leaves it as it was. */
function endsEntry({ claim, settlement }: Settling): boolean {
  if (!claim.hasEntry && claim.attempts === 0) return false;
  return (
    settlement.kind === "sent" || settlement.kind === "unknown" || (settlement.kind === "failed" && !settlement.retry)
  );
}

/** A server's reply may hold what the table's character set cannot. */
function plain(settlement: Settlement): Settlement {
  if (settlement.kind !== "failed" && settlement.kind !== "unknown") return settlement;
  return { ...settlement, text: settlement.text.replace(/[^\x20-\x7e]/g, "?").slice(0, 1000) };
}
