import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hours, minutes, seconds } from "../../src/clock.js";
import type { AccountFacts } from "../../src/smtp/account.js";
import { Rotation, type RotationOptions } from "../../src/smtp/rotation.js";
import type { Seat, Seeker } from "../../src/smtp/seat.js";
import { nextHour, nextMidnight, zonedDate, zonedStamp } from "../../src/zone.js";
import { ManualClock } from "../support/manualClock.js";

const zone = "+05:30";
/** 10:20 in that zone. */
const MORNING = Date.UTC(2026, 10, 24, 4, 50);
const rules = { restAfterFault: minutes(1), suspendFor: minutes(30) };

const account = (id: number, over: Partial<AccountFacts> = {}): AccountFacts => ({
  id,
  email: `a${id}@sender.example`,
  owner: 1,
  serverId: 1,
  hourlyLimit: 0,
  dailyLimit: 0,
  health: "healthy",
  failures: 0,
  suspendedFor: 0,
  ...over,
});

const campaign = (campaignId: number, over: Partial<Seeker> = {}): Seeker => ({
  campaignId,
  owner: 1,
  servers: undefined,
  ...over,
});

type Usage = Readonly<Record<number, { hour: number; day: number }>>;

function setup(accounts: readonly AccountFacts[], options: Partial<RotationOptions> = {}, usage: Usage = {}) {
  const clock = new ManualClock(MORNING);
  const rotation = new Rotation({
    ...rules,
    connections: 2,
    horizon: seconds(2),
    now: () => clock.now(),
    hourAt: (at) => ({ date: zonedStamp(at, zone).slice(0, 10), hour: zonedDate(at, zone).hour }),
    nextHour: (at) => nextHour(at, zone),
    nextDay: (at) => nextMidnight(at, zone),
    ...options,
  });
  const load = (facts: readonly AccountFacts[], counted: Usage = {}) =>
    rotation.load(facts, new Map(Object.entries(counted).map(([id, mails]) => [Number(id), mails])));
  load(accounts, usage);
  return { clock, rotation, load };
}

const ids = (seats: readonly Seat[]) => seats.map((seat) => seat.account.facts.id);

function count(values: readonly number[]): Record<number, number> {
  const sums: Record<number, number> = {};
  for (const value of values) sums[value] = (sums[value] ?? 0) + 1;
  return sums;
}

/** Sends the mail of a seat, to the end or until it is only not stored yet. */
function sendMail(rotation: Rotation, seat: Seat, { stored = true } = {}): boolean {
  if (!rotation.pass(seat)) {
    rotation.giveBack(seat);
    return false;
  }
  rotation.used(seat);
  if (stored) rotation.stored(seat);
  return true;
}

describe("who may send for a campaign", () => {
  const accounts = [account(1, { owner: 1 }), account(2, { owner: 2 }), account(3, { owner: 1, serverId: 7 })];

  test.each<[string, Partial<Seeker>, number[]]>([
    ["an owner's campaign: the owner's accounts", { owner: 1 }, [1, 3]],
    ["another owner's", { owner: 2 }, [2]],
    ["a campaign without owner: all", { owner: undefined }, [1, 2, 3]],
    ["a distributed campaign: the accounts of its servers", { servers: new Set([7]) }, [3]],
    ["a distributed campaign of another owner: none", { owner: 2, servers: new Set([7]) }, []],
    ["an owner without accounts: none", { owner: 9 }, []],
  ])("%s", (_who, seeker, serving) => {
    const { rotation } = setup(accounts);
    const seats = rotation.reserve(campaign(1, seeker), 100);
    expect(Object.keys(count(ids(seats))).map(Number)).toEqual(serving);
    expect(rotation.nextOpening(campaign(1, seeker)) === undefined).toBe(serving.length === 0);
  });

  test("an account that is not listed any more gets no mail", () => {
    const { rotation, load } = setup([account(1), account(2)]);
    load([account(2)]);
    expect(new Set(ids(rotation.reserve(campaign(1), 100)))).toEqual(new Set([2]));
  });

  test("an account that returns still counts what is in flight", () => {
    const limited = account(1, { hourlyLimit: 4 });
    const { rotation, load } = setup([limited]);
    rotation.enter(campaign(1));
    const seats = rotation.reserve(campaign(1), 3);
    for (const seat of seats.slice(1)) sendMail(rotation, seat, { stored: false });
    load([]);
    load([limited]);
    expect(rotation.room(campaign(1))).toBe(1);
  });
});

