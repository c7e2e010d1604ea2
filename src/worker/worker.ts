import { setMaxListeners } from "node:events";
import type { Campaign } from "../campaign/catalog.js";
import type { Progress, Tally } from "../campaign/progress.js";
import type { Clock } from "../clock.js";
import { describe, isKind, saidAlready } from "../errors.js";
import type { News } from "../events.js";
import { Loop } from "../loop.js";
import type { Rotation } from "../smtp/rotation.js";
import type { Seeker } from "../smtp/seat.js";
import type { Accounts } from "./accounts.js";
import type { Claim } from "./batch.js";
import type { Carrier, Trip } from "./carrier.js";
import type { Claimer } from "./claimer.js";
import type { Conditions } from "./conditions.js";
import type { DueFeed } from "./dueFeed.js";
import type { Filled } from "./filler.js";
import { changeOf, type Ending } from "./outcomes.js";
import type { Pace } from "./pace.js";
import type { Surveyed } from "./survey.js";

export interface WorkerOptions {
  readonly news: News;
  readonly clock: Clock;
  readonly claimer: Claimer;
  readonly rotation: Rotation;
  readonly accounts: Pick<Accounts, "loaded">;
  readonly conditions: Conditions;
  readonly due: Pick<DueFeed, "look" | "expect">;
  readonly carrier: Carrier;
  readonly pace: Pace;
  /** Milliseconds before the next try when somebody else took the rows. */
  readonly gap: number;
  /** Reads the campaign; throws `files` when it must be held. */
  readonly load: () => Promise<Campaign>;
  readonly survey: () => Promise<Surveyed>;
  readonly fill: (
    campaign: Campaign,
    stopped: AbortSignal,
    inserted: (firstId: number, rows: number) => void,
  ) => Promise<Filled>;
  /** The campaign must not send; the monitor pauses it with this reason. */
  readonly hold: (reason: string) => void;
  /** Nothing is open any more: the monitor may look at once. */
  readonly idle: () => void;
}

const LOOK_AGAIN = 15_000;
const BLOCKED = 500;
const TRY_AGAIN = 1000;

/** Sends one campaign: takes it up, fills the queue, then claims what the accounts can send soon and carries each claim to its outcome. */
export class Worker {
  private campaign: Campaign | undefined;
  private counts: Tally | undefined;
  private filled = false;
  private filling: Promise<void> | undefined;
  private readonly ending = new AbortController();
  private readonly open = new Set<Promise<void>>();
  private readonly loop: Loop;

  constructor(
    readonly campaignId: number,
    private readonly options: WorkerOptions,
  ) {
    setMaxListeners(0, this.ending.signal); // every mail in flight listens to it
    this.loop = new Loop({
      name: `worker ${campaignId}`,
      clock: options.clock,
      tick: () => this.tick(),
      failed: (error) => this.troubled("claim mails", error),
    });
  }

  start(): void {
    this.loop.start();
  }

  /** News for the loop: rows, room or a condition may have changed. */
  nudge(): void {
    this.loop.nudge();
  }

  /** Counters as memory has them; undefined until the rows were counted. */
  get progress(): Progress | undefined {
    return this.counts?.progress();
  }

  get tally(): Tally | undefined {
    return this.counts;
  }

  /** The rows were counted anew and some are open: they are claimed from the start. */
  recounted(tally: Tally): void {
    this.counts = tally;
    this.options.claimer.reopened(1);
    this.options.due.look();
    this.loop.nudge();
  }

  get key(): string | undefined {
    return this.campaign?.key;
  }

  /** Everything is in the queue and nothing is open: worth a last count. */
  get finished(): boolean {
    return this.filled && this.open.size === 0 && this.counts?.progress().pending === 0;
  }

  /** Closes the gate and ends when every claim has its outcome stored: unsent mails go back, what is past the dot lands. */
  async stop(): Promise<void> {
    this.ending.abort();
    await this.loop.stop();
    this.options.rotation.leave(this.campaignId);
    await Promise.all([...this.open, this.filling]);
  }

