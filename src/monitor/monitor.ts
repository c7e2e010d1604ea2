import type { Progress } from "../campaign/progress.js";
import type { Clock } from "../clock.js";
import {
  clearHold,
  completeCampaign,
  countUnknowns,
  holdCampaign,
  listRunning,
  noteHold,
  type Running,
  readSources,
  recountCampaign,
  writeProgress,
} from "../db/campaigns.js";
import type { Database } from "../db/database.js";
import { describe } from "../errors.js";
import type { News } from "../events.js";
import { Loop } from "../loop.js";
import type { Service } from "../service.js";
import type { Conditions } from "../worker/conditions.js";
import type { Leadership } from "../worker/leadership.js";
import type { Settler } from "../worker/settler.js";
import type { Supervisor } from "../worker/supervisor.js";
import { recount, survey } from "../worker/survey.js";
import type { Worker } from "../worker/worker.js";
import { type Cadence, cadence } from "./cadence.js";
import type { Interlock } from "./interlock.js";

export interface MonitorOptions {
  readonly emailId: Database;
  readonly crm: Database;
  readonly clock: Clock;
  readonly news: News;
  readonly conditions: Conditions;
  readonly leadership: Pick<Leadership, "epoch" | "holds">;
  readonly supervisor: Supervisor;
  readonly settler: Pick<Settler, "exclusive">;
  readonly interlock: Interlock;
  readonly cadence: Cadence;
  /** Longest time to go on sending without seeing Server 1, milliseconds. */
  readonly blind: number;
  /** The time of end_time in `legacyZone`. */
  readonly stamp: () => string;
}

const RETRY = 2000;

