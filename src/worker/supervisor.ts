import type { Running } from "../db/campaigns.js";
import { describe } from "../errors.js";
import type { News } from "../events.js";
import type { Worker } from "./worker.js";

export interface SupervisorOptions {
  readonly news: News;
  /** Makes the worker of a campaign that is seen running. */
  hire(running: Running): Worker;
  /** A campaign is not running any more and its last mail has landed. */
  left(running: Running, worker: Worker): Promise<void>;
}

/** Keeps one worker for each running campaign: every tick hands over the whole list, so a lost tick heals at the next one. */
export class Supervisor {
  private readonly workers = new Map<number, { worker: Worker; running: Running }>();
  private readonly leaving = new Map<number, Promise<void>>();

  constructor(private readonly options: SupervisorOptions) {}

  /** The campaigns that are sent now. */
  campaigns(): number[] {
    return [...this.workers.keys()];
  }

  worker(campaignId: number): Worker | undefined {
    return this.workers.get(campaignId)?.worker;
  }

  all(): { worker: Worker; running: Running }[] {
    return [...this.workers.values()];
  }

  /** True while a campaign that left still has mails in flight. */
  get busy(): boolean {
    return this.workers.size > 0 || this.leaving.size > 0;
  }

  nudge(): void {
    for (const { worker } of this.workers.values()) worker.nudge();
  }

  /** Starts a worker for each new campaign and closes the gate of each that is not in the list. */
  reconcile(list: readonly Running[]): void {
    this.retain(list);
    for (const running of list) {
      const known = this.workers.get(running.campaignId);
      if (known) known.running = running;
      else if (!this.leaving.has(running.campaignId)) this.engage(running);
    }
  }

  /** Closes the gate of each campaign that is not in the list. */
  retain(list: readonly Running[]): void {
    const listed = new Set(list.map((running) => running.campaignId));
    for (const campaignId of this.campaigns()) if (!listed.has(campaignId)) this.dismiss(campaignId);
  }

  /** Closes the gate of one campaign; it is taken up anew when a list names it again. */
  dismiss(campaignId: number): void {
    const known = this.workers.get(campaignId);
    if (!known) return;
    this.workers.delete(campaignId);
    const gone = this.leave(known.worker, known.running).finally(() => this.leaving.delete(campaignId));
    this.leaving.set(campaignId, gone);
  }

  /** Ends when every campaign's last mail has its outcome stored. */
  async stop(): Promise<void> {
    for (const campaignId of this.campaigns()) this.dismiss(campaignId);
    await Promise.all(this.leaving.values());
  }

  private engage(running: Running): void {
    const worker = this.options.hire(running);
    this.workers.set(running.campaignId, { worker, running });
    worker.start();
  }

  private async leave(worker: Worker, running: Running): Promise<void> {
    await worker.stop();
    try {
      await this.options.left(running, worker);
    } catch (error) {
      this.options.news.emit("campaign:troubled", {
        campaignId: worker.campaignId,
        doing: "leave the campaign",
        err: describe(error),
      });
    }
  }
}
