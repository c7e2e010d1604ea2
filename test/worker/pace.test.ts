import { describe, expect, test } from "vitest";
import { minutes, seconds } from "../../src/clock.js";
import { News } from "../../src/events.js";
import type { AccountFacts } from "../../src/smtp/account.js";
import { Rotation } from "../../src/smtp/rotation.js";
import type { Seeker } from "../../src/smtp/seat.js";
import { Pace } from "../../src/worker/pace.js";
import { nextHour, nextMidnight, zonedDate, zonedStamp } from "../../src/zone.js";
import { ManualClock } from "../support/manualClock.js";

const seeker: Seeker = { campaignId: 7, owner: 1, servers: undefined };
const gap = 200;

const account: AccountFacts = {
  id: 1,
  email: "a@sender.example",
  owner: 1,
  serverId: 1,
  hourlyLimit: 0,
  dailyLimit: 0,
  health: "healthy",
  failures: 0,
  suspendedFor: 0,
};

/** 10:50 UTC; an account without a known pace takes 20 mails at a time. */
function setup({ accounts = [account], used = 0, batch = 100 } = {}) {
  const clock = new ManualClock(Date.UTC(2026, 10, 24, 10, 50));
  const news = new News();
  const said: object[] = [];
  news.subscribe((name, facts) => said.push({ name, ...facts }));
  const rotation = new Rotation({
    connections: 10,
    horizon: seconds(2),
    restAfterFault: minutes(1),
    suspendFor: minutes(30),
    now: () => clock.now(),
    hourAt: (at) => ({ date: zonedStamp(at, "+00:00").slice(0, 10), hour: zonedDate(at, "+00:00").hour }),
    nextHour: (at) => nextHour(at, "+00:00"),
    nextDay: (at) => nextMidnight(at, "+00:00"),
  });
  rotation.load(accounts, new Map([[1, { hour: used, day: used }]]));
  rotation.enter(seeker);
  return { clock, rotation, said, pace: new Pace({ news, clock, rotation, batch, gap }) };
}

describe("a claim", () => {
  test("is as large as what the accounts can send soon", () => {
    const { pace } = setup();
    expect(pace.next(seeker, 0)).toEqual({ room: 20, waitMs: 0 });
  });

  test("is never larger than a batch", () => {
    const { pace } = setup({ batch: 8 });
    expect(pace.next(seeker, 0)).toEqual({ room: 8, waitMs: 0 });
  });

  test("follows the last one at once when half of the room is free", () => {
    const { pace, rotation } = setup();
    pace.claimed();
    rotation.reserve(seeker, 10);
    expect(pace.next(seeker, 10)).toEqual({ room: 10, waitMs: 0 });
  });

  test("of less than half of the room waits for company, at most four gaps, looking again every gap", async () => {
    const { pace, rotation, clock } = setup();
    rotation.reserve(seeker, 11);
    pace.claimed();
    for (let waited = 0; waited < 4 * gap; waited += gap) {
      expect(pace.next(seeker, 11)).toEqual({ room: 0, waitMs: gap });
      await clock.advance(gap);
    }
    expect(pace.next(seeker, 11)).toEqual({ room: 9, waitMs: 0 });
  });

  test("of little waits one gap only when nothing of the campaign is under way", async () => {
    const { pace, rotation, clock } = setup();
    rotation.reserve(seeker, 15);
    pace.claimed();
    expect(pace.next(seeker, 0)).toEqual({ room: 0, waitMs: gap });
    await clock.advance(gap);
    expect(pace.next(seeker, 0)).toEqual({ room: 5, waitMs: 0 });
  });

  test("waits only for what is left of its patience", async () => {
    const { pace, rotation, clock } = setup();
    rotation.reserve(seeker, 15);
    pace.claimed();
    await clock.advance(gap - 30);
    expect(pace.next(seeker, 0)).toEqual({ room: 0, waitMs: 30 });
  });

  test("of the last mails under a limit does not wait for a room that will not come", () => {
    const { pace } = setup({ accounts: [{ ...account, hourlyLimit: 3 }], used: 1 });
    pace.claimed();
    expect(pace.next(seeker, 0)).toEqual({ room: 2, waitMs: 0 });
  });
});

