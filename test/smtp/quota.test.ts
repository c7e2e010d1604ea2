import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Hour, type Limits, Quota } from "../../src/smtp/quota.js";

const at = (hour: number, date = "2026-11-24"): Hour => ({ date, hour });
const none = { hour: 0, day: 0 };

function setup(limits: Partial<Limits> = {}, stored = none, now = at(10)) {
  const all = { hourly: 0, daily: 0, ...limits };
  const quota = new Quota(all, now);
  quota.load(all, stored, now);
  return quota;
}

/** Reserves and passes n mails; the hours that they count in. */
function passMany(quota: Quota, n: number, now = at(10)): Hour[] {
  for (let i = 0; i < n; i += 1) quota.reserve();
  return Array.from({ length: n }, () => quota.pass(now) as Hour);
}

describe("the room of an account", () => {
  test.each<[Partial<Limits>, typeof none, number, "hourly" | "daily" | undefined]>([
    [{}, { hour: 500, day: 900 }, Number.POSITIVE_INFINITY, undefined],
    [{ hourly: 3 }, none, 3, undefined],
    [{ hourly: 3 }, { hour: 2, day: 90 }, 1, undefined],
    [{ hourly: 3 }, { hour: 3, day: 3 }, 0, "hourly"],
    [{ hourly: 3 }, { hour: 7, day: 7 }, 0, "hourly"],
    [{ daily: 5 }, { hour: 1, day: 4 }, 1, undefined],
    [{ daily: 5 }, { hour: 1, day: 5 }, 0, "daily"],
    [{ hourly: 3, daily: 5 }, { hour: 1, day: 4 }, 1, undefined],
    [{ hourly: 3, daily: 5 }, { hour: 3, day: 4 }, 0, "hourly"],
    [{ hourly: 3, daily: 5 }, { hour: 3, day: 5 }, 0, "daily"],
    [{ hourly: 3, daily: 5 }, { hour: 0, day: 5 }, 0, "daily"],
  ])("with limits %o and usage %o is %s", (limits, stored, room, reached) => {
    const quota = setup(limits, stored);
    expect(quota.room(at(10))).toBe(room);
    expect(quota.reached(at(10))).toBe(reached);
  });

  test("counts a mail from its reservation on, through gate and storing, once", () => {
    const quota = setup({ hourly: 3 });
    quota.reserve();
    expect(quota.room(at(10))).toBe(2);
    const hour = quota.pass(at(10)) as Hour;
    expect(quota.room(at(10))).toBe(2);
    quota.storedIn(hour);
    expect(quota.room(at(10))).toBe(2);
    expect(quota.used("day")).toBe(1);
  });

  test("is back after a proven non-send, before the gate and behind it", () => {
    const quota = setup({ hourly: 1 });
    quota.reserve();
    quota.giveBack();
    expect(quota.room(at(10))).toBe(1);
    const [hour] = passMany(quota, 1);
    expect(quota.room(at(10))).toBe(0);
    quota.passedBack(hour as Hour);
    expect(quota.room(at(10))).toBe(1);
  });

  test("opens at the turn of the hour, but not of the day's limit", () => {
    const quota = setup({ hourly: 3, daily: 5 }, { hour: 3, day: 3 });
    expect(quota.room(at(11))).toBe(2);
    expect(quota.room(at(0, "2026-11-25"))).toBe(3);
  });

  test("does not count a mail of the old hour in the new one, whenever it is stored", () => {
    const quota = setup({ hourly: 3, daily: 5 });
    const hours = passMany(quota, 2);
    expect(quota.room(at(11))).toBe(3);
    expect(quota.used("day")).toBe(2);
    for (const hour of hours) quota.storedIn(hour);
    expect(quota.used("hour")).toBe(0);
    expect(quota.used("day")).toBe(2);
  });

  test("counts a reservation that waits over the turn in the new hour", () => {
    const quota = setup({ hourly: 1 });
    quota.reserve();
    expect(quota.room(at(11))).toBe(0);
    expect(quota.pass(at(11))).toEqual(at(11));
  });

  test("survives a usage that is read while mails are in flight", () => {
    const quota = setup({ hourly: 5 });
    const [first, second] = passMany(quota, 2) as [Hour, Hour];
    quota.storedIn(first);
    quota.load({ hourly: 5, daily: 0 }, { hour: 1, day: 1 }, at(10));
    expect(quota.used("hour")).toBe(2);
    quota.storedIn(second);
    expect(quota.used("hour")).toBe(2);
  });
});

describe("a limit that is lowered", () => {
  test("stops reserved mails at the gate", () => {
    const quota = setup({ hourly: 3 });
    for (let i = 0; i < 3; i += 1) quota.reserve();
    quota.load({ hourly: 1, daily: 0 }, none, at(10));
    expect(quota.pass(at(10))).toBeUndefined();
    quota.giveBack();
    quota.giveBack();
    expect(quota.pass(at(10))).toEqual(at(10));
  });
});