describe("places", () => {
  test("go to the least loaded account first, then evenly to all", () => {
    const { rotation } = setup([account(1), account(2), account(3)]);
    rotation.reserve(campaign(1, { servers: new Set([1]) }), 1);
    const busy = rotation.all().find((one) => one.backlog === 1)?.facts.id;
    const seats = rotation.reserve(campaign(1), 5);
    expect(ids(seats.slice(0, 2))).not.toContain(busy);
    expect(rotation.all().map((one) => one.backlog)).toEqual([2, 2, 2]);
  });

  test("begin with another account each time", () => {
    const { rotation } = setup([account(1), account(2), account(3)]);
    const firsts = Array.from({ length: 6 }, () => {
      const [seat] = rotation.reserve(campaign(1), 1);
      if (seat) sendMail(rotation, seat);
      return seat?.account.facts.id;
    });
    expect(count(firsts.map(Number))).toEqual({ 1: 2, 2: 2, 3: 2 });
  });

  test("of an account without a known pace are few, and more once it is fast", async () => {
    const { rotation, clock } = setup([account(1)]);
    expect(rotation.room(campaign(1))).toBe(4);
    for (let round = 0; round < 20; round += 1) {
      const seats = rotation.reserve(campaign(1), 4);
      await clock.advance(50);
      for (const seat of seats) sendMail(rotation, seat);
    }
    // 80 mails a second over a horizon of two seconds
    expect(rotation.room(campaign(1))).toBeGreaterThanOrEqual(120);
    expect(rotation.room(campaign(1))).toBeLessThanOrEqual(200);
  });

  test("are never more than were asked for, nor than are open", () => {
    const { rotation } = setup([account(1), account(2)]);
    expect(rotation.reserve(campaign(1), 3)).toHaveLength(3);
    expect(rotation.reserve(campaign(1), 100)).toHaveLength(5);
    expect(rotation.reserve(campaign(1), 100)).toHaveLength(0);
    expect(rotation.room(campaign(1))).toBe(0);
    expect(rotation.capacity(campaign(1))).toBe(8);
  });

  test("are free as soon as they are given back, and left once", () => {
    const { rotation } = setup([account(1, { hourlyLimit: 4 })]);
    rotation.enter(campaign(1));
    const [seat] = rotation.reserve(campaign(1), 4) as [Seat];
    rotation.giveBack(seat);
    expect(rotation.room(campaign(1))).toBe(1);
    rotation.used(seat);
    expect(rotation.room(campaign(1))).toBe(1);
    expect(seat.account.backlog).toBe(3);
  });
});