describe("a campaign that cannot send", () => {
  test("waits exactly until the limit ends, says why once, and goes on by itself", async () => {
    const { pace, clock, said } = setup({ accounts: [{ ...account, hourlyLimit: 3 }], used: 3 });
    expect(pace.next(seeker, 0)).toEqual({ room: 0, waitMs: minutes(10) });
    await clock.advance(minutes(4));
    expect(pace.next(seeker, 0)).toEqual({ room: 0, waitMs: minutes(6) });
    expect(said).toEqual([
      {
        name: "campaign:waiting",
        campaignId: 7,
        reason: "every account has reached its hourly limit or rests",
        seconds: 600,
      },
    ]);
    await clock.advance(minutes(6));
    expect(pace.next(seeker, 0)).toEqual({ room: 3, waitMs: 0 });
  });

  test("says it again when it comes to that a second time", async () => {
    const { pace, rotation, clock, said } = setup({ accounts: [{ ...account, hourlyLimit: 3 }], used: 3 });
    pace.next(seeker, 0);
    await clock.advance(minutes(10));
    pace.next(seeker, 0);
    rotation.reserve(seeker, 3);
    pace.next(seeker, 3);
    expect(said).toMatchObject([{ seconds: 600 }, { seconds: 3600 }]);
  });

  test("waits for a rest to end", () => {
    const { pace, rotation, clock, said } = setup();
    rotation.account(1)?.faulted("connect", false, "?", clock.now(), { restAfterFault: 5000, suspendFor: 60_000 });
    expect(pace.next(seeker, 0)).toEqual({ room: 0, waitMs: 5000 });
    expect(said).toMatchObject([{ reason: "every account rests", seconds: 5 }]);
  });

  test("without any account looks again now and then, and says so", () => {
    const { pace, said } = setup({ accounts: [{ ...account, owner: 2 }] });
    expect(pace.next(seeker, 0)).toEqual({ room: 0, waitMs: seconds(15) });
    expect(said).toMatchObject([{ reason: "no active account belongs to the campaign's owner" }]);
  });

  test("because its mails fill the accounts waits a moment, and says nothing", () => {
    const { pace, rotation, said } = setup();
    rotation.reserve(seeker, 20);
    expect(pace.next(seeker, 20)).toEqual({ room: 0, waitMs: gap });
    expect(said).toEqual([]);
  });

  test("because another campaign has reserved the rest of a limit waits for the limit to end", () => {
    const { pace, rotation, said } = setup({ accounts: [{ ...account, hourlyLimit: 20 }] });
    rotation.reserve({ ...seeker, campaignId: 8 }, 20);
    expect(pace.next(seeker, 0)).toEqual({ room: 0, waitMs: minutes(10) });
    expect(said).toHaveLength(1);
  });
});

describe("a mail that came back because of us", () => {
  test("makes the next claim wait a second, and twice as long each time it happens again", async () => {
    const { pace, clock } = setup();
    for (const rest of [1, 2, 4, 8, 16, 30, 30]) {
      pace.stumbled();
      expect(pace.next(seeker, 0)).toEqual({ room: 0, waitMs: seconds(rest) });
      await clock.advance(seconds(rest) - 1);
      expect(pace.next(seeker, 0)).toEqual({ room: 0, waitMs: 1 });
      await clock.advance(1);
      expect(pace.next(seeker, 0)).toEqual({ room: 20, waitMs: 0 });
    }
  });

  test("counts once, however many of its claim come back with it", async () => {
    const { pace, clock } = setup();
    for (let mails = 0; mails < 20; mails += 1) pace.stumbled();
    expect(pace.next(seeker, 0)).toEqual({ room: 0, waitMs: seconds(1) });
    await clock.advance(seconds(1));
    pace.stumbled();
    expect(pace.next(seeker, 0)).toEqual({ room: 0, waitMs: seconds(2) });
  });

  test("is forgotten once a mail was carried to an answer", async () => {
    const { pace, clock } = setup();
    pace.stumbled();
    await clock.advance(seconds(1));
    pace.stumbled();
    await clock.advance(seconds(2));
    pace.went();
    pace.stumbled();
    expect(pace.next(seeker, 0)).toEqual({ room: 0, waitMs: seconds(1) });
  });
});
