import type { Clock } from "../clock.js";

/** Who may stop sending, whatever the campaigns say. */
export type Stopper = "lease" | "legacy" | "blind" | "shutdown" | "server1" | "server2";

/** What a stopper holds back: new claims only, or every dot. */
export type Reach = "claims" | "all";

interface Reason {
  readonly text: string;
  readonly reach: Reach;
  /** Monotonic milliseconds from which it holds. */
  readonly from: number;
}

/**
 * Why nothing may be claimed or sent now, over all campaigns: each watcher keeps its own reason here and everybody asks before a
 * claim and at the gate. State, not an event: a watcher that restarts sets it anew.
 */
export class Conditions {
  private readonly reasons = new Map<Stopper, Reason>();

  constructor(private readonly clock: Pick<Clock, "monotonic">) {}

  /** Holds from now on, or from `inMs` milliseconds on unless it is set anew or cleared before. */
  stop(who: Stopper, text: string, { reach = "all" as Reach, inMs = 0 } = {}): void {
    this.reasons.set(who, { text, reach, from: inMs === 0 ? 0 : this.clock.monotonic() + inMs });
  }

  clear(who: Stopper): void {
    this.reasons.delete(who);
  }

  /** Why no dot may go out; undefined when sending is free. */
  blocked(): string | undefined {
    return this.first("all");
  }

  /** Why nothing may be claimed; what blocks every dot blocks claims too. */
  blocksClaims(): string | undefined {
    return this.first("claims") ?? this.first("all");
  }

  /** Every reason that holds now, for people. */
  all(): string[] {
    const now = this.clock.monotonic();
    return [...this.reasons.values()].filter((reason) => reason.from <= now).map((reason) => reason.text);
  }

  private first(reach: Reach): string | undefined {
    const now = this.clock.monotonic();
    for (const reason of this.reasons.values()) if (reason.reach === reach && reason.from <= now) return reason.text;
    return undefined;
  }
}