describe("an account's health", () => {
  const fault = (rotation: Rotation, id: number, clock: ManualClock, lasting = false) =>
    rotation.account(id)?.faulted("connect", lasting, "connect ECONNREFUSED", clock.now(), rules);

  test("keeps it out while it rests, and lets it in again by itself", async () => {
    const { rotation, clock } = setup([account(1), account(2)]);
    expect(fault(rotation, 1, clock)).toBe(rules.restAfterFault);
    expect(new Set(ids(rotation.reserve(campaign(1), 100)))).toEqual(new Set([2]));
    await clock.advance(rules.restAfterFault);
    expect(new Set(ids(rotation.reserve(campaign(1), 100)))).toEqual(new Set([1]));
  });

  test("gives it one mail to try after a suspension, and all after that mail", async () => {
    const { rotation, clock } = setup([account(1)]);
    expect(fault(rotation, 1, clock, true)).toBe(rules.suspendFor);
    expect(rotation.room(campaign(1))).toBe(0);
    await clock.advance(rules.suspendFor);
    const [seat, ...more] = rotation.reserve(campaign(1), 100) as [Seat];
    expect(more).toEqual([]);
    expect(rotation.room(campaign(1))).toBe(0);
    sendMail(rotation, seat);
    seat.account.succeeded();
    expect(rotation.room(campaign(1))).toBe(4);
  });

  test("gives no mail to try where a limit is reached", async () => {
    const facts = account(1, { hourlyLimit: 1, health: "suspended", suspendedFor: 60 });
    const { rotation, clock } = setup([facts], {}, { 1: { hour: 1, day: 1 } });
    await clock.advance(minutes(1));
    expect(rotation.room(campaign(1))).toBe(0);
  });

  test("as the database tells it holds from the start", async () => {
    const { rotation, clock } = setup([account(1, { health: "suspended", suspendedFor: 90 })]);
    expect(rotation.nextOpening(campaign(1))).toMatchObject({ inMs: seconds(90), why: "every account rests" });
    await clock.advance(seconds(90));
    expect(rotation.room(campaign(1))).toBe(1);
  });

  test("that is degraded lets others go first", () => {
    const { rotation } = setup([account(1, { health: "degraded" }), account(2)]);
    expect(new Set(ids(rotation.reserve(campaign(1), 100)))).toEqual(new Set([2]));
    expect(rotation.room(campaign(1))).toBe(0);
  });

  test.each<[string, Partial<AccountFacts>, Usage]>([
    ["are suspended", { health: "suspended", suspendedFor: 60 }, {}],
    ["are tried after a suspension", { health: "suspended" }, {}],
    ["have reached a limit", { hourlyLimit: 5 }, { 2: { hour: 5, day: 5 } }],
  ])("that is degraded serves while all others %s", (_why, other, usage) => {
    const { rotation } = setup([account(1, { health: "degraded" }), account(2, other)], {}, usage);
    expect(ids(rotation.reserve(campaign(1), 100))).toContain(1);
  });

  test.each([
    ["connect", 9, "healthy"],
    ["connect", 10, "degraded"],
    ["connect", 19, "degraded"],
    ["connect", 20, "suspended"],
    ["timeout", 10, "degraded"],
    ["timeout", 29, "degraded"],
    ["timeout", 30, "suspended"],
  ] as const)("after faults of class %s, %i in a row, is %s", (kind, faults, health) => {
    const { rotation, clock } = setup([account(1)]);
    for (let i = 0; i < faults; i += 1) rotation.account(1)?.faulted(kind, false, "?", clock.now(), rules);
    expect(rotation.account(1)?.health).toBe(health);
    expect(rotation.account(1)?.failures).toBe(faults);
  });

  test("is sound again after a success, which is told once", () => {
    const { rotation, clock } = setup([account(1)]);
    fault(rotation, 1, clock);
    const faulty = rotation.account(1);
    expect(faulty?.changed).toMatchObject({ failed: true, errorType: "connection_failed" });
    expect(faulty?.succeeded()).toBe(true);
    expect(faulty?.changed).toMatchObject({ succeeded: true, failed: false });
    expect(faulty?.succeeded()).toBe(false);
    expect(faulty?.restsUntil(clock.now())).toBe(0);
  });
});

