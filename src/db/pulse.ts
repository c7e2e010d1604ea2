import type { Clock } from "../clock.js";
import { Loop } from "../loop.js";
import type { Service } from "../service.js";
import type { Database } from "./database.js";

const IDLE = 250;

/** While a server's breaker is open, sends the one probe that may close it, so that nobody's work has to be the probe. */
export class Pulse implements Service {
  readonly name: string;
  private readonly loop: Loop;

  constructor(
    private readonly db: Database,
    clock: Clock,
  ) {
    this.name = `pulse ${db.server}`;
    this.loop = new Loop({
      name: this.name,
      clock,
      tick: () => this.tick(),
      failed: () => IDLE,
    });
  }

  async start(): Promise<void> {
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
  }

  private async tick(): Promise<number> {
    const { breaker } = this.db;
    if (breaker.state === undefined) return IDLE;
    if (breaker.retryIn() > 0) return breaker.retryIn();
    await this.db.probe();
    return 0;
  }
}
