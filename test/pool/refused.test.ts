import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { after } from "../../src/clock.js";
import { timed, watchEventLoop } from "../support/looks.js";
import { type ServerBench, sleeping, startServerBench } from "../support/serverBench.js";

const WAITERS = 20;

let bench: ServerBench;

beforeAll(async () => {
  bench = await startServerBench();
});
afterAll(() => bench.stop());

describe("a server that refuses connections", () => {
  it("gets under five dials a second from twenty waiters, and timers run on", async () => {
    // A reset comes after the connect, so that the proxy can count; to the pool it is as fast as a refusal.
    const server = await bench.open({ pulse: false });
    await server.proxy.set("rst");
    const loop = watchEventLoop();
    const ends = await Promise.all(Array.from({ length: 5 * WAITERS }, () => timed(server.pool.use(async () => 1))));
    for (const { error, ms } of ends) {
      expect(error).toMatchObject({ kind: "unreachable" });
      expect(String(error)).toMatch(/within 500 ms: .*(ECONNRESET|closed)/);
      expect(ms).toBeGreaterThan(490);
      expect(ms).toBeLessThan(550);
    }
    expect(server.proxy.busiestSecond).toBeLessThan(5);
    expect(loop.end()).toBeLessThan(50);
  });

  it("keeps that pace while waiters come again and again, probes among them", async () => {
    const server = await bench.open();
    await server.proxy.set("rst");
    let done = false;
    after(3000, () => {
      done = true;
    });
    const keepAsking = async () => {
      while (!done) await server.pool.use(async () => 1).catch(() => undefined); // past the breaker
    };
    await Promise.all(Array.from({ length: WAITERS }, keepAsking));
    expect(server.proxy.connects).toBeGreaterThan(3);
    expect(server.proxy.busiestSecond).toBeLessThan(5);
  });

  it("says in every failed wait why none could be had", async () => {
    const server = await bench.open({ pulse: false });
    await server.proxy.set("refuse");
    const loop = watchEventLoop();
    const ends = await Promise.all(Array.from({ length: WAITERS }, () => timed(server.db.run(sleeping(0)))));
    for (const { error } of ends) expect(String(error)).toMatch(/ECONNREFUSED/);
    expect(loop.end()).toBeLessThan(50);
    expect(server.db.breaker.state).toBe("unreachable");
  });

  it("serves two hundred statements as soon as it listens again", async () => {
    const server = await bench.open();
    await server.proxy.set("refuse");
    await Promise.all(Array.from({ length: WAITERS }, () => timed(server.db.run(sleeping(0)))));
    await server.proxy.set("pass");
    await server.until(undefined);
    const served = await timed(Promise.all(Array.from({ length: 200 }, () => server.db.run(sleeping(0)))));
    expect(served.error).toBeUndefined();
    expect(served.ms).toBeLessThan(1000);
  });

  it("is left alone when it has no connection to spare, and is used again when it has", async () => {
    const server = await bench.open();
    const { s2 } = bench.sandbox;
    const [before] = await s2<{ n: number }>("SELECT @@max_connections AS n");
    // The administrator's own pool keeps a few, and one more may come in as SUPER.
    await s2("SET GLOBAL max_connections = 10");
    const others = await Promise.all(Array.from({ length: 12 }, () => bench.sandbox.crm.root().catch(() => undefined)));
    try {
      const { error } = await timed(server.db.run(sleeping(0)));
      expect(error).toMatchObject({ kind: "unreachable" });
      expect(String(error)).toMatch(/Too many connections/);
      expect(server.proxy.busiestSecond).toBeLessThan(5);
    } finally {
      for (const other of others) other?.destroy();
      await s2(`SET GLOBAL max_connections = ${before?.n}`);
    }
    await server.until(undefined);
    await server.db.run(sleeping(0));
  });
});
