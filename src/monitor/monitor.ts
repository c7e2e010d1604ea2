import type { Clock } from "../clock.js";
import { noteHold } from "../db/campaignNotes.js";
import { holdCampaign, listRunning, type Running, readSources } from "../db/campaigns.js";
import type { Database } from "../db/database.js";
import { describe, saidAlready } from "../errors.js";
import type { News } from "../events.js";
import { Loop } from "../loop.js";
import type { Service } from "../service.js";
import type { Conditions } from "../worker/conditions.js";
import type { Leadership } from "../worker/leadership.js";
import type { Settler } from "../worker/settler.js";
import type { Supervisor } from "../worker/supervisor.js";
import { recount } from "../worker/survey.js";
import { type Cadence, cadence } from "./cadence.js";
import type { Interlock } from "./interlock.js";
import type { Reporter } from "./reporter.js";

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
  readonly reporter: Reporter;
}

const RETRY = 2000;
const STANDING_BY = 200;

/** Watches the campaigns: sees which run, reports their progress and completes them; the only reader of campaign_status (contract §8). */
export class Monitor implements Service {
  readonly name = "monitor";
  private readonly holds = new Map<number, string>();
  private readonly loop: Loop;
  private looks = 0;
  private running = 0;

  constructor(private readonly options: MonitorOptions) {
    this.loop = new Loop({
      name: this.name,
      clock: options.clock,
      tick: () => this.tick(),
      failed: (error) => this.failed(error),
    });
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
    const { emailId, leadership, supervisor, interlock, conditions, reporter, blind } = this.options;
    if (!leadership.holds()) return STANDING_BY;
    const list = await listRunning(emailId);
    // A pause is obeyed before anything else can fail.
    supervisor.retain(list);
    conditions.stop("blind", `campaigns were not seen for ${blind / 1000} s: a pause would go unnoticed`, {
      inMs: blind,
    });
    const held = await this.holdBack(list);
    const sendable = list.filter((running) => !held.has(running.campaignId));
    await interlock.look(sendable);
    supervisor.reconcile(sendable);
    await this.refresh();
    if ((await reporter.report()) === "changed") this.loop.nudge();
    this.running = sendable.length - (await reporter.finish());
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
    const sources = await readSources(
      emailId,
      workers.map(({ worker }) => worker.campaignId),
    );
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

  private nap(): number {
    const { supervisor } = this.options;
    const progress = supervisor.all().flatMap(({ worker }) => worker.progress ?? []);
    return cadence(progress, this.options.cadence);
  }

  private failed(error: unknown): number {
    if (!saidAlready(error)) this.options.news.emit("monitor:failed", { err: describe(error), napMs: RETRY });
    return RETRY;
  }
}