/** Watches the campaigns: sees which run, reports their progress and completes them; the only reader of campaign_status (contract §8). */
export class Monitor implements Service {
  readonly name = "monitor";
  private readonly reported = new Map<number, { progress: Progress; at: number }>();
  private readonly holds = new Map<number, string>();
  private readonly started = new Map<number, number>();
  private readonly completed = new Set<number>();
  private readonly loop: Loop;
  private looks = 0;
  private running = 0;
  private lastSight = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: MonitorOptions) {
    this.loop = new Loop({ name: this.name, clock: options.clock, tick: () => this.tick(), failed: (error) => this.failed(error) });
  }

  /** True when at least one look has found no campaign running and nothing is in flight. */
  get idle(): boolean {
    return this.looks > 0 && this.running === 0 && !this.options.supervisor.busy;
  }

  async start(): Promise<void> {
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
    await this.options.supervisor.stop();
  }

  nudge(): void {
    this.loop.nudge();
  }

  /** A campaign must not send: it is paused with this reason at the next look. */
  hold(campaignId: number, reason: string): void {
    this.holds.set(campaignId, reason);
    this.loop.nudge();
  }

  private async tick(): Promise<number> {
    const { emailId, leadership, supervisor, interlock, clock, conditions } = this.options;
    if (!leadership.holds()) return 1000;
    const list = await listRunning(emailId);
    this.lastSight = clock.monotonic();
    conditions.clear("blind");
    const held = await this.holdBack(list);
    const sendable = list.filter((running) => !held.has(running.campaignId));
    await interlock.look(sendable);
    supervisor.reconcile(sendable);
    await this.refresh();
    await this.report();
    const finished = await this.finish();
    this.running = sendable.length - finished;
    this.looks += 1;
    return this.nap();
  }

  /** Pauses campaigns that cannot be sent, before their first mail (contract §2, held); returns which. */
  private async holdBack(list: readonly Running[]): Promise<Set<number>> {
    const { emailId, crm, news, supervisor } = this.options;
    const held = new Set<number>();
    for (const [campaignId, reason] of [...this.holds]) {
      const running = list.find((entry) => entry.campaignId === campaignId);
      held.add(campaignId);
      if (running) {
        supervisor.dismiss(campaignId);
        await noteHold(crm, campaignId, reason);
        if (await holdCampaign(emailId, running.statusId)) news.emit("campaign:held", { campaignId, reason });
      }
      this.holds.delete(campaignId);
    }
    return held;
  }

  /** Campaigns whose list or template was exchanged are taken up anew; one slice of each is counted anew. */
  private async refresh(): Promise<void> {
    const { emailId, crm, supervisor, settler, leadership, conditions } = this.options;
    if (conditions.blocked() !== undefined) return;
    const workers = supervisor.all();
    const sources = await readSources(emailId, workers.map(({ worker }) => worker.campaignId));
    for (const { worker } of workers) {
      const source = sources.get(worker.campaignId);
      if (worker.key !== undefined && source !== worker.key) supervisor.dismiss(worker.campaignId);
      const { tally } = worker;
      if (!tally) continue;
      // Between two settles, so that no mail is counted both in the slice and on top of it.
      for (const slice of tally.due()) {
        await settler.exclusive(() => recount(crm, () => leadership.epoch, worker.campaignId, tally, slice));
      }
      if (tally.progress().pending > 0) worker.nudge();
    }
  }

  private async report(): Promise<void> {
    const { emailId, supervisor, news, clock } = this.options;
    const changed = supervisor.all().flatMap(({ worker, running }) => {
      const progress = worker.progress;
      return progress && !same(progress, running) ? [{ worker, statusId: running.statusId, counters: progress }] : [];
    });
    if (changed.length === 0) return;
    const written = await writeProgress(emailId, changed);
    // Fewer rows: somebody has paused one since the list was read; the next look tells which.
    if (written < changed.length) this.loop.nudge();
    for (const { worker, counters } of changed) {
      const last = this.reported.get(worker.campaignId);
      const now = clock.monotonic();
      const rate = last ? Math.round(((counters.sent - last.progress.sent) * 1000) / Math.max(1, now - last.at)) : 0;
      this.reported.set(worker.campaignId, { progress: counters, at: now });
      news.emit("campaign:progress", { campaignId: worker.campaignId, ...counters, rate });
    }
  }

  /** Completes what has no open row left; returns how many campaigns that were. */
  private async finish(): Promise<number> {
    let finished = 0;
    for (const { worker, running } of this.options.supervisor.all()) {
      this.started.set(worker.campaignId, this.started.get(worker.campaignId) ?? this.options.clock.monotonic());
      if (worker.finished && (await this.complete(worker, running))) finished += 1;
    }
    return finished;
  }

  /** Counts everything once more, then running → completed in one statement; false when rows turned up or somebody was first. */
  private async complete(worker: Worker, running: Running): Promise<boolean> {
    const { crm, emailId, leadership, settler, supervisor, news, clock, stamp } = this.options;
    const { campaignId } = worker;
    const last = await settler.exclusive(() => survey(crm, () => leadership.epoch, campaignId));
    const counters = last.tally.progress();
    if (counters.pending > 0) {
      worker.recounted(last.tally);
      return false;
    }
    if (!(await completeCampaign(emailId, running.statusId, counters, stamp()))) return false;
    this.completed.add(campaignId);
    supervisor.dismiss(campaignId);
    await clearHold(crm, leadership.epoch, campaignId);
    const unknown = await countUnknowns(crm, campaignId);
    const ms = Math.round(clock.monotonic() - (this.started.get(campaignId) ?? clock.monotonic()));
    this.started.delete(campaignId);
    news.emit("campaign:completed", { campaignId, total: counters.total, sent: counters.sent, failed: counters.failed, unknown, ms });
    return true;
  }

  /** After the last mail of a campaign that is not running any more: right counters, and a word about what is still due. */
  async left(running: Running, worker: Worker): Promise<void> {
    const { crm, emailId, leadership, news } = this.options;
    if (this.completed.delete(running.campaignId) || !leadership.holds() || worker.tally === undefined) return;
    const { tally } = await survey(crm, () => leadership.epoch, running.campaignId);
    const progress = tally.progress();
    await recountCampaign(emailId, running.statusId, progress);
    this.reported.delete(running.campaignId);
    if (progress.pending > 0) {
      news.emit("campaign:left", { campaignId: running.campaignId, reason: "not running any more", due: progress.pending });
    }
  }

  private nap(): number {
    const { supervisor } = this.options;
    const progress = supervisor.all().flatMap(({ worker }) => worker.progress ?? []);
    return cadence(progress, this.options.cadence);
  }

  private failed(error: unknown): number {
    const { news, clock, blind, conditions } = this.options;
    news.emit("monitor:failed", { err: describe(error), napMs: RETRY });
    if (clock.monotonic() - this.lastSight > blind) {
      conditions.stop("blind", `campaigns were not seen for ${Math.round(blind / 1000)} s: a pause would go unnoticed`);
    }
    return RETRY;
  }
}

function same(progress: Progress, running: Running): boolean {
  return (
    progress.total === running.total &&
    progress.sent === running.sent &&
    progress.failed === running.failed &&
    progress.pending === running.pending
  );
}
