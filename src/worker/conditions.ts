/** Who may stop all sending at once, whatever the campaigns say. */
export type Stopper = "lease" | "legacy" | "blind" | "shutdown" | "server2";

/**
 * Why no dot may go out now, over all campaigns: each watcher keeps its own reason here and everybody asks before a claim and
 * at the gate. State, not an event: a watcher that restarts sets it anew.
 */
export class Conditions {
  private readonly reasons = new Map<Stopper, string>();

  stop(who: Stopper, reason: string): void {
    this.reasons.set(who, reason);
  }

  clear(who: Stopper): void {
    this.reasons.delete(who);
  }

  /** The first reason that stands, undefined when sending is free. */
  blocked(): string | undefined {
    for (const reason of this.reasons.values()) return reason;
    return undefined;
  }

  has(who: Stopper): boolean {
    return this.reasons.has(who);
  }
}
