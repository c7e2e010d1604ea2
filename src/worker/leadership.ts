import type { Clock } from "../clock.js";
import { moveRecords } from "../db/claims.js";
import type { Database } from "../db/database.js";
import { giveLeaseBack, leaseHolder, renewLease, takeLease } from "../db/fence.js";
import { describe } from "../errors.js";
import type { News } from "../events.js";
import { Loop } from "../loop.js";
import type { MysqlPool } from "../pool/mysqlPool.js";
import type { MysqlSession } from "../pool/mysqlSession.js";
import type { Service } from "../service.js";
import type { Conditions } from "./conditions.js";
import { recover } from "./recovery.js";

export interface LeadershipOptions {
  readonly db: Database;
  readonly pool: Pick<MysqlPool, "open" | "close">;
  readonly news: News;
  readonly clock: Clock;
  readonly conditions: Conditions;
  /** A random id drawn at this start, and the one that stateDir kept from the last. */
  readonly owner: string;
  readonly predecessor: string;
  readonly ttl: number;
  readonly renew: number;
  readonly timeout: number;
  /** The present hour of `legacyZone`, for what a recovery parks. */
  readonly hour: () => { date: string; hour: number; stamp: string };
  /** Another daemon has led meanwhile: what this one still holds is not its own. */
  readonly usurped: () => void;
}

const STAND_BY = "another daemon leads this queue";
const RAN_OUT = "the lease ran out";
/** The daemon ends; until then nothing is asked of the lease. */
const USURPED = 60_000;

/**
 * Holds the lease of the queue and its epoch. Before the first claim it takes the lease and puts right what a dead predecessor
 * left; it renews on a connection of its own, and takes the lease again when it ran out while nobody else led (contract §5).
 */
export class Leadership implements Service {
  readonly name = "leadership";
  private current = 0;
  private validUntil = { monotonic: 0, wall: 0 };
  private session: MysqlSession | undefined;
  private closing: Promise<void> | undefined;
  private standingBy = false;
  private failing = false;
  private readonly loop: Loop;

  constructor(private readonly options: LeadershipOptions) {
    options.conditions.stop("lease", "the lease is not taken yet");
    this.loop = new Loop({
      name: this.name,
      clock: options.clock,
      tick: () => this.tick(),
      failed: (error) => this.failed(error),
    });
  }

  /** The epoch that every claim, settle and release binds. */
  get epoch(): number {
    return this.current;
  }

  /** Is the lease surely still ours? Compares both clocks: one stands still while a machine sleeps, the other may jump. */
  holds(): boolean {
    const { clock } = this.options;
    return clock.monotonic() < this.validUntil.monotonic && clock.now() < this.validUntil.wall;
  }

  /** A fenced write found that another daemon leads. */
  lost(error: unknown): void {
    if (this.validUntil.monotonic === 0) return;
    this.validUntil = { monotonic: 0, wall: 0 };
    this.options.conditions.stop("lease", STAND_BY);
    this.options.news.emit("lease:lost", { epoch: this.current, err: describe(error) });
    this.loop.nudge();
  }

  async start(): Promise<void> {
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
    if (this.session) await this.options.pool.close(this.session);
    if (this.holds()) await giveLeaseBack(this.options.db, this.options.owner).catch(() => undefined);
    this.validUntil = { monotonic: 0, wall: 0 };
  }

  private async tick(): Promise<number> {
    if (this.validUntil.monotonic === 0) return this.take();
    const { clock, owner, ttl, timeout, renew } = this.options;
    const asked = { monotonic: clock.monotonic(), wall: clock.now() };
    // Its place is free again only when the server has let go of the lost one.
    await this.closing;
    this.session ??= await this.options.pool.open();
    if (await renewLease(this.session, owner, ttl, timeout)) {
      this.failing = false;
      this.extend(asked);
      return renew;
    }
    // Zero rows: it ran out (Server 2 was away for long) or somebody took it. Both are decided by taking it anew.
    this.validUntil = { monotonic: 0, wall: 0 };
    this.options.conditions.stop("lease", RAN_OUT);
    return 0;
  }

  private async take(): Promise<number> {
    const { db, clock, owner, predecessor, ttl, renew } = this.options;
    const asked = { monotonic: clock.monotonic(), wall: clock.now() };
    const first = this.current === 0;
    const taken = await db.transaction("lease.takeOver", async (run) => {
      const lease = await takeLease(run, owner, first ? predecessor : owner, ttl);
      if (!lease) return undefined;
      const { epoch } = lease;
      const own = !first && lease.wasOurs;
      if (own) await moveRecords(run, epoch);
      return { epoch, own, recovered: own ? undefined : await recover(run, epoch, this.options.hour()) };
    });
    // Whoever holds it now, or has held it meanwhile, has put our claims right: nothing that we hold may go out any more.
    if (!first && !taken?.own) return this.ledPast();
    if (!taken) return this.standBy();
    this.current = taken.epoch;
    this.standingBy = false;
    this.extend(asked);
    this.options.news.emit("lease:taken", { epoch: taken.epoch, retaken: taken.own });
    if (taken.recovered && taken.recovered.records > 0) this.options.news.emit("recovery:done", taken.recovered);
    return renew;
  }

  private extend(asked: { monotonic: number; wall: number }): void {
    const { ttl, conditions, clock } = this.options;
    this.validUntil = { monotonic: asked.monotonic + ttl, wall: asked.wall + ttl };
    // Set anew by each renewal: when none comes, claims stop with the lease, not when somebody notices.
    conditions.stop("lease", RAN_OUT, { inMs: Math.max(1, this.validUntil.monotonic - clock.monotonic()) });
  }

  private ledPast(): number {
    this.options.conditions.stop("lease", STAND_BY);
    this.options.usurped();
    return USURPED;
  }

  private async standBy(): Promise<number> {
    const { db, news, conditions, renew } = this.options;
    const holder = await leaseHolder(db);
    conditions.stop("lease", STAND_BY);
    if (!this.standingBy) news.emit("lease:standby", { holder: holder.owner, seconds: holder.seconds });
    this.standingBy = true;
    return Math.min(renew, Math.max(250, holder.seconds * 1000 + 250));
  }

  private failed(error: unknown): number {
    const { news, clock, conditions, renew } = this.options;
    const broken = this.session;
    this.session = undefined;
    if (broken) this.closing = this.options.pool.close(broken);
    if (this.validUntil.monotonic !== 0 && !this.holds()) {
      this.validUntil = { monotonic: 0, wall: 0 };
      conditions.stop("lease", RAN_OUT);
    }
    const leftMs = Math.round(Math.max(0, this.validUntil.monotonic - clock.monotonic()));
    if (this.current > 0 && !this.failing)
      news.emit("lease:renewFailed", { epoch: this.current, err: describe(error), leftMs });
    this.failing = true;
    return Math.min(1000, renew);
  }
}