describe("when sending goes on", () => {
  test.each<[string, Partial<AccountFacts>, Usage, number, RegExp]>([
    ["at the next hour of the zone", { hourlyLimit: 3 }, { 1: { hour: 3, day: 3 } }, minutes(40), /hourly limit/],
    ["at midnight of the zone", { dailyLimit: 3 }, { 1: { hour: 0, day: 3 } }, hours(13) + minutes(40), /daily limit/],
    [
      "at midnight when both are reached",
      { hourlyLimit: 3, dailyLimit: 3 },
      { 1: { hour: 3, day: 3 } },
      hours(13) + minutes(40),
      /daily/,
    ],
    ["after the rest", { health: "suspended", suspendedFor: 1200 }, {}, minutes(20), /rests/],
    [
      "after the later of limit and rest",
      { hourlyLimit: 3, health: "suspended", suspendedFor: 3600 },
      { 1: { hour: 3, day: 3 } },
      hours(1),
      /limit/,
    ],
    ["now without limits", {}, { 1: { hour: 900, day: 900 } }, 0, /^$/],
  ])("%s", (_when, facts, usage, inMs, why) => {
    const { rotation } = setup([account(1, facts)], {}, usage);
    expect(rotation.nextOpening(campaign(1))).toMatchObject({ inMs, why: expect.stringMatching(why) });
  });

  test("is what the first of several accounts says", () => {
    const accounts = [account(1, { dailyLimit: 1 }), account(2, { hourlyLimit: 1 }), account(3, { owner: 2 })];
    const { rotation } = setup(accounts, {}, { 1: { hour: 1, day: 1 }, 2: { hour: 1, day: 1 } });
    expect(rotation.nextOpening(campaign(1))?.inMs).toBe(minutes(40));
  });

  test("comes true by itself", async () => {
    const { rotation, clock } = setup([account(1, { hourlyLimit: 3 })], {}, { 1: { hour: 3, day: 3 } });
    expect(rotation.room(campaign(1))).toBe(0);
    await clock.advance(rotation.nextOpening(campaign(1))?.inMs ?? 0);
    expect(rotation.room(campaign(1))).toBe(3);
  });
});

describe("the gate", () => {
  test("keeps a limit that was lowered under what is reserved", () => {
    const { rotation, load } = setup([account(1, { hourlyLimit: 4 })]);
    const seats = rotation.reserve(campaign(1), 4);
    load([account(1, { hourlyLimit: 2 })]);
    const sent = seats.filter((seat) => sendMail(rotation, seat));
    expect(sent).toHaveLength(2);
  });
});

