import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { doneShare, Tally } from "../../src/campaign/progress.js";

describe("a slice", () => {
  test.each([
    [1, 0],
    [99, 0],
    [100, 0],
    [101, 1],
    [200, 1],
    [201, 2],
  ])("of 100 ids: id %i is in slice %i", (id, slice) => {
    const tally = new Tally(100);
    expect(tally.sliceOf(id)).toBe(slice);
    const { after, upTo } = tally.bounds(slice);
    expect(id).toBeGreaterThan(after);
    expect(id).toBeLessThanOrEqual(upTo);
  });

  test("that is counted anew replaces what memory had of it, and no other", () => {
    const tally = new Tally(100);
    tally.replace(0, { sent: 1, failed: 2, open: 3 });
    tally.replace(1, { sent: 10, failed: 20, open: 30 });
    tally.replace(0, { sent: 4, failed: 2, open: 0 });
    expect(tally.progress()).toEqual({ total: 66, sent: 14, failed: 22, pending: 30 });
  });
});

describe("a settled row", () => {
  test("moves from open to sent or failed, in its own slice", () => {
    const tally = new Tally(100);
    tally.replace(0, { sent: 0, failed: 0, open: 2 });
    tally.replace(1, { sent: 0, failed: 0, open: 1 });
    tally.settle(7, "sent");
    tally.settle(8, "failed");
    expect(tally.progress()).toEqual({ total: 3, sent: 1, failed: 1, pending: 1 });
    tally.replace(0, { sent: 0, failed: 0, open: 0 });
    expect(tally.progress()).toEqual({ total: 1, sent: 0, failed: 0, pending: 1 });
  });
});

describe("the slices to count at a look", () => {
  test("are one in turn when nothing has changed", () => {
    const tally = new Tally(100);
    for (const slice of [0, 3, 5]) tally.replace(slice, { sent: 0, failed: 0, open: 0 });
    const looks = Array.from({ length: 6 }, () => tally.due());
    expect(looks).toEqual([[0], [3], [5], [0], [3], [5]]);
  });

  test("are none while nothing is counted", () => {
    expect(new Tally(100).due()).toEqual([]);
  });

  test("are all that rows were inserted into, until they are counted", () => {
    const tally = new Tally(100);
    tally.inserted(95, 210);
    expect(tally.due()).toEqual([0, 1, 2, 3]);
    for (const slice of [0, 1, 3]) tally.replace(slice, { sent: 0, failed: 0, open: 1 });
    expect(tally.due()).toContain(2);
    tally.replace(2, { sent: 0, failed: 0, open: 1 });
    expect(tally.due()).toHaveLength(1);
  });

  test("name no slice twice", () => {
    const tally = new Tally(100);
    tally.replace(0, { sent: 0, failed: 0, open: 0 });
    tally.inserted(1, 1);
    expect(tally.due()).toEqual([0]);
  });

  test("include that of a row which somebody else changed", () => {
    const tally = new Tally(100);
    for (const slice of [0, 1, 2]) tally.replace(slice, { sent: 0, failed: 0, open: 0 });
    tally.inserted(250, 0);
    expect(tally.due()).toEqual([2, 0]);
  });
});

describe("under any changes", () => {
  const counts = fc.record({ sent: fc.nat(50), failed: fc.nat(50), open: fc.nat(50) });
  const step = fc.oneof(
    fc.record({ do: fc.constant("replace" as const), slice: fc.nat(5), counts }),
    fc.record({
      do: fc.constant("settle" as const),
      id: fc.integer({ min: 1, max: 600 }),
      to: fc.constantFrom("sent" as const, "failed" as const),
    }),
    fc.record({ do: fc.constant("insert" as const), id: fc.integer({ min: 1, max: 600 }), rows: fc.nat(300) }),
    fc.record({ do: fc.constant("look" as const) }),
  );

  test("total = sent + failed + pending, a settle changes no total, and each slice's turn comes", () => {
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const tally = new Tally(100);
        const dirty = new Set<number>();
        for (const act of steps) {
          const before = tally.progress();
          if (act.do === "replace") {
            tally.replace(act.slice, act.counts);
            dirty.delete(act.slice);
          } else if (act.do === "settle") {
            tally.settle(act.id, act.to);
            expect(tally.progress().total).toBe(before.total);
            expect(tally.progress()[act.to]).toBe(before[act.to] + 1);
          } else if (act.do === "insert") {
            tally.inserted(act.id, act.rows);
            expect(tally.progress()).toEqual(before);
            for (let id = act.id; id < act.id + act.rows; id += 1) dirty.add(tally.sliceOf(id));
          } else {
            const due = tally.due();
            for (const slice of dirty) expect(due).toContain(slice);
          }
          const { total, sent, failed, pending } = tally.progress();
          expect(total).toBe(sent + failed + pending);
        }
      }),
    );
  });
});

describe("the share that is done", () => {
  test.each([
    [{ total: 0, sent: 0, failed: 0, pending: 0 }, 1],
    [{ total: 10, sent: 0, failed: 0, pending: 10 }, 0],
    [{ total: 10, sent: 4, failed: 1, pending: 5 }, 0.5],
    [{ total: 10, sent: 9, failed: 1, pending: 0 }, 1],
  ])("of %o is %d", (progress, share) => {
    expect(doneShare(progress)).toBe(share);
  });
});
