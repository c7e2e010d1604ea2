import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { days, minutes } from "../../src/clock.js";
import type { Verdict } from "../../src/smtp/verdict.js";
import { attemptText, judge, MAX_ATTEMPTS, type RetryRules } from "../../src/worker/judge.js";

const rules: RetryRules = {
  backoff: [minutes(5), minutes(15), minutes(45), minutes(120)],
  jitter: 0.2,
  giveUpAfter: days(5),
};

/** Draws the middle of the jitter: the wait as the settings say. */
const middle = () => 0.5;

const accepted: Verdict = { kind: "accepted", reply: "250 2.0.0 Taken" };
const deferred: Verdict = { kind: "deferred", class: "greylist", reply: "451 4.7.1 Later" };
const rejected: Verdict = { kind: "rejected", class: "recipient", reply: "550 5.1.1 Nobody" };
const refused: Verdict = { kind: "refused", class: "auth", lasting: true, reply: "535 5.7.8 No" };
const withheld: Verdict = { kind: "withheld", reason: "the gate is closed" };
const unknown: Verdict = { kind: "unknown", why: "no reply after the final dot" };

const every: readonly Verdict[] = [accepted, deferred, rejected, refused, withheld, unknown];
const before = [0, 1, 2, 3, 4];

describe.each(before)("after %i attempts", (attempts) => {
  test.each<[Verdict, object]>([
    [accepted, { kind: "sent", reply: "250 2.0.0 Taken" }],
    [
      rejected,
      { kind: "discarded", class: "recipient", text: `[Attempt ${attempts + 1}] [recipient] 550 5.1.1 Nobody` },
    ],
    [refused, { kind: "released", reason: "auth: 535 5.7.8 No" }],
    [withheld, { kind: "released", reason: "the gate is closed" }],
    [unknown, { kind: "unknown", why: "no reply after the final dot" }],
  ])("%o is judged", (verdict, outcome) => {
    expect(judge(verdict, attempts, 0, rules, middle)).toEqual(outcome);
  });
});

describe("a deferred mail", () => {
  test.each([
    [0, 1, minutes(5)],
    [1, 2, minutes(15)],
    [2, 3, minutes(45)],
    [3, 4, minutes(120)],
  ])(
    "that had %i attempts gets its attempt %i counted and waits its step of the backoff",
    (before, attempts, dueInMs) => {
      const text = `[Attempt ${attempts}] [greylist] 451 4.7.1 Later`;
      expect(judge(deferred, before, 0, rules, middle)).toEqual({
        kind: "retry",
        attempts,
        dueInMs,
        class: "greylist",
        text,
      });
    },
  );

  test.each([4, 5, 9])("that had %i attempts is discarded, as attempt 5", (attempts) => {
    const text = "[Attempt 5] [greylist] 451 4.7.1 Later";
    expect(judge(deferred, attempts, 0, rules, middle)).toEqual({ kind: "discarded", class: "greylist", text });
  });

  test.each([
    [days(5) - 1, "retry"],
    [days(5), "discarded"],
    [days(5) + 1, "discarded"],
  ])("that has failed for %i ms ends as %s", (failingFor, kind) => {
    expect(judge(deferred, 1, failingFor, rules, middle).kind).toBe(kind);
  });

  test("repeats the last step of a backoff that is shorter than the attempts", () => {
    const short = { ...rules, backoff: [minutes(1), minutes(2)] };
    const waits = [0, 1, 2, 3].map((attempts) => judge(deferred, attempts, 0, short, middle));
    expect(waits).toMatchObject([1, 2, 2, 2].map((n) => ({ dueInMs: minutes(n) })));
  });

  test("waits within the jitter, over its whole span", () => {
    expect(judge(deferred, 0, 0, rules, () => 0)).toMatchObject({ dueInMs: minutes(4) });
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3 }), chance, (attempts, drawn) => {
        const step = rules.backoff[attempts] ?? 0;
        const outcome = judge(deferred, attempts, 0, rules, () => drawn);
        const dueInMs = outcome.kind === "retry" ? outcome.dueInMs : -1;
        expect(dueInMs).toBeGreaterThanOrEqual(step * 0.8 - 1);
        expect(dueInMs).toBeLessThanOrEqual(step * 1.2 + 1);
      }),
    );
  });
});

describe("no verdict", () => {
  test("ever counts more attempts than the web application knows", () => {
    fc.assert(
      fc.property(fc.constantFrom(...every), fc.nat(20), fc.nat(days(10)), (verdict, attempts, failingFor) => {
        const outcome = judge(verdict, attempts, failingFor, rules);
        if (outcome.kind === "retry") expect(outcome.attempts).toBeLessThan(MAX_ATTEMPTS);
        if ("text" in outcome) expect(outcome.text).toMatch(/^\[Attempt [1-5]\] \[/);
      }),
    );
  });

  test("charges the mail for what is the account's or our own doing", () => {
    for (const verdict of [refused, withheld]) {
      for (const attempts of before) {
        expect(judge(verdict, attempts, days(30), rules, middle).kind).toBe("released");
      }
    }
  });
});

test("the text of an attempt has the form that readers of error_message know", () => {
  expect(attemptText(2, "mailbox", "452 4.2.2 Full")).toBe("[Attempt 2] [mailbox] 452 4.2.2 Full");
  expect(attemptText(7, "mailbox", "x")).toBe("[Attempt 5] [mailbox] x");
});