describe("several campaigns", () => {
  test("share what a limit leaves before the first of them has sent", () => {
    const { rotation } = setup([account(1, { hourlyLimit: 6 })], { connections: 50 });
    const [a, b, c] = [campaign(1), campaign(2), campaign(3)];
    for (const seeker of [a, b, c]) rotation.enter(seeker);
    expect(rotation.reserve(a, 100)).toHaveLength(2);
    expect(rotation.reserve(a, 100)).toHaveLength(0);
    expect(rotation.reserve(b, 100)).toHaveLength(2);
    expect(rotation.reserve(c, 100)).toHaveLength(2);
  });

  test("leave nothing unused: what one does not take, another does", () => {
    const { rotation } = setup([account(1, { hourlyLimit: 6 })], { connections: 50 });
    const [a, idle] = [campaign(1), campaign(2)];
    for (const seeker of [a, idle]) rotation.enter(seeker);
    let sent = 0;
    for (let round = 0; round < 10; round += 1) {
      for (const seat of rotation.reserve(a, 100)) sent += sendMail(rotation, seat) ? 1 : 0;
    }
    expect(sent).toBe(6);
  });

  test("that left count in no share", () => {
    const { rotation } = setup([account(1, { hourlyLimit: 6 })], { connections: 50 });
    rotation.enter(campaign(1));
    rotation.enter(campaign(2));
    rotation.leave(2);
    expect(rotation.reserve(campaign(1), 100)).toHaveLength(6);
  });

  test("equally hungry get equal shares of every limit, to within a few claims", () => {
    const world = fc.record({
      campaigns: fc.integer({ min: 1, max: 6 }),
      limit: fc.integer({ min: 6, max: 300 }),
      connections: fc.integer({ min: 1, max: 10 }),
      batch: fc.integer({ min: 1, max: 50 }),
      sends: fc.integer({ min: 1, max: 60 }),
    });
    fc.assert(
      fc.property(world, ({ campaigns, limit, connections, batch, sends }) => {
        const { rotation } = setup([account(1, { hourlyLimit: limit })], { connections });
        const seekers = Array.from({ length: campaigns }, (_, i) => campaign(i + 1));
        for (const seeker of seekers) rotation.enter(seeker);
        const sent = new Map(seekers.map((seeker) => [seeker.campaignId, 0]));
        const queue: Seat[] = [];
        for (let round = 0; round < 1000; round += 1) {
          const turn = [...seekers.slice(round % campaigns), ...seekers.slice(0, round % campaigns)];
          for (const seeker of turn) queue.push(...rotation.reserve(seeker, Math.min(batch, rotation.room(seeker))));
          if (queue.length === 0) break;
          for (const seat of queue.splice(0, sends)) {
            if (sendMail(rotation, seat)) sent.set(seat.campaignId, (sent.get(seat.campaignId) ?? 0) + 1);
          }
        }
        const claim = Math.min(batch, 2 * connections);
        const all = [...sent.values()];
        expect(all.reduce((sum, n) => sum + n, 0)).toBe(limit);
        expect(Math.max(...all) - Math.min(...all)).toBeLessThanOrEqual(3 * claim);
      }),
      { numRuns: 300 },
    );
  });

  test("together never exceed a limit, in whatever order mails are claimed, sent, returned, stored and read", () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ do: fc.constant("claim" as const), who: fc.nat(3), n: fc.integer({ min: 1, max: 9 }) }),
      },
      {
        weight: 8,
        arbitrary: fc.record({ do: fc.constantFrom("pass" as const, "store" as const), which: fc.nat(50) }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("giveBack" as const), which: fc.nat(50) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("load" as const, "lose" as const) }) },
    );
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4 }),
        fc.array(step, { maxLength: 200 }),
        (limits, steps) => {
          const facts = limits.map((hourlyLimit, i) => account(i + 1, { hourlyLimit }));
          const { rotation, load } = setup(facts, { connections: 5 });
          const [claimed, passed, sent, stored]: Seat[][] = [[], [], [], []] as [Seat[], Seat[], Seat[], Seat[]];
          const take = (from: Seat[] | undefined, which: number) => from?.splice(which % (from.length || 1), 1)[0];
          for (const act of steps) {
            if (act.do === "claim") {
              rotation.enter(campaign(act.who));
              claimed?.push(...rotation.reserve(campaign(act.who), act.n));
            } else if (act.do === "pass") {
              const seat = take(claimed, act.which);
              if (seat && rotation.pass(seat)) passed?.push(seat);
              else if (seat) rotation.giveBack(seat);
            } else if (act.do === "store") {
              const seat = take(passed, act.which);
              if (!seat) continue;
              rotation.used(seat);
              rotation.stored(seat);
              sent?.push(seat);
              stored?.push(seat);
            } else if (act.do === "giveBack") {
              const seat = take(act.which % 2 ? claimed : passed, act.which);
              if (seat) rotation.giveBack(seat);
            } else if (act.do === "lose") load([]);
            else {
              const counts = count(ids(stored ?? []));
              load(facts, Object.fromEntries(Object.entries(counts).map(([id, n]) => [id, { hour: n, day: n }])));
            }
            const out = count(ids([...(claimed ?? []), ...(passed ?? []), ...(sent ?? [])]));
            for (const [i, limit] of limits.entries()) expect(out[i + 1] ?? 0).toBeLessThanOrEqual(limit);
            for (const one of rotation.all()) expect(one.backlog).toBeGreaterThanOrEqual(0);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
