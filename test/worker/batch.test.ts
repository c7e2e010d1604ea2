import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rotation } from "../../src/smtp/rotation.js";
import { Batch, type Claim } from "../../src/worker/batch.js";
import { type Deferred, deferred } from "../support/deferred.js";
import { idle } from "../support/manualClock.js";

interface Setup {
  readonly rows: number;
  readonly window: number;
  /** The mark that the claim itself stored. */
  readonly released?: number;
}

/** A batch whose marks the test answers itself, in the order in which they were asked for. */
function setup({ rows, window, released = Math.min(rows, window) }: Setup) {
  const asked: { mark: number; answer: Deferred<void> }[] = [];
  const batch = new Batch(
    "1.1",
    released,
    () => window,
    (_id, mark) => {
      const answer: Deferred<void> = deferred();
      asked.push({ mark, answer });
      return answer.promise;
    },
  );
  const seats = rotation().reserve({ campaignId: 1, owner: undefined, servers: undefined }, rows);
  for (const [index, seat] of seats.entries()) {
    const before = { mailId: index + 1, status: "pending", updatedAt: 1_763_978_400, attempts: 0 } as const;
    const facts = { mailId: index + 1, campaignId: 1, to: "a@client.example", attempts: 0, failingFor: 0 };
    batch.add({ ...facts, hasEntry: false, before, seat, batch, index });
  }
  const { claims } = batch;
  const claim = (index: number) => claims[index] as Claim;
  const answer = async (index = asked.findLastIndex(() => true)) => {
    asked[index]?.answer.resolve();
    await idle();
  };
  return { batch, claim, asked, answer, marks: () => asked.map(({ mark }) => mark) };
}

function rotation(): Rotation {
  const made = new Rotation({
    connections: 1000,
    horizon: 1000,
    restAfterFault: 1000,
    suspendFor: 1000,
    now: () => 0,
    hourAt: () => ({ date: "2026-11-24", hour: 10 }),
    nextHour: () => 0,
    nextDay: () => 0,
  });
  const limits = { hourlyLimit: 0, dailyLimit: 0 };
  const health = { health: "healthy", failures: 0, suspendedFor: 0 } as const;
  made.load([{ id: 1, email: "a@sender.example", owner: 1, serverId: 1, ...limits, ...health }], new Map());
  return made;
}

/** Whether a promise has ended by now. */
async function ended(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  promise.then(
    () => (done = true),
    () => (done = true),
  );
  await idle();
  return done;
}

describe("a claim", () => {
  test("that its record already releases starts at once", async () => {
    const { batch, claim } = setup({ rows: 10, window: 4 });
    expect(await ended(batch.release(claim(0)))).toBe(true);
  });

  test("beyond the mark starts when the mark is stored, not before", async () => {
    const { batch, claim, answer } = setup({ rows: 10, window: 4 });
    const release = batch.release(claim(5));
    expect(await ended(release)).toBe(false);
    await answer();
    expect(await ended(release)).toBe(true);
    expect(batch.releasedMark).toBe(8);
  });

  test("far beyond the mark moves it as far as it needs", async () => {
    const { batch, claim, answer, marks } = setup({ rows: 100, window: 4 });
    const release = batch.release(claim(49));
    await answer();
    await release;
    expect(marks()).toEqual([50]);
  });

  test("that came while a mark was on its way waits for one of its own, if that was too short", async () => {
    const { batch, claim, answer, marks } = setup({ rows: 100, window: 4 });
    const [near, far] = [batch.release(claim(4)), batch.release(claim(50))];
    await answer();
    expect(await ended(near)).toBe(true);
    expect(await ended(far)).toBe(false);
    await answer();
    await far;
    expect(marks()).toEqual([8, 51]);
  });
});

