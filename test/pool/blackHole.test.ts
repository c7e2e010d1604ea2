import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.js";
import type { CampaigndError } from "../../src/errors.js";
import { timed, watchEventLoop, watchHighest } from "../support/looks.js";
import { type OpenServer, type ServerBench, sleeping, startServerBench } from "../support/serverBench.js";
import { until } from "../support/until.js";

const SHARE = 20;
const LENT = SHARE - 2;
const STATEMENTS = 60;

let bench: ServerBench;

beforeAll(async () => {
  bench = await startServerBench();
});
afterAll(() => bench.stop());

/** Opens every connection that may be lent. */
async function warm({ db }: OpenServer): Promise<void> {
  await Promise.all(Array.from({ length: LENT }, () => db.run(sleeping(0.1))));
}

function all({ db }: OpenServer) {
  return Promise.all(Array.from({ length: STATEMENTS }, () => timed(db.run(sleeping(0)))));
}

/** The ways that all statements ended, and their times. */
function byEnd(ends: Awaited<ReturnType<typeof all>>): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  for (const { error, ms } of ends) {
    const message = (error as CampaigndError | undefined)?.message ?? "answered";
    const end = /^no connection/.test(message) ? "waited in vain" : /^no answer/.test(message) ? "no answer" : message;
    groups.set(end, [...(groups.get(end) ?? []), ms]);
  }
  return groups;
}

describe("a black hole", () => {
  it("ends every statement at its deadline and every wait at its own, and serves again within a second of the first good probe", async () => {
    const server = await bench.open();
    await warm(server);
    const highest = watchHighest(async () => (await bench.threads()).length);
    const loop = watchEventLoop();

    await server.proxy.set("hole");
    const ends = byEnd(await all(server));
    expect([...ends.keys()].sort()).toEqual(["no answer", "waited in vain"]);
    const [unanswered, waited] = [ends.get("no answer") ?? [], ends.get("waited in vain") ?? []];
    expect([unanswered.length, waited.length]).toEqual([LENT, STATEMENTS - LENT]);
    expect(Math.min(...unanswered)).toBeGreaterThan(990);
    expect(Math.max(...unanswered)).toBeLessThan(1100);
    expect(Math.min(...waited)).toBeGreaterThan(490);
    expect(Math.max(...waited)).toBeLessThan(550);
    await server.until("unreachable");

    const refused = await timed(server.db.run(sleeping(0)));
    expect(refused.ms, "an open breaker refuses at once").toBeLessThan(20);

    await server.proxy.set("pass");
    await server.until(undefined);
    const served = await timed(all(server));
    expect(
      byEnd(served.value ?? [])
        .keys()
        .next().value,
    ).toBe("answered");
    expect(served.ms).toBeLessThan(1000);
    expect(server.pool.stats()).toMatchObject({ inUse: 0, waiting: 0, lingering: 0 });
    expect(server.edges).toEqual(["unreachable", "recovered"]);
    expect(await highest.end(), "threads of ours on the server").toBeLessThanOrEqual(SHARE);
    expect(loop.end()).toBeLessThan(50);
  });

  it("counts a lost connection as in use until the server has let go of it", async () => {
    const server = await bench.open();
    await warm(server);
    const highest = watchHighest(async () => (await bench.threads()).length);
    await server.proxy.set("hole");
    await all(server);
    expect(server.pool.stats()).toMatchObject({ lingering: LENT, size: LENT });
    expect((await bench.threads()).length).toBe(LENT);

    // The link opens with everybody waiting in front of the pool, past the breaker: no place may be given out twice.
    await server.proxy.set("pass");
    const uses = Array.from({ length: STATEMENTS }, () =>
      timed(server.pool.use((s) => s.query("DO SLEEP(0.05)", [], 1000))),
    );
    await Promise.all(uses);
    await until("all lost threads to be gone", async () => server.pool.stats().lingering === 0);
    await Promise.all(
      uses.map(() => server.pool.use((s) => s.query("DO SLEEP(0.01)", [], 1000)).catch(() => undefined)),
    );
    expect(await highest.end()).toBeLessThanOrEqual(SHARE);
  });

  it("never lets a late answer reach another caller", async () => {
    const server = await bench.open({ maxConnections: 4 });
    await server.db.run(sleeping(0));
    await server.proxy.set({ slow: 1300 });
    const first = await timed(server.db.run(sleeping(0.01)));
    expect(first.error).toMatchObject({ kind: "unreachable" });
    await server.proxy.set("pass");
    const asked = Array.from({ length: 40 }, (_, i) => i);
    await server.until(undefined);
    const answers = await Promise.all(asked.map((i) => server.pool.use((s) => s.query(`SELECT ${i} AS n`, [], 1000))));
    expect(answers.map((rows) => (rows as { n: number }[])[0]?.n)).toEqual(asked);
  });

  it.each(["holeUp", "holeDown"] as const)(
    "ends a statement at its deadline when only one way is lost (%s)",
    async (way) => {
      const server = await bench.open();
      await server.db.run(sleeping(0));
      await server.proxy.set(way);
      const { ms, error } = await timed(server.db.run(sleeping(0)));
      expect(error).toMatchObject({ kind: "unreachable" });
      expect(ms).toBeGreaterThan(990);
      expect(ms).toBeLessThan(1100);
    },
  );

  it("holds the deadline against an answer that drips in byte by byte", async () => {
    const server = await bench.open();
    await server.db.run(sleeping(0));
    await server.proxy.set({ byteAtATime: 100 });
    const { ms, error } = await timed(server.db.run(sleeping(0)));
    expect(error).toMatchObject({ kind: "unreachable", facts: { timedOut: true } });
    expect(ms).toBeLessThan(1100);
  });

  it("ends a connect whose server greets and then stalls", async () => {
    const server = await bench.open();
    await server.proxy.set({ cutAfter: 1e9 });
    await server.proxy.set("holeUp");
    const { ms, error } = await timed(server.pool.open());
    expect(error).toMatchObject({ code: "ETIMEDOUT" });
    expect(ms).toBeGreaterThan(490);
    expect(ms).toBeLessThan(600);
  });

  it("finds a connection that died in silence by its ping, and the caller never knows", async () => {
    const server = await bench.open({ maxConnections: 4, pool: { pingIdle: "100ms", acquireTimeout: "2s" } });
    await server.db.run(sleeping(0));
    const [thread] = await bench.threads();
    await server.proxy.set("hole");
    await systemClock.sleep(150); // the connection must have been idle for longer than pingIdle
    await server.proxy.set("holeDown");
    const asked = timed(server.db.run(sleeping(0)));
    await systemClock.sleep(50); // its ping is on the way by then
    await server.proxy.set("pass");
    const { error, ms } = await asked;
    expect(error).toBeUndefined();
    expect(ms).toBeGreaterThan(190);
    expect(ms).toBeLessThan(1000);
    expect((await bench.threads()).map(({ id }) => id)).not.toContain(thread?.id);
    expect(server.pool.stats().destroyed).toEqual({ "timed out": 1 });
  });
});
