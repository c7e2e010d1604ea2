import type { Progress } from "../campaign/progress.js";
import type { Clock } from "../clock.js";
import { clearHold, countUnknowns, refillLater } from "../db/campaignNotes.js";
import { completeCampaign, type Running, recountCampaign, writeProgress } from "../db/campaigns.js";
import type { Database } from "../db/database.js";
import type { News } from "../events.js";
import type { Leadership } from "../worker/leadership.js";
import type { Settler } from "../worker/settler.js";
import type { Supervisor } from "../worker/supervisor.js";
import { survey } from "../worker/survey.js";
import type { Worker } from "../worker/worker.js";

export interface ReporterOptions {
  readonly emailId: Database;
  readonly crm: Database;
  readonly clock: Clock;
  readonly news: News;
  readonly leadership: Pick<Leadership, "epoch" | "holds">;
  readonly supervisor: Supervisor;
  readonly settler: Pick<Settler, "exclusive">;
  /** The time of end_time in `legacyZone`. */
  readonly stamp: () => string;
}

/** Writes what the web application shows of running campaigns, and completes those that have nothing open (contract §2). */
export class Reporter {
  private readonly reported = new Map<number, { progress: Progress; at: number }>();
  private readonly started = new Map<number, number>();
  private readonly completed = new Set<number>();

  constructor(private readonly options: ReporterOptions) {}

  /** Writes the counters of all changed campaigns in one statement; "changed" when one of them is not running any more. */
  async report(): Promise<"changed" | "same"> {
    const { emailId, supervisor, news, clock } = this.options;
    const changed = supervisor.all().flatMap(({ worker, running }) => {
      const progress = worker.progress;
      return progress && !same(progress, running) ? [{ worker, statusId: running.statusId, counters: progress }] : [];
    });
    if (changed.length === 0 || !this.options.leadership.holds()) return "same";
    const written = await writeProgress(emailId, changed);
    for (const { worker, counters } of changed) {
      const last = this.reported.get(worker.campaignId);
      const now = clock.monotonic();
      const rate = last ? Math.round(((counters.sent - last.progress.sent) * 1000) / Math.max(1, now - last.at)) : 0;
      this.reported.set(worker.campaignId, { progress: counters, at: now });
      news.emit("campaign:progress", { campaignId: worker.campaignId, ...counters, rate });
    }
    // Fewer rows: somebody has paused one since the list was read; the next look tells which.
    return written < changed.length ? "changed" : "same";
  }

  /** Completes what has no open row left; returns how many campaigns that were. */
  async finish(): Promise<number> {
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
    const between = <T>(work: () => Promise<T>) => settler.exclusive(work);
    const last = await survey(crm, () => leadership.epoch, campaignId, between);
    const counters = last.tally.progress();
    if (counters.pending > 0) {
      worker.recounted(last.tally);
      return false;
    }
    // Server 1 knows no fence: whoever has led meanwhile may have filled or re-opened the campaign.
    if (!leadership.holds()) return false;
    if (!(await completeCampaign(emailId, running.statusId, counters, stamp()))) return false;
    this.completed.add(campaignId);
    supervisor.dismiss(campaignId);
    await clearHold(crm, leadership.epoch, campaignId);
    await refillLater(crm, leadership.epoch, campaignId);
    const unknown = await countUnknowns(crm, campaignId);
    const ms = Math.round(clock.monotonic() - (this.started.get(campaignId) ?? clock.monotonic()));
    this.started.delete(campaignId);
    news.emit("campaign:completed", {
      campaignId,
      total: counters.total,
      sent: counters.sent,
      failed: counters.failed,
      unknown,
      ms,
    });
    return true;
  }

  /** After the last mail of a campaign that is not running any more: right counters, and a word about what is still due. */
  async left(running: Running, worker: Worker): Promise<void> {
    const { crm, emailId, leadership, news } = this.options;
    if (this.completed.delete(running.campaignId) || !leadership.holds() || worker.tally === undefined) return;
    // Still running: it is we who stop. What memory has is the last progress.
    const last = { statusId: running.statusId, counters: worker.tally.progress() };
    if ((await writeProgress(emailId, [last])) === 1) return;
    const { tally } = await survey(crm, () => leadership.epoch, running.campaignId);
    const progress = tally.progress();
    const { campaignId } = running;
    const status = await recountCampaign(emailId, running.statusId, progress);
    await refillLater(crm, leadership.epoch, campaignId);
    this.reported.delete(campaignId);
    const due = progress.pending;
    if (status === "completed" && due > 0) news.emit("campaign:cutShort", { campaignId, due });
    else news.emit("campaign:left", { campaignId, due });
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
