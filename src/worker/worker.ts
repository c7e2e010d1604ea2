import type { Campaign } from "../campaign/catalog.js";
import type { Progress, Tally } from "../campaign/progress.js";
import type { Clock } from "../clock.js";
import { CampaigndError, describe, isKind } from "../errors.js";
import type { News } from "../events.js";
import { Loop } from "../loop.js";
import type { Rotation, Seeker } from "../smtp/rotation.js";
import type { Verdict } from "../smtp/verdict.js";
import type { Accounts } from "./accounts.js";
import type { Batch, Claim } from "./batch.js";
import type { Claimer } from "./claimer.js";
import type { Conditions } from "./conditions.js";
import { type Delivered, type DeliveryOptions, deliver, type ReadAhead } from "./delivery.js";
import type { DueFeed } from "./dueFeed.js";
import type { Filled } from "./filler.js";
import { judge, type RetryRules } from "./judge.js";
import type { Leadership } from "./leadership.js";
import { changeOf, type Ending, settlementOf, tell } from "./outcomes.js";
import type { Settler } from "./settler.js";
import type { Surveyed } from "./survey.js";

export interface WorkerOptions {
  readonly news: News;
  readonly clock: Clock;
  readonly claimer: Claimer;
  readonly rotation: Rotation;
  readonly accounts: Pick<Accounts, "note" | "loaded">;
  readonly settler: Pick<Settler, "add">;
  readonly leadership: Pick<Leadership, "holds">;
  readonly conditions: Conditions;
  readonly due: Pick<DueFeed, "expect" | "look">;
  readonly inFlight: Map<number, Claim>;
  readonly delivery: DeliveryOptions;
  readonly retry: RetryRules;
  readonly batch: number;
  readonly gap: number;
  /** Reads the campaign; throws `files` when it must be held. */
  load(): Promise<Campaign>;
  survey(): Promise<Surveyed>;
  fill(campaign: Campaign, stopped: AbortSignal, inserted: (firstId: number, rows: number) => void): Promise<Filled>;
  readAhead(campaign: Campaign, claims: readonly Claim[]): Promise<ReadAhead>;
  /** The campaign must not send; the monitor pauses it with this reason. */
  hold(reason: string): void;
  /** Nothing is open any more: the monitor may look at once. */
  idle(): void;
}

const LOOK_AGAIN = 15_000;

/** Sends one campaign: takes it up, fills the queue, then claims what the accounts can send soon and carries each claim to its outcome. */
export class Worker {
  private campaign: Campaign | undefined;
  private counts: Tally | undefined;
  private filled = false;
  private filling: Promise<void> | undefined;
  private readonly ending = new AbortController();
  private readonly open = new Set<Promise<void>>();
  private readonly loop: Loop;
  private lastClaim = Number.NEGATIVE_INFINITY;
  private waitingWhy = "";