describe("the mark", () => {
  test("runs ahead: it moves before the rows that it releases are asked for", async () => {
    const { batch, claim, answer, marks } = setup({ rows: 20, window: 4 });
    await batch.release(claim(0));
    expect(marks()).toEqual([8]);
    await answer();
    for (const index of [1, 2, 3, 4]) await batch.release(claim(index));
    expect(marks()).toEqual([8, 12]);
  });

  test("is asked for by one at a time", async () => {
    const { batch, claim, marks } = setup({ rows: 20, window: 4 });
    const releases = [4, 5, 6, 7].map((index) => batch.release(claim(index)));
    await idle();
    expect(marks()).toHaveLength(1);
    releases.forEach((release) => void release.catch(() => undefined));
  });

  test("never goes past the last row, and stops there", async () => {
    const { batch, claim, answer, marks } = setup({ rows: 6, window: 4 });
    await batch.release(claim(0));
    await answer();
    for (const index of [1, 2, 3, 4, 5]) await batch.release(claim(index));
    expect(marks()).toEqual([6]);
  });

  test("is not moved at all for a batch within the window", async () => {
    const { batch, claim, marks } = setup({ rows: 4, window: 4 });
    for (const index of [0, 1, 2, 3]) await batch.release(claim(index));
    expect(marks()).toEqual([]);
  });
});

describe("a mark that cannot be stored", () => {
  test("stops the claim that waits for it, with its error", async () => {
    const { batch, claim, asked } = setup({ rows: 10, window: 4 });
    const release = batch.release(claim(7));
    asked[0]?.answer.reject(new Error("the lease is lost"));
    await expect(release).rejects.toThrow("the lease is lost");
    expect(batch.releasedMark).toBe(4);
  });

  test("is nobody's unhandled rejection when it only ran ahead, and is tried again", async () => {
    const { batch, claim, asked, answer, marks } = setup({ rows: 10, window: 4 });
    await batch.release(claim(0));
    asked[0]?.answer.reject(new Error("lost"));
    await idle();
    const release = batch.release(claim(4));
    await answer();
    await release;
    expect(marks()).toEqual([8, 8]);
  });
});

describe("the rows that are left", () => {
  test("count down with each stored outcome", () => {
    const { batch } = setup({ rows: 3, window: 4 });
    expect(batch.left).toBe(3);
    batch.finish();
    batch.finish();
    expect(batch.left).toBe(1);
    batch.finish();
    expect(batch.left).toBe(0);
  });
});

describe("in whatever order claims start and marks are answered", () => {
  test("no claim starts before a stored mark covers it, marks only grow, and all claims start in the end", async () => {
    const world = fc.record({
      rows: fc.integer({ min: 1, max: 60 }),
      window: fc.integer({ min: 1, max: 20 }),
      order: fc.infiniteStream(fc.nat()),
      failures: fc.infiniteStream(fc.integer({ min: 0, max: 9 })),
    });
    await fc.assert(
      fc.asyncProperty(world, async ({ rows, window, order, failures }) => {
        const { batch, claim, asked } = setup({ rows, window });
        let stored = batch.releasedMark;
        let answered = 0;
        const waiting = Array.from({ length: rows }, (_, index) => index);
        const started = new Set<number>();
        const start = (index: number): Promise<void> =>
          batch.release(claim(index)).then(
            () => {
              expect(stored).toBeGreaterThan(index);
              started.add(index);
            },
            () => void waiting.push(index),
          );
        for (let step = 0; started.size < rows && step < 20 * rows + 100; step += 1) {
          const [next] = waiting.splice(order.next().value % (waiting.length || 1), 1);
          if (next !== undefined) void start(next);
          await Promise.resolve();
          const open = asked[answered];
          if (!open) {
            await idle();
            continue;
          }
          answered += 1;
          expect(open.mark).toBeGreaterThan(stored);
          expect(open.mark).toBeLessThanOrEqual(rows);
          if (failures.next().value === 0) open.answer.reject(new Error("lost"));
          else {
            stored = open.mark;
            open.answer.resolve();
          }
          await idle();
        }
        expect(started.size).toBe(rows);
      }),
      { numRuns: 200 },
    );
  });
});
