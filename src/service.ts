import type { Clock } from "./clock.js";
import type { News } from "./events.js";

/** Something that is started once and stopped once, in reverse order. */
export interface Service {
  readonly name: string;
  start(): Promise<void>;
  /** Ends when nothing of the service is left: no timer, no connection, no promise under way. */
  stop(): Promise<void>;
}

const SAY_EVERY = 5000;

/** Starts services in order; stops what was started, in reverse, and says every 5 s whom it still awaits. */
export class Services {
  private readonly started: Service[] = [];

  constructor(
    private readonly clock: Clock,
    private readonly news: News,
  ) {}

  async start(services: readonly Service[]): Promise<void> {
    for (const service of services) {
      this.started.push(service);
      await service.start();
    }
  }

  /** Stops all of them, also after one that fails; then throws the first failure. */
  async stop(): Promise<void> {
    const failures: unknown[] = [];
    for (let service = this.started.pop(); service; service = this.started.pop()) {
      await this.patiently(service.name, service.stop()).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  private async patiently(name: string, work: Promise<void>): Promise<void> {
    const done = new AbortController();
    const since = this.clock.monotonic();
    const saying = this.say(name, since, done.signal);
    try {
      await work;
    } finally {
      done.abort();
      await saying;
    }
  }

  private async say(name: string, since: number, done: AbortSignal): Promise<void> {
    for (;;) {
      await this.clock.sleep(SAY_EVERY, done);
      if (done.aborted) return;
      this.news.emit("daemon:awaiting", { service: name, ms: Math.round(this.clock.monotonic() - since) });
    }
  }
}