  constructor(
    readonly campaignId: number,
    private readonly options: WorkerOptions,
  ) {
    this.loop = new Loop({
      name: `worker ${campaignId}`,
      clock: options.clock,
      tick: () => this.tick(),
      failed: (error) => this.failed(error),
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
    if (conditions.blocked() !== undefined || !accounts.loaded) return 1000;
    if (!this.campaign && !(await this.takeUp())) return LOOK_AGAIN;
    this.filling ??= this.fillQueue(this.campaign as Campaign);
    return this.claimSome(this.campaign as Campaign);
  }

  /** Reads the campaign and counts its rows; false when it is to be held. */
  private async takeUp(): Promise<boolean> {
    const { news, hold, due } = this.options;
    try {
      const campaign = await this.options.load();
      const { tally, healed, adopted } = await this.options.survey();
      this.counts = tally;
      this.campaign = campaign;
      news.emit("campaign:seen", {
        campaignId: this.campaignId,
        description: campaign.description,
        source: campaign.source.kind,
        owner: campaign.owner ?? 0,
      });
      news.emit("campaign:tallied", { campaignId: this.campaignId, ...tally.progress(), healed, adopted });
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
      const filled = await this.options.fill(campaign, this.ending.signal, (firstId, rows) => this.inserted(firstId, rows));
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
    const { rotation, claimer, clock, gap, batch: most } = this.options;
    const seeker: Seeker = { campaignId: this.campaignId, owner: campaign.owner, servers: undefined };
    rotation.enter(seeker);
    const room = Math.min(rotation.room(seeker), most);
    if (room < 1) return this.waitForRoom(seeker);
    const wait = this.tooSoon(room, Math.min(most, rotation.capacity(seeker)));
    if (wait > 0) return wait;
    const batch = await claimer.claim(seeker, room);
    this.lastClaim = clock.monotonic();
    if (!batch) {
      rotation.leave(this.campaignId);
      return LOOK_AGAIN;
    }
    this.waitingWhy = "";
    if (batch.claims.length > 0) this.dispatch(campaign, batch);
    return batch.claims.length > 0 ? 0 : gap;
  }

  /** A claim of a few rows costs as many statements as one of many: wait until half of the room is free, but not for long. */
  private tooSoon(room: number, capacity: number): number {
    const since = this.options.clock.monotonic() - this.lastClaim;
    const { gap } = this.options;
    const patience = room >= capacity / 2 ? 0 : this.open.size === 0 ? gap : 4 * gap;
    return Math.max(0, Math.min(patience - since, gap));
  }

  private waitForRoom(seeker: Seeker): number {
    const { rotation, news } = this.options;
    const opening = rotation.nextOpening(seeker);
    if (this.open.size > 0 && opening?.inMs === 0) return this.options.gap;
    const why = opening?.why ?? "no active account belongs to the campaign's owner";
    const inMs = opening === undefined ? LOOK_AGAIN : opening.inMs;
    if (why !== this.waitingWhy && why !== "") {
      news.emit("campaign:waiting", { campaignId: this.campaignId, reason: why, seconds: Math.ceil(inMs / 1000) });
    }
    this.waitingWhy = why;
    return Math.max(inMs, 50);
  }

  private dispatch(campaign: Campaign, batch: Batch): void {
    const ahead = this.options.readAhead(campaign, batch.claims);
    // Heard here, so that a failed read is no unhandled rejection; each delivery hears it too and releases its mail.
    ahead.catch((error: unknown) => this.troubled("read recipients ahead", error));
    for (const claim of batch.claims) {
      const carried = this.carry(claim, campaign, ahead).finally(() => this.open.delete(carried));
      this.open.add(carried);
    }
  }

  /** One claim to its stored outcome; never rejects: what happens to us becomes a release, said as trouble. */
  private async carry(claim: Claim, campaign: Campaign, ahead: Promise<ReadAhead>): Promise<void> {
    const { clock, retry } = this.options;
    const from = clock.monotonic();
    const delivered = await this.deliver(claim, campaign, ahead);
    this.noteSeat(claim, delivered);
    const ending: Ending = delivered.kind === "suppressed" ? delivered : judge(delivered, claim.attempts, claim.failingFor, retry);
    await this.settle(claim, ending, clock.monotonic() - from);
  }

  private async deliver(claim: Claim, campaign: Campaign, ahead: Promise<ReadAhead>): Promise<Delivered> {
    try {
      return await deliver(claim, campaign, await ahead, () => this.gate(claim), this.ending.signal, this.options.delivery);
    } catch (error) {
      if (!(error instanceof CampaigndError)) this.troubled("deliver a mail", error);
      return { kind: "withheld", reason: describe(error) };
    }
  }

  /** The last look before the dot: the lease, every stopper, the campaign itself, and the account's room in this hour. */
  private async gate(claim: Claim): Promise<boolean> {
    const { leadership, conditions, rotation } = this.options;
    if (this.ending.signal.aborted || !leadership.holds() || conditions.blocked() !== undefined) return false;
    return rotation.pass(claim.seat);
  }

  /** What the mail did to its account: room used or given back, health. */
  private noteSeat(claim: Claim, delivered: Delivered): void {
    const { accounts, rotation } = this.options;
    const counts = delivered.kind === "accepted" || delivered.kind === "unknown";
    if (counts) rotation.used(claim.seat);
    else rotation.giveBack(claim.seat);
    if (delivered.kind !== "suppressed") accounts.note(claim.seat, delivered satisfies Verdict);
    if (claim.seat.account.backlog === 0 || !counts) this.loop.nudge();
  }

  private settle(claim: Claim, ending: Ending, ms: number): Promise<void> {
    const { settler } = this.options;
    return new Promise((resolve) => {
      settler.add({
        claim,
        settlement: settlementOf(claim, ending),
        counts: ending.kind === "sent" || ending.kind === "unknown",
        stored: () => {
          this.stored(claim, ending, ms);
          resolve();
        },
      });
    });
  }

  private stored(claim: Claim, ending: Ending, ms: number): void {
    const { inFlight, news, due, claimer, idle } = this.options;
    claim.batch.finish();
    inFlight.delete(claim.mailId);
    const change = changeOf(ending);
    if (change) this.counts?.settle(claim.mailId, change);
    if (ending.kind === "retry") due.expect(ending.dueInMs);
    if (ending.kind === "released") this.givenBack(claim, due, claimer);
    tell(news, claim, ending, ms);
    if (this.filled && this.counts?.progress().pending === 0) idle();
  }

  private givenBack(claim: Claim, due: Pick<DueFeed, "look">, claimer: Claimer): void {
    if (claim.before.status === "failed") due.look();
    else claimer.reopened(claim.mailId);
    if (!this.ending.signal.aborted) this.loop.nudge();
  }

  private troubled(doing: string, error: unknown): void {
    this.options.news.emit("campaign:troubled", { campaignId: this.campaignId, doing, err: describe(error) });
  }

  private failed(error: unknown): number {
    if (!this.ending.signal.aborted) this.troubled("claim mails", error);
    return 1000;
  }
}