  private async tick(): Promise<number> {
    const { conditions, accounts } = this.options;
    if (conditions.blocksClaims() !== undefined || !accounts.loaded) return BLOCKED;
    if (!this.campaign && !(await this.takeUp())) return LOOK_AGAIN;
    this.filling ??= this.fillQueue(this.campaign as Campaign);
    return this.claimSome(this.campaign as Campaign);
  }

  /** Reads the campaign and counts its rows; false when it is to be held. */
  private async takeUp(): Promise<boolean> {
    const { news, hold, due } = this.options;
    try {
      const campaign = await this.options.load();
      const { tally, ...mended } = await this.options.survey();
      this.counts = tally;
      this.campaign = campaign;
      const { campaignId } = this;
      const { description, source, owner = 0 } = campaign;
      news.emit("campaign:seen", { campaignId, description, source: source.kind, owner });
      news.emit("campaign:tallied", { campaignId, ...tally.progress(), ...mended });
      due.look();
      return true;
    } catch (error) {
      if (!isKind(error, "files")) throw error;
      hold(error.message);
      return false;
    }
  }

  private async fillQueue(campaign: Campaign): Promise<void> {
    try {
      const filled = await this.options.fill(campaign, this.ending.signal, (firstId, rows) =>
        this.inserted(firstId, rows),
      );
      if (this.ending.signal.aborted) return;
      this.filled = true;
      this.options.news.emit("campaign:filled", { campaignId: this.campaignId, ...filled });
      this.options.idle();
      this.loop.nudge();
    } catch (error) {
      if (isKind(error, "files")) return this.options.hold(error.message);
      this.troubled("fill the queue", error);
      await this.options.clock.sleep(2000, this.ending.signal);
      this.filling = undefined;
      this.loop.nudge();
    }
  }

  private inserted(firstId: number, rows: number): void {
    this.counts?.inserted(firstId, rows);
    this.options.claimer.reopened(firstId);
    this.loop.nudge();
  }

  private async claimSome(campaign: Campaign): Promise<number> {
    const { rotation, claimer, pace, gap } = this.options;
    const seeker: Seeker = { campaignId: this.campaignId, owner: campaign.owner, servers: undefined };
    rotation.enter(seeker);
    const { room, waitMs } = pace.next(seeker, this.open.size);
    if (room === 0) return waitMs;
    const batch = await claimer.claim(seeker, room);
    pace.claimed();
    if (!batch) {
      rotation.leave(this.campaignId);
      return LOOK_AGAIN;
    }
    this.carry(campaign, batch.claims);
    return batch.claims.length > 0 ? 0 : gap;
  }

  private carry(campaign: Campaign, claims: readonly Claim[]): void {
    const trip: Trip = {
      campaign,
      abort: this.ending.signal,
      landed: (claim, ending) => this.landed(claim, ending),
      stumbled: () => this.options.pace.stumbled(),
      roomChanged: () => this.loop.nudge(),
    };
    for (const carried of this.options.carrier.carryAll(claims, trip)) {
      this.open.add(carried);
      void carried.finally(() => this.open.delete(carried));
    }
  }

  private landed(claim: Claim, ending: Ending): void {
    const { due, claimer, idle } = this.options;
    if (ending.kind !== "released") this.options.pace.went();
    const change = changeOf(ending);
    if (change) this.counts?.settle(claim.mailId, change);
    if (ending.kind === "retry") due.expect(ending.dueInMs);
    if (ending.kind === "released") {
      if (claim.before.status === "failed") due.look();
      else claimer.reopened(claim.mailId);
      if (!this.ending.signal.aborted) this.loop.nudge();
    }
    if (this.filled && this.counts?.progress().pending === 0) idle();
  }

  private troubled(doing: string, error: unknown): number {
    const facts = { campaignId: this.campaignId, doing, err: describe(error) };
    if (!this.ending.signal.aborted && !saidAlready(error)) this.options.news.emit("campaign:troubled", facts);
    return TRY_AGAIN;
  }
}
