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
  /** Passed and not stored yet, by the hour that they count in. */
  private readonly inFlight = new Map<string, Passed>();
  private reserved = 0;
  private now: Hour;
  /** The clock went back to an hour whose usage was forgotten: nothing goes out under a limit until it is read again. */
  private forgotten = false;

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
    this.forgotten = false;
  }

  /** How many more mails may be reserved; Infinity without limits. */
  room(now: Hour): number {
    this.turn(now);
    const { hourly, daily } = this.limits;
    if (this.shut) return 0;
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
    let used = this.stored[span] + this.reserved;
    for (const passed of this.inFlight.values()) if (this.covers(span, passed.hour)) used += passed.mails;
    return used;
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
    if (this.shut) return undefined;
    if (hourly !== 0 && this.used("hour") > hourly) return undefined;
    if (daily !== 0 && this.used("day") > daily) return undefined;
    this.reserved -= 1;
    const known = this.inFlight.get(keyOf(now)) ?? { hour: now, mails: 0 };
    known.mails += 1;
    this.inFlight.set(keyOf(now), known);
    return now;
  }

  /** A mail that passed the gate was provably not taken. */
  passedBack(at: Hour): void {
    this.leave(at);
  }

  /** A mail that passed the gate is stored in the database as sent in that hour. */
  storedIn(at: Hour): void {
    this.leave(at);
    if (this.covers("day", at)) this.stored.day += 1;
    if (this.covers("hour", at)) this.stored.hour += 1;
  }

  private leave(at: Hour): void {
    const passed = this.inFlight.get(keyOf(at));
    if (!passed) return;
    passed.mails -= 1;
    if (passed.mails === 0) this.inFlight.delete(keyOf(at));
  }

  private covers(span: "hour" | "day", at: Hour): boolean {
    return at.date === this.now.date && (span === "day" || at.hour === this.now.hour);
  }

  private get shut(): boolean {
    return this.forgotten && (this.limits.hourly !== 0 || this.limits.daily !== 0);
  }

  /** A new hour or day starts with what is reserved. */
  private turn(now: Hour): void {
    if (now.hour === this.now.hour && now.date === this.now.date) return;
    if (keyOf(now) < keyOf(this.now)) this.forgotten = true;
    this.stored = { hour: 0, day: now.date === this.now.date ? this.stored.day : 0 };
    this.now = now;
  }
}

interface Passed {
  readonly hour: Hour;
  mails: number;
}

/** Sorts as time does. */
function keyOf({ date, hour }: Hour): string {
  return `${date}/${String(hour).padStart(2, "0")}`;
}
