import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { timed } from "../support/looks.js";
import { type ServerBench, sleeping, startServerBench } from "../support/serverBench.js";

let bench: ServerBench;

beforeAll(async () => {
  bench = await startServerBench();
});
afterAll(() => bench.stop());

describe("a server that is gone while every connection to it was idle", () => {
  it("is noticed though no place is free to dial from, and used again when it is back", async () => {
    const server = await bench.open({ maxConnections: 4 });
    await Promise.all([server.db.run(sleeping(0.05)), server.db.run(sleeping(0.05))]);
    await server.proxy.set("refuse");
    const asked = await Promise.all(Array.from({ length: 5 }, () => timed(server.db.run(sleeping(0)))));
    for (const { error } of asked) expect(error).toMatchObject({ kind: "unreachable" });
    await server.until("unreachable");
    await server.proxy.set("pass");
    await server.until(undefined);
    await server.db.run(sleeping(0));
    expect(server.edges).toEqual(["unreachable", "recovered"]);
    expect(server.pool.stats()).toMatchObject({ lingering: 0, inUse: 0 });
  });
});
