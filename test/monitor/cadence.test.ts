import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Progress } from "../../src/campaign/progress.js";
import { seconds } from "../../src/clock.js";
import { cadence } from "../../src/monitor/cadence.js";

const steps = { far: seconds(20), middle: seconds(15), near: seconds(10), end: seconds(5) };

/** A campaign with this many mails open of a total. */
const open = (pending: number, total: number): Progress => ({ total, sent: total - pending, failed: 0, pending });

describe("one campaign", () => {
  test.each([
    [5000, 5000, 20],
    [501, 5000, 20],
    [500, 5000, 15],
    [499, 5000, 15],
    [101, 5000, 15],
    [100, 5000, 10],
    [99, 5000, 10],
    [11, 5000, 10],
    [10, 5000, 5],
    [9, 5000, 5],
    [1, 5000, 5],
    [0, 5000, 5],
    [10, 100, 5],
    [11, 100, 20],
    [1, 1, 20],
    [0, 0, 5],
    [2, 10, 20],
    [1, 10, 5],
  ])("with %i of %i mails open is looked at again after %i s", (pending, total, wait) => {
    expect(cadence([open(pending, total)], steps)).toBe(seconds(wait));
  });

  test("counts failed mails as done", () => {
    const progress = { total: 1000, sent: 0, failed: 950, pending: 50 };
    expect(cadence([progress], steps)).toBe(steps.near);
  });
});

describe("several campaigns", () => {
  test("are looked at as often as the one nearest its end wants", () => {
    expect(cadence([open(5000, 5000), open(5, 5000), open(200, 5000)], steps)).toBe(steps.end);
    expect(cadence([open(5000, 5000), open(200, 5000)], steps)).toBe(steps.middle);
  });

  test("that are none are looked for at the slowest pace", () => {
    expect(cadence([], steps)).toBe(steps.far);
  });

  test("never make the pace slower than each of them alone, and always one of the four", () => {
    const progress = fc.integer({ min: 0, max: 3000 }).chain((total) => fc.nat(total).map((left) => open(left, total)));
    fc.assert(
      fc.property(fc.array(progress), (all) => {
        const wait = cadence(all, steps);
        expect(Object.values(steps)).toContain(wait);
        for (const one of all) expect(wait).toBeLessThanOrEqual(cadence([one], steps));
      }),
    );
  });

  test("slow down to the slowest step where a setting makes the steps alike", () => {
    const even = { far: 100, middle: 100, near: 100, end: 100 };
    expect(cadence([open(5, 5000)], even)).toBe(100);
  });
});