describe("a clock that goes back", () => {
  test("opens nothing until the usage of that hour is read again", () => {
    const quota = setup({ hourly: 3, daily: 9 }, { hour: 3, day: 3 });
    expect(quota.room(at(11))).toBe(3);
    expect(quota.room(at(10))).toBe(0);
    quota.reserve();
    expect(quota.pass(at(10))).toBeUndefined();
    quota.giveBack();
    quota.load({ hourly: 3, daily: 9 }, { hour: 2, day: 2 }, at(10));
    expect(quota.room(at(10))).toBe(1);
  });

  test("stops no account without limits", () => {
    const quota = setup();
    quota.room(at(11));
    expect(quota.room(at(10))).toBe(Number.POSITIVE_INFINITY);
  });

  test("does not forget what is in flight in that hour", () => {
    const quota = setup({ hourly: 3 });
    passMany(quota, 2);
    quota.room(at(11));
    quota.load({ hourly: 3, daily: 0 }, none, at(10));
    expect(quota.room(at(10))).toBe(1);
  });
});

type Command =
  | { readonly do: "reserve" | "pass" | "giveBack" | "passedBack" | "store" | "loseAnswer" | "foreign" }
  | { readonly do: "load"; readonly limits: Limits }
  | { readonly do: "time"; readonly hours: number };

const limit = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 8 }));
const limits = fc.record({ hourly: limit, daily: limit });
const commands = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom("reserve", "pass", "store").map((word): Command => ({ do: word })) },
    {
      weight: 4,
      arbitrary: fc
        .constantFrom("giveBack", "passedBack", "loseAnswer", "foreign")
        .map((word): Command => ({ do: word })),
    },
    { weight: 2, arbitrary: limits.map((to): Command => ({ do: "load", limits: to })) },
    {
      weight: 2,
      arbitrary: fc.constantFrom(1, 1, 1, 2, 23, 24, -1, -24).map((n): Command => ({ do: "time", hours: n })),
    },
  ),
  { maxLength: 200 },
);

describe("under any order of reserving, passing, giving back, storing, reading and turning", () => {
  test("no hour and no day ever counts one mail over its limit, and nothing is negative", () => {
    fc.assert(
      fc.property(limits, commands, (first, list) => {
        const world = new World(first);
        for (const command of list) world.run(command);
      }),
      { numRuns: 2000 },
    );
  });
});

/** The truth beside a quota: what went out in which hour, and what the database says. */
class World {
  private clock = 240;
  private readonly quota: Quota;
  private reserved = 0;
  private readonly inFlight: Hour[] = [];
  /** In the database, though the settle that put it there does not know it yet. */
  private readonly unanswered: Hour[] = [];
  private readonly sent: Hour[] = [];
  private readonly database: Hour[] = [];

  constructor(private limits: Limits) {
    this.quota = new Quota(limits, this.now);
    this.quota.load(limits, none, this.now);
  }

  run(command: Command): void {
    switch (command.do) {
      case "reserve":
        if (this.quota.room(this.now) < 1) break;
        this.quota.reserve();
        this.reserved += 1;
        break;
      case "pass":
        if (this.reserved > 0) this.pass();
        break;
      case "giveBack":
        if (this.reserved === 0) break;
        this.quota.giveBack();
        this.reserved -= 1;
        break;
      case "passedBack": {
        const back = this.inFlight.pop();
        if (!back) break;
        this.quota.passedBack(back);
        this.sent.splice(this.sent.indexOf(back), 1);
        break;
      }
      case "store": {
        const known = this.unanswered.shift();
        const stored = known ?? this.inFlight.shift();
        if (!stored) break;
        if (!known) this.database.push(stored);
        this.quota.storedIn(stored);
        break;
      }
      case "loseAnswer": {
        const lost = this.inFlight.shift();
        if (!lost) break;
        this.database.push(lost);
        this.unanswered.push(lost);
        break;
      }
      case "foreign":
        this.database.push(this.now);
        break;
      case "load":
        this.limits = command.limits;
        this.quota.load(this.limits, this.count(this.database), this.now);
        break;
      case "time":
        this.clock = Math.max(0, this.clock + command.hours);
        break;
      default:
        command satisfies never;
    }
    this.check();
  }

  private pass(): void {
    const hour = this.quota.pass(this.now);
    if (!hour) return;
    expect(hour).toEqual(this.now);
    this.reserved -= 1;
    this.inFlight.push(hour);
    this.sent.push(hour);
    const sent = this.count(this.sent);
    if (this.limits.hourly > 0) expect(sent.hour).toBeLessThanOrEqual(this.limits.hourly);
    if (this.limits.daily > 0) expect(sent.day).toBeLessThanOrEqual(this.limits.daily);
  }

  private check(): void {
    const room = this.quota.room(this.now);
    expect(room).toBeGreaterThanOrEqual(0);
    for (const span of ["hour", "day"] as const) expect(this.quota.used(span)).toBeGreaterThanOrEqual(this.reserved);
    const open = this.count(this.inFlight);
    expect(this.quota.used("hour")).toBeGreaterThanOrEqual(open.hour + this.reserved);
    expect(this.quota.used("day")).toBeGreaterThanOrEqual(open.day + this.reserved);
  }

  private count(mails: readonly Hour[]): { hour: number; day: number } {
    const { date, hour } = this.now;
    const day = mails.filter((mail) => mail.date === date);
    return { hour: day.filter((mail) => mail.hour === hour).length, day: day.length };
  }

  private get now(): Hour {
    const day = Math.floor(this.clock / 24);
    return { date: `2026-11-${String(day + 1).padStart(2, "0")}`, hour: this.clock % 24 };
  }
}
