import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { backoff, retry, spread } from "../src/backoff.js";
import type { Clock } from "../src/clock.js";
import { CampaigndError, isKind } from "../src/errors.js";

const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const span = fc.integer({ min: 1, max: 86_400_000 });

describe("backoff", () => {
  test("is never negative, never above max and never above the doubled first wait", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), span, span, chance, (attempt, first, max, drawn) => {
        const wait = backoff(attempt, { first, max }, () => drawn);
        expect(wait).toBeGreaterThanOrEqual(0);
        expect(wait).toBeLessThanOrEqual(Math.min(max, first * 2 ** (attempt - 1)));
      }),
    );
  });

  test("fills its whole span, so that waiters do not return together", () => {
    const policy = { first: 100, max: 1000 };
    expect(backoff(3, policy, () => 0)).toBe(0);
    expect(backoff(3, policy, () => 0.5)).toBe(200);
    expect(backoff(9, policy, () => 0.5)).toBe(500);
  });

  test("grows by the given factor", () => {
    expect(backoff(3, { first: 100, max: 10_000, factor: 3 }, () => 0.5)).toBe(450);
  });
});

describe("spread", () => {
  test("stays within ± share", () => {
    fc.assert(
      fc.property(span, fc.double({ min: 0, max: 1, noNaN: true }), chance, (ms, share, drawn) => {
        const moved = spread(ms, share, () => drawn);
        expect(moved).toBeGreaterThanOrEqual(ms * (1 - share) - 1e-6 * ms);
        expect(moved).toBeLessThanOrEqual(ms * (1 + share) + 1e-6 * ms);
      }),
    );
  });

  test("moves both ways", () => {
    expect(spread(1000, 0.2, () => 0)).toBe(800);
    expect(spread(1000, 0.2, () => 0.5)).toBe(1000);
  });
});

describe("retry", () => {
  test("returns the first answer and tells each attempt its number", async () => {
    const { clock } = setup();
    const seen: number[] = [];
    const answer = await retry(
      async (attempt) => {
        seen.push(attempt);
        if (attempt < 3) throw lost();
        return "there";
      },
      policy(),
      clock,
    );
    expect(answer).toBe("there");
    expect(seen).toEqual([1, 2, 3]);
  });

  test("throws the last error once the tries are used up", async () => {
    const { clock, naps } = setup();
    let calls = 0;
    const failing = retry(
      async () => {
        calls += 1;
        throw new CampaigndError("unreachable", `failure ${calls}`);
      },
      policy(),
      clock,
    );
    await expect(failing).rejects.toThrow("failure 3");
    expect(calls).toBe(3);
    expect(naps).toHaveLength(2);
  });

  test("does not call again what waiting cannot mend", async () => {
    const { clock, naps } = setup();
    const failing = retry(() => Promise.reject(new CampaigndError("misconfigured", "login refused")), policy(), clock);
    await expect(failing).rejects.toThrow("login refused");
    expect(naps).toEqual([]);
  });

  test("begins no wait that would end after the budget", async () => {
    const { clock, naps, pass } = setup();
    const failing = retry(
      async () => {
        pass(9000);
        throw lost();
      },
      { ...policy(), tries: 50, budget: 10_000 },
      clock,
    );
    await expect(failing).rejects.toThrow("connection lost");
    expect(naps.length).toBeLessThanOrEqual(1);
  });

  test("never waits longer than the policy allows, whatever is drawn", async () => {
    const { clock, naps } = setup();
    await expect(retry(() => Promise.reject(lost()), { ...policy(), tries: 30 }, clock)).rejects.toThrow();
    expect(naps).toHaveLength(29);
    for (const [index, nap] of naps.entries()) expect(nap).toBeLessThanOrEqual(Math.min(400, 100 * 2 ** index));
  });

  test("stops between two attempts when the signal aborts, and keeps the cause", async () => {
    const stop = new AbortController();
    const { clock } = setup(() => stop.abort());
    const error = await retry(() => Promise.reject(lost()), { ...policy(), signal: stop.signal }, clock).catch(
      (thrown: unknown) => thrown,
    );
    expect(isKind(error, "stopped")).toBe(true);
    expect(error).toHaveProperty("cause.message", "connection lost");
  });

  test("does not begin when the signal has aborted already", async () => {
    const { clock } = setup();
    let calls = 0;
    const count = async () => {
      calls += 1;
    };
    const work = retry(count, { ...policy(), signal: AbortSignal.abort() }, clock);
    await expect(work).rejects.toMatchObject({ kind: "stopped" });
    expect(calls).toBe(0);
  });

  test("returns an answer that arrives after the abort, because the work is done", async () => {
    const stop = new AbortController();
    const { clock } = setup();
    const work = async (): Promise<string> => {
      stop.abort();
      return "stored";
    };
    expect(await retry(work, { ...policy(), signal: stop.signal }, clock)).toBe("stored");
  });
});

const policy = () => ({ tries: 3, first: 100, max: 400, retryOn: (error: unknown) => isKind(error, "unreachable") });

const lost = (): CampaigndError => new CampaigndError("unreachable", "connection lost");

/** A clock whose naps end at once and are written down; `pass` lets time go by. */
function setup(onNap: () => void = () => {}) {
  let time = 0;
  const naps: number[] = [];
  const clock: Clock = {
    now: () => time,
    monotonic: () => time,
    sleep: async (ms) => {
      naps.push(ms);
      time += ms;
      onNap();
    },
  };
  const pass = (ms: number): void => {
    time += ms;
  };
  return { clock, naps, pass };
}
