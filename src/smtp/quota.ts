/** The calendar hour and day of `legacyZone` that a mail counts in. */
export interface Hour {
  readonly date: string;
  readonly hour: number;
}

export interface Limits {
  /** Mails an hour; 0 is no limit. */
  readonly hourly: number;
  /** Mails a day; 0 is no limit. */
  readonly daily: number;
}

/**
 * What one account may still send: reserve before sending, give back on proven non-send (contract §5).
 * Counted are what the database has for the hour and the day, what has passed the gate and is not stored yet, and what is
 * reserved. A reservation belongs to no hour until it passes the gate, so one that waits over the turn of an hour counts in the
 * new one, and the hour's limit holds at every instant.
 */
export class Quota {
  private stored = { hour: 0, day: 0 };
  private inFlight = { hour: 0, day: 0 };
  private reserved = 0;
  private now: Hour;

  constructor(
    private limits: Limits,
    now: Hour,
  ) {
    this.now = now;
  }

  /** Takes over what the database says; to be read while no settle is under way, so that nothing counts twice. */
  load(limits: Limits, stored: { hour: number; day: number }, now: Hour): void {
    this.turn(now);
    this.limits = limits;
    this.stored = { hour: stored.hour, day: stored.day };
  }

  /** How many more mails may be reserved; Infinity without limits. */
  room(now: Hour): number {
    this.turn(now);
    const { hourly, daily } = this.limits;
    const hour = hourly === 0 ? Number.POSITIVE_INFINITY : hourly - this.used("hour");
    const day = daily === 0 ? Number.POSITIVE_INFINITY : daily - this.used("day");
    return Math.max(0, Math.min(hour, day));
  }

  /** Which limit is reached, if any. */
  reached(now: Hour): "hourly" | "daily" | undefined {
    this.turn(now);
    const { hourly, daily } = this.limits;
    if (daily !== 0 && this.used("day") >= daily) return "daily";
    return hourly !== 0 && this.used("hour") >= hourly ? "hourly" : undefined;
  }

  /** Mails counted in the present hour or day, reservations included. */
  used(span: "hour" | "day"): number {
    return this.stored[span] + this.inFlight[span] + this.reserved;
  }

  reserve(): void {
    this.reserved += 1;
  }

  giveBack(): void {
    this.reserved -= 1;
  }

  /** At the gate: the hour that the mail counts in, or undefined when a limit has been lowered under what is reserved. */
  pass(now: Hour): Hour | undefined {
    this.turn(now);
    const { hourly, daily } = this.limits;
    if (hourly !== 0 && this.used("hour") > hourly) return undefined;
    if (daily !== 0 && this.used("day") > daily) return undefined;
    this.reserved -= 1;
    this.inFlight.hour += 1;
    this.inFlight.day += 1;
    return this.now;
  }

  /** A mail that passed the gate was provably not taken. */
  passedBack(at: Hour): void {
    this.leave(at);
  }

  /** A mail that passed the gate is stored in the database as sent in that hour. */
  storedIn(at: Hour): void {
    this.leave(at);
    if (at.date !== this.now.date) return;
    this.stored.day += 1;
    if (at.hour === this.now.hour) this.stored.hour += 1;
  }

  private leave(at: Hour): void {
    if (at.date !== this.now.date) return;
    this.inFlight.day -= 1;
    if (at.hour === this.now.hour) this.inFlight.hour -= 1;
  }

  /** A new hour or day starts with what is reserved. */
  private turn(now: Hour): void {
    if (now.date !== this.now.date) {
      this.stored = { hour: 0, day: 0 };
      this.inFlight = { hour: 0, day: 0 };
    } else if (now.hour !== this.now.hour) {
      this.stored = { hour: 0, day: this.stored.day };
      this.inFlight = { hour: 0, day: this.inFlight.day };
    }
    this.now = now;
  }
}
