import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.js";
import { timed } from "../support/looks.js";
import { type ServerBench, sleeping, startServerBench } from "../support/serverBench.js";
import { until } from "../support/until.js";

let bench: ServerBench;

beforeAll(async () => {
  bench = await startServerBench();
});
afterAll(() => bench.stop());

const ids = async () => (await bench.threads()).map(({ id }) => id);
const pings = async () =>
  Number((await bench.sandbox.s2<{ Value: string }>("SHOW GLOBAL STATUS LIKE 'Com_admin_commands'"))[0]?.Value);

describe("a connection that is lent again", () => {
  it("is not pinged while it was busy a moment ago", async () => {
    const server = await bench.open();
    await server.db.run(sleeping(0));
    const before = await pings();
    for (let i = 0; i < 20; i += 1) await server.db.run(sleeping(0));
    expect(await pings()).toBe(before);
    expect(server.pool.stats()).toMatchObject({ created: 1, destroyed: {} });
  });

  it("is pinged after it was idle for a while", async () => {
    const server = await bench.open({ pool: { pingIdle: "50ms" } });
    await server.db.run(sleeping(0));
    const before = await pings();
    await systemClock.sleep(60); // the idle time under test
    await server.db.run(sleeping(0));
    expect(await pings()).toBe(before + 1);
  });

  it("is replaced when it has been idle for too long, or is too old", async () => {
    const idle = await bench.open({ pool: { idleLimit: "50ms" } });
    await idle.db.run(sleeping(0));
    await systemClock.sleep(60); // the idle time under test
    await idle.db.run(sleeping(0));
    expect(idle.pool.stats().destroyed).toEqual({ idle: 1 });
    await idle.close();

    const old = await bench.open({ pool: { ageLimit: "50ms" } });
    await old.db.run(sleeping(0.06));
    await old.db.run(sleeping(0));
    expect(old.pool.stats().destroyed).toEqual({ old: 1 });
    await old.close();
  });
});

describe("the sweep", () => {
  it("closes what is idle for too long, though nobody asks", async () => {
    const server = await bench.open({ pool: { idleLimit: "100ms", healthEvery: "150ms" } });
    await Promise.all([server.db.run(sleeping(0.05)), server.db.run(sleeping(0.05))]);
    await until("the pool to be empty", async () => server.pool.stats().size === 0, 2000);
    await until("the server to have no thread of ours", async () => (await ids()).length === 0, 2000);
    expect(server.pool.stats().destroyed).toEqual({ idle: 2 });
  });

  it("finds a dead connection before anybody needs it", async () => {
    const server = await bench.open({ pool: { pingIdle: "50ms", healthEvery: "150ms" } });
    await server.db.run(sleeping(0));
    const [thread] = await ids();
    await bench.sandbox.s2(`KILL ${thread}`);
    await until("the dead one to be gone", async () => server.pool.stats().destroyed.lost === 1, 2000);
  });

  it("takes nothing from those who wait", async () => {
    const server = await bench.open({ maxConnections: 4, pool: { healthEvery: "20ms", pingIdle: "1ms" } });
    const all = await Promise.all(Array.from({ length: 30 }, () => timed(server.db.run(sleeping(0.01)))));
    expect(all.filter(({ error }) => error !== undefined)).toEqual([]);
  });
});

describe("the pool", () => {
  it("never has more connections than its share, and says what it does", async () => {
    const server = await bench.open({ maxConnections: 6 });
    const asked = Promise.all(Array.from({ length: 12 }, () => server.db.run(sleeping(0.15))));
    await until("everybody to be served or to wait", async () => server.pool.stats().inUse === 4);
    expect((await ids()).length).toBeLessThanOrEqual(4);
    expect(server.pool.stats()).toMatchObject({ size: 4, inUse: 4, idle: 0, waiting: 8, created: 4, timeouts: 0 });
    await asked;
    const { waitMs, ...rest } = server.pool.stats();
    expect(rest).toMatchObject({ size: 4, inUse: 0, idle: 4, waiting: 0 });
    expect(waitMs.p50).toBeGreaterThan(100);
    expect(waitMs.p99).toBeGreaterThanOrEqual(waitMs.p95);
    expect(waitMs.p99).toBeLessThan(500);
  });

  it("says in a failed wait that all are in use", async () => {
    const server = await bench.open({ maxConnections: 4 });
    const busy = [server.db.run(sleeping(0.8)), server.db.run(sleeping(0.8))];
    const { error, ms } = await timed(server.db.run(sleeping(0)));
    expect(error).toMatchObject({ kind: "unreachable", facts: { timedOut: true } });
    expect(String(error)).toMatch(/no connection to Server 2 \(CRM\) within 500 ms: all are in use/);
    expect(ms).toBeLessThan(550);
    expect(server.pool.stats().timeouts).toBe(1);
    await Promise.all(busy);
  });

  it("drains: what is lent may come back, nothing more is lent, and no thread is left", async () => {
    const server = await bench.open();
    await Promise.all([server.db.run(sleeping(0)), server.db.run(sleeping(0.05))]);
    const asked = timed(server.db.run(sleeping(0.3)));
    const drained = await timed(server.pool.drain(2000));
    expect(drained.ms).toBeGreaterThan(200);
    expect(drained.ms).toBeLessThan(600);
    expect((await asked).error).toBeUndefined();
    expect((await timed(server.db.run(sleeping(0)))).error).toMatchObject({ kind: "stopped" });
    await until("the server to have no thread of ours", async () => (await ids()).length === 0, 2000);
  });

  it("drains within its deadline though a statement never comes back", async () => {
    const server = await bench.open();
    await server.db.run(sleeping(0));
    await server.proxy.set("hole");
    const asked = timed(server.db.run(sleeping(0)));
    const { ms } = await timed(server.pool.drain(300));
    expect(ms).toBeGreaterThan(290);
    expect(ms).toBeLessThan(400);
    expect((await asked).error).toMatchObject({ kind: "unreachable" });
  });
});
