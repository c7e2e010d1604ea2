import { describe, expect, test } from "vitest";
import { minutes, seconds } from "../src/clock.js";
import { Loop } from "../src/loop.js";
import { deferred } from "./support/deferred.js";
import { idle, ManualClock } from "./support/manualClock.js";

/** A loop whose ticks take no time and nap ten seconds, unless `tick` says otherwise. */
function setup(tick: (n: number) => number | Promise<number> = () => seconds(10)) {
  const clock = new ManualClock();
  const ticks: number[] = [];
  const failures: unknown[] = [];
  const loop = new Loop({
    name: "test",
    clock,
    tick: async () => {
      ticks.push(clock.monotonic());
      return tick(ticks.length);
    },
    failed: (error) => {
      failures.push(error);
      return seconds(3);
    },
  });
  return { clock, loop, ticks, failures };
}

describe("a loop", () => {
  test("ticks at once, then after each nap that its tick asked for", async () => {
    const { clock, loop, ticks } = setup((n) => seconds(n));
    loop.start();
    await clock.advance(seconds(6));
    expect(ticks).toEqual([0, seconds(1), seconds(3), seconds(6)]);
    await loop.stop();
  });

  test("naps after its tick has ended, so that ticks never overlap", async () => {
    const slow = deferred<number>();
    const { clock, loop, ticks } = setup((n) => (n === 1 ? slow.promise : seconds(10)));
    loop.start();
    await clock.advance(minutes(5));
    expect(ticks).toEqual([0]);
    slow.resolve(seconds(10));
    await idle();
    await clock.advance(seconds(10));
    expect(ticks).toEqual([0, minutes(5) + seconds(10)]);
    await loop.stop();
  });

  test("ticks again at once when the tick asks for no nap", async () => {
    const { clock, loop, ticks } = setup((n) => (n < 5 ? 0 : seconds(10)));
    loop.start();
    await clock.asleep();
    expect(ticks).toEqual([0, 0, 0, 0, 0]);
    await loop.stop();
  });

  test("is one, however often it is started", async () => {
    const { clock, loop, ticks } = setup();
    loop.start();
    loop.start();
    await clock.advance(seconds(10));
    expect(ticks).toHaveLength(2);
    await loop.stop();
  });

  test("naps in steps of a second at most, so that a machine that slept does not oversleep", async () => {
    const { clock, loop } = setup(() => minutes(5));
    const naps: number[] = [];
    const sleep = clock.sleep.bind(clock);
    clock.sleep = (ms, signal) => {
      naps.push(ms);
      return sleep(ms, signal);
    };
    loop.start();
    await clock.advance(seconds(5));
    expect(naps.length).toBeGreaterThanOrEqual(5);
    expect(Math.max(...naps)).toBeLessThanOrEqual(seconds(1));
    await loop.stop();
  });

  test("does not care about steps of the wall clock", async () => {
    const { clock, loop, ticks } = setup();
    loop.start();
    await clock.asleep();
    clock.jump(-minutes(60));
    await clock.advance(seconds(10));
    expect(ticks).toEqual([0, seconds(10)]);
    await loop.stop();
  });
});

describe("a tick that throws", () => {
  test("is answered with a nap, and the loop goes on", async () => {
    const { clock, loop, ticks, failures } = setup((n) => {
      if (n === 1) throw new Error("lost");
      return seconds(10);
    });
    loop.start();
    await clock.advance(seconds(3));
    expect(ticks).toEqual([0, seconds(3)]);
    expect(failures).toMatchObject([{ message: "lost" }]);
    await loop.stop();
  });
});

describe("a nudge", () => {
  test("ends the nap", async () => {
    const { clock, loop, ticks } = setup();
    loop.start();
    await clock.advance(seconds(4));
    loop.nudge();
    await idle();
    expect(ticks).toEqual([0, seconds(4)]);
    await loop.stop();
  });

  test("during a tick is not lost: another tick follows at once", async () => {
    const slow = deferred<number>();
    const { clock, loop, ticks } = setup((n) => (n === 1 ? slow.promise : seconds(10)));
    loop.start();
    loop.nudge();
    loop.nudge();
    slow.resolve(seconds(10));
    await clock.asleep();
    expect(ticks).toEqual([0, 0]);
    await loop.stop();
  });

  test("before the start does no harm", async () => {
    const { clock, loop, ticks } = setup();
    loop.nudge();
    expect(ticks).toEqual([]);
    loop.start();
    await clock.asleep();
    expect(ticks).toEqual([0]);
    await loop.stop();
  });
});

describe("a stop", () => {
  test("ends a nap at once, and nothing ticks afterwards", async () => {
    const { clock, loop, ticks } = setup();
    loop.start();
    await clock.asleep();
    await loop.stop();
    loop.nudge();
    await clock.advance(minutes(1));
    expect(ticks).toEqual([0]);
  });

  test("waits for the tick under way", async () => {
    const slow = deferred<number>();
    const { loop } = setup(() => slow.promise);
    loop.start();
    let stopped = false;
    const stopping = loop.stop().then(() => {
      stopped = true;
    });
    await idle();
    expect(stopped).toBe(false);
    slow.resolve(seconds(10));
    await stopping;
  });

  test("of a loop that never started ends at once, and it never ticks", async () => {
    const { clock, loop, ticks } = setup();
    await loop.stop();
    loop.start();
    await clock.advance(minutes(1));
    expect(ticks).toEqual([]);
  });
});
