import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.js";
import { Lending, type LendingOptions } from "../../src/pool/lending.js";
import { freePort } from "../support/freePort.js";
import { timed, watchEventLoop } from "../support/looks.js";

let server: Server;
let open: number;
let closed: number;

beforeAll(async () => {
  server = createServer((socket) => socket.on("error", () => undefined)).listen(0, "127.0.0.1");
  await once(server, "listening");
  open = (server.address() as { port: number }).port;
  closed = await freePort();
});
afterAll(() => void server.close());

/** Lends plain TCP connections to a port. */
function lending(port: () => number, more: Partial<LendingOptions<Socket>> = {}) {
  const dials: number[] = [];
  const pool = new Lending<Socket>({
    what: "socket",
    max: 20,
    acquireTimeout: 500,
    tries: 3,
    pause: () => 0,
    sweepEvery: 60_000,
    clock: systemClock,
    create: async () => {
      dials.push(systemClock.monotonic());
      const socket = connect(port(), "127.0.0.1");
      await once(socket, "connect");
      return socket;
    },
    unfit: async () => undefined,
    destroy: async (socket) => void socket.destroy(),
    worthRetrying: () => true,
    ...more,
  });
  return { pool, dials };
}

const use = (pool: Lending<Socket>, ms = 0) =>
  timed(
    pool.use(
      async () => systemClock.sleep(ms),
      () => undefined,
    ),
  );
const all = (pool: Lending<Socket>, n: number, ms = 0) => Promise.all(Array.from({ length: n }, () => use(pool, ms)));

describe("lending, where generic-pool alone would fail", () => {
  it("dials at a pace when dials are refused, and every timer runs", async () => {
    const { pool, dials } = lending(() => closed, { acquireTimeout: 2000 });
    const loop = watchEventLoop();
    const ends = await all(pool, 20);
    expect(loop.end()).toBeLessThan(50);
    for (const { error, ms } of ends) {
      expect(String(error)).toMatch(/no socket within 2000 ms: connect ECONNREFUSED/);
      expect(ms).toBeLessThan(2100);
    }
    expect(dials.length).toBeGreaterThanOrEqual(3);
    for (const [i, at] of dials.entries()) expect(at - (dials[i - 1] ?? 0)).toBeGreaterThan(i === 0 ? 0 : 490);
    await pool.drain(100);
  });

  it("lets one dial go ahead, and all others follow once it has arrived", async () => {
    const { pool, dials } = lending(() => open);
    const ends = await all(pool, 20, 50);
    expect(ends.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(dials.length).toBe(20);
    expect(Math.max(...ends.map(({ ms }) => ms))).toBeLessThan(300);
    await pool.drain(100);
  });

  it("serves those who still wait as soon as a dial arrives", async () => {
    let port = closed;
    const { pool } = lending(() => port, { acquireTimeout: 3000 });
    const waiting = all(pool, 20);
    await systemClock.sleep(700); // some dials must have been refused
    port = open;
    const ends = await waiting;
    expect(ends.filter(({ error }) => error !== undefined)).toEqual([]);
    await pool.drain(100);
  });

  it("creates nothing while barred, and says the last reason", async () => {
    let barred = false;
    const { pool, dials } = lending(() => closed, { barred: () => barred, failed: () => (barred = true) });
    const loop = watchEventLoop();
    const ends = await all(pool, 20);
    expect(loop.end()).toBeLessThan(50);
    expect(dials.length).toBe(1);
    expect(String(ends[0]?.error)).toMatch(/ECONNREFUSED/);
    await pool.drain(100);
  });

  it("keeps the place of a thing whose check throws", async () => {
    let sick = true;
    const unfit = async () => {
      if (!sick) return undefined;
      sick = false;
      throw new Error("the check itself failed");
    };
    const { pool } = lending(() => open, { max: 1, unfit });
    expect((await use(pool)).error).toBeUndefined();
    expect(pool.stats()).toMatchObject({ size: 1, inUse: 0, destroyed: { lost: 1 } });
    await pool.drain(100);
  });

  it("keeps a place taken until the other side has let go", async () => {
    let letGo = (): void => undefined;
    const gone = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const { pool } = lending(() => open, { max: 1, destroy: () => gone });
    const broken = pool.use(
      async () => undefined,
      () => "timed out",
    );
    await broken;
    expect(String((await use(pool)).error)).toMatch(/all are in use/);
    letGo();
    expect((await use(pool)).error).toBeUndefined();
    expect(pool.stats().destroyed).toEqual({ "timed out": 1 });
    await pool.drain(100);
  });

  it("drains with a deadline, and refuses whoever comes later", async () => {
    const { pool } = lending(() => open);
    const busy = use(pool, 400);
    await use(pool);
    const { ms } = await timed(pool.drain(100));
    expect(ms).toBeGreaterThan(95);
    expect(ms).toBeLessThan(200);
    expect((await use(pool)).error).toMatchObject({ kind: "stopped" });
    expect((await busy).error).toBeUndefined();
  });
});
