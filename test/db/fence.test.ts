import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { giveLeaseBack, leaseHolder, renewLease, takeLease } from "../../src/db/fence.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { beside, lead, type Setup, setup, waitsForLock } from "./setup.js";

let sandbox: Sandbox;
let t: Setup;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(async () => {
  t = await setup(sandbox);
  return () => t.end();
});
afterAll(() => sandbox.stop());

const take = (owner: string, predecessor = owner) =>
  t.crm.transaction("lease.takeOver", async (run) => (await takeLease(run, owner, predecessor, 30_000))?.epoch);
const expire = () => t.s2("UPDATE campaignd_lease SET expires_at = UTC_TIMESTAMP() - INTERVAL 1 SECOND");
const epoch = async () => (await t.s2<{ epoch: number }>("SELECT epoch FROM campaignd_fence"))[0]?.epoch;

const HOLD_FENCE = "SELECT epoch FROM campaignd_fence LOCK IN SHARE MODE";

async function renew(owner: string): Promise<boolean> {
  const session = await t.servers.crm.pool.open();
  try {
    return await renewLease(session, owner, 30_000, 3000);
  } finally {
    await t.servers.crm.pool.close(session);
  }
}

describe("the lease", () => {
  it("is taken by the first who asks, and draws an epoch", async () => {
    expect(await take("a")).toBe(1);
    expect(await leaseHolder(t.crm)).toEqual({ owner: "a", seconds: expect.closeTo(30, 0) });
  });

  it("is refused to a second daemon, which draws no epoch", async () => {
    await take("a");
    expect(await take("b")).toBeUndefined();
    expect(await leaseHolder(t.crm)).toMatchObject({ owner: "a" });
    expect(await epoch()).toBe(1);
  });

  it("is free once it has run out by the database's own clock", async () => {
    await take("a");
    await expire();
    expect(await take("b")).toBe(2);
    expect(await leaseHolder(t.crm)).toMatchObject({ owner: "b" });
  });

  it("is handed to the successor of the daemon that held it at once", async () => {
    await take("a");
    expect(await take("b", "a")).toBe(2);
    expect(await take("c", "a")).toBeUndefined();
  });

  it("is taken again by the same owner with the next epoch, which tells it that nobody led meanwhile", async () => {
    const first = await lead(t.crm, "a");
    expect(await take("a")).toBe(first + 1);
  });

  it("tells whether anybody else has led since its owner did, also when the answer to an earlier take was lost", async () => {
    const ask = (owner: string) =>
      t.crm.transaction("lease.takeOver", async (run) => (await takeLease(run, owner, owner, 30_000))?.wasOurs);
    expect(await ask("a")).toBe(false);
    expect(await ask("a")).toBe(true);
    await expire();
    expect(await ask("a")).toBe(true);
    await expire();
    expect(await ask("b")).toBe(false);
    await expire();
    expect(await ask("a")).toBe(false);
  });

  it("given back lets the next daemon start without waiting", async () => {
    await take("a");
    await giveLeaseBack(t.crm, "a");
    expect(await take("b")).toBe(2);
  });

  it("is not given back by somebody who does not hold it", async () => {
    await take("a");
    await giveLeaseBack(t.crm, "b");
    expect(await take("b")).toBeUndefined();
  });
});

describe("renewing", () => {
  it("prolongs a lease that still holds", async () => {
    await take("a");
    await t.s2("UPDATE campaignd_lease SET expires_at = UTC_TIMESTAMP() + INTERVAL 2 SECOND");
    expect(await renew("a")).toBe(true);
    expect((await leaseHolder(t.crm)).seconds).toBeGreaterThan(20);
  });

  it("fails once the lease has run out, though nobody took it", async () => {
    await take("a");
    await expire();
    expect(await renew("a")).toBe(false);
  });

  it("fails once somebody else has taken it", async () => {
    await take("a");
    await expire();
    await take("b");
    expect(await renew("a")).toBe(false);
    expect(await renew("b")).toBe(true);
  });
});

describe("the fence", () => {
  it("advances only when statements of the old epoch have ended", async () => {
    await take("a");
    await expire();
    await beside(sandbox, HOLD_FENCE, async (query) => {
      const taking = take("b");
      await waitsForLock(t, "fence.advance");
      await query("COMMIT");
      expect(await taking).toBe(2);
    });
  });

  it("lets renewals through while a settle holds it", async () => {
    await take("a");
    await beside(sandbox, HOLD_FENCE, async () => {
      expect(await renew("a")).toBe(true);
    });
  });
});
