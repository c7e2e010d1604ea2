import { type Hour, Quota } from "./quota.js";
import type { FaultClass } from "./verdict.js";

/** What is known of one account, the part that rotation decides by. */
export interface AccountFacts {
  readonly id: number;
  readonly email: string;
  readonly owner: number;
  readonly serverId: number;
  readonly hourlyLimit: number;
  readonly dailyLimit: number;
  readonly health: "healthy" | "degraded" | "suspended";
  readonly failures: number;
  readonly suspendedFor: number;
}

const DEGRADED_AT = 10;
const SUSPENDED_AT = 20;
const TIMEOUTS_SUSPENDED_AT = 30;
/** Shortest and longest time over which a pace is measured, milliseconds. */
const RATE_WINDOW = { least: 20, most: 500 };

/** What became of the account's health, to be written to smtp_health. */
export interface HealthChange {
  succeeded: boolean;
  failed: boolean;
  errorType: string | null;
  errorText: string | null;
}

export interface RestRules {
  readonly restAfterFault: number;
  readonly suspendFor: number;
}

/** One account at work: its quota, its health, its pace, and how much of each campaign waits for it. */
export class Account {
  readonly quota: Quota;
  readonly waiting = new Map<number, number>();
  /** Mails a second while busy. */
  rate = 0;
  health: AccountFacts["health"];
  failures: number;
  restUntil = 0;
  suspendedUntil = 0;
  changed: HealthChange | undefined;
  private mails = 0;
  private doneInWindow = 0;
  private windowFrom = 0;

  constructor(
    public facts: AccountFacts,
    hour: Hour,
    now: number,
  ) {
    this.quota = new Quota({ hourly: facts.hourlyLimit, daily: facts.dailyLimit }, hour);
    this.health = facts.health;
    this.failures = facts.failures;
    this.suspendedUntil = now + facts.suspendedFor * 1000;
  }

  /** Mails of all campaigns that are claimed for this account and not done. */
  get backlog(): number {
    return this.mails;
  }

  /** When the account may send again; 0 when it may now. */
  restsUntil(now: number): number {
    const until = Math.max(this.restUntil, this.suspendedUntil);
    return until > now ? until : 0;
  }

  /** How many mails to keep claimed for it: what it can send within the horizon, and enough to find its pace. */
  depth(connections: number, horizon: number): number {
    return Math.min(1000, Math.max(2 * connections, Math.ceil((this.rate * horizon) / 1000)));
  }

  /** A mail of this campaign is claimed for the account. */
  enqueue(campaignId: number, now: number): void {
    if (this.backlog === 0) {
      // Idle time says nothing about the pace.
      this.windowFrom = now;
      this.doneInWindow = 0;
    }
    this.mails += 1;
    this.waiting.set(campaignId, (this.waiting.get(campaignId) ?? 0) + 1);
  }

  /** A mail of this campaign is done, however it ended. */
  dequeue(campaignId: number): void {
    const left = (this.waiting.get(campaignId) ?? 0) - 1;
    if (left < 0) return;
    this.mails -= 1;
    if (left > 0) this.waiting.set(campaignId, left);
    else this.waiting.delete(campaignId);
  }

  /** Measures the pace over half a second of work, or over a burst that ends sooner. */
  done(now: number): void {
    this.doneInWindow += 1;
    const elapsed = now - this.windowFrom;
    const burst = this.backlog <= 1 && elapsed >= RATE_WINDOW.least;
    if (elapsed < RATE_WINDOW.most && !burst) return;
    const measured = (this.doneInWindow * 1000) / elapsed;
    this.rate = this.rate === 0 ? measured : (this.rate + measured) / 2;
    this.doneInWindow = 0;
    this.windowFrom = now;
  }

  /** True when this success ends a time of faults. */
  succeeded(): boolean {
    const ended = this.failures > 0 || this.health !== "healthy";
    this.failures = 0;
    this.health = "healthy";
    this.restUntil = 0;
    this.suspendedUntil = 0;
    if (ended || this.changed === undefined)
      this.changed = { succeeded: true, failed: false, errorType: null, errorText: null };
    return ended;
  }

  /** A fault of the account, host or network: rests, degrades or suspends (contract §5); returns the milliseconds it rests. */
  faulted(fault: FaultClass, lasting: boolean, reply: string, now: number, rules: RestRules): number {
    this.failures += 1;
    const timeout = fault === "timeout";
    const many = this.failures >= (timeout ? TIMEOUTS_SUSPENDED_AT : SUSPENDED_AT);
    const suspended = lasting || many;
    const rest = suspended ? (timeout && !lasting ? rules.suspendFor / 2 : rules.suspendFor) : rules.restAfterFault;
    if (suspended) this.suspendedUntil = now + rest;
    this.restUntil = now + rest;
    this.health = suspended ? "suspended" : this.failures >= DEGRADED_AT ? "degraded" : this.health;
    this.changed = { succeeded: false, failed: true, errorType: ERROR_TYPE[fault], errorText: reply };
    return rest;
  }
}

/** The words that smtp_health's readers know. */
const ERROR_TYPE: Readonly<Record<FaultClass, string>> = {
  auth: "auth_failed",
  tls: "tls_failed",
  dns: "connection_failed",
  connect: "connection_failed",
  timeout: "timeout",
  rate: "rate_limited",
  sender: "sender_refused",
  protocol: "protocol_error",
};
