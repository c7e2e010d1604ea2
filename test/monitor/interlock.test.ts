import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { minutes, seconds } from "../../src/clock.js";
import { News } from "../../src/events.js";
import { Interlock } from "../../src/monitor/interlock.js";
import { Conditions } from "../../src/worker/conditions.js";
import { aMail } from "../support/builders.js";
import { type Connected, connected } from "../support/connected.js";
import { ManualClock } from "../support/manualClock.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";

const CAMPAIGN = 7;
const quietFor = minutes(5);
/** Ages are whole seconds of the database's clock, which goes on while a test runs. */
const MARGIN = seconds(10);

let sandbox: Sandbox;
let db: Connected;

beforeAll(async () => {
  sandbox = await startSandbox();
  db = connected(sandbox);
});
afterAll(async () => {
  await db?.end();
  await sandbox?.stop();
});
beforeEach(() => sandbox.freshDatabases());

function setup({ force = false } = {}) {
  const clock = new ManualClock();
  const news = new News();
  const said: string[] = [];
  news.subscribe((name) => said.push(name));
  const conditions = new Conditions(clock);
  const interlock = new Interlock({
    db: db.crm,
    clock,
    news,
    conditions,
    inFlight: new Map(),
    epoch: () => 1,
    staleAfter: minutes(15),
    staleProcessing: "park",
    quietFor,
    force,
    changed: () => undefined,
  });
  const look = (processPid = 0) =>
    interlock.look([
      { statusId: 1, campaignId: CAMPAIGN, userId: 1, processPid, total: 0, pending: 0, sent: 0, failed: 0 },
    ]);
  return { clock, conditions, said, look };
}

const aForeignRow = (age: number) => aMail(sandbox, { campaign: CAMPAIGN, status: "processing", age });
/** The legacy sender's row has its result. */
const itEnds = () => sandbox.s2("UPDATE mail_blaster SET status = 'success'");

describe("a foreign row in processing", () => {
  it("stops sending until quietFor has passed since the row turned, not since it was looked at", async () => {
    const { clock, conditions, said, look } = setup();
    await aForeignRow(minutes(3));
    await look();
    expect(conditions.blocked()).toMatch(/legacy sender is alive/);
    await itEnds();
    await clock.advance(minutes(2) - MARGIN);
    await look();
    expect(conditions.blocked()).toBeDefined();
    await clock.advance(MARGIN);
    await look();
    expect(conditions.blocked()).toBeUndefined();
    expect(said).toEqual(["legacy:seen", "legacy:gone"]);
  });

  it("that stays does not prolong the rest by being looked at again", async () => {
    const { clock, conditions, said, look } = setup();
    const row = await aForeignRow(minutes(3));
    const older = (ms: number) =>
      sandbox.s2("UPDATE mail_blaster SET updated_at = updated_at - INTERVAL ? SECOND WHERE id = ?", [ms / 1000, row]);
    await look();
    for (let passed = 0; passed < minutes(2); passed += seconds(20)) {
      expect(conditions.blocked()).toBeDefined();
      await clock.advance(seconds(20));
      await older(seconds(20));
      await look();
    }
    expect(conditions.blocked()).toBeUndefined();
    expect(said).toEqual(["legacy:seen", "legacy:gone"]);
  });

  it("older than quietFor proves nothing", async () => {
    const { conditions, said, look } = setup();
    await aForeignRow(quietFor + MARGIN);
    await look();
    expect(conditions.blocked()).toBeUndefined();
    expect(said).toEqual([]);
  });

  it("newer than the last one prolongs the rest", async () => {
    const { clock, conditions, look } = setup();
    await aForeignRow(minutes(4));
    await look();
    await aForeignRow(0);
    await look();
    await itEnds();
    await clock.advance(quietFor - MARGIN);
    await look();
    expect(conditions.blocked()).toBeDefined();
    await clock.advance(MARGIN);
    await look();
    expect(conditions.blocked()).toBeUndefined();
  });

  it("is said but holds nothing back where takeover.force is set", async () => {
    const { conditions, said, look } = setup({ force: true });
    await aForeignRow(0);
    await look();
    expect(conditions.blocked()).toBeUndefined();
    expect(said).toEqual(["legacy:seen"]);
  });
});

describe("process_pid", () => {
  it("stops sending for quietFor when it changes between two looks, and an old value proves nothing", async () => {
    const { clock, conditions, look } = setup();
    await look(100);
    expect(conditions.blocked()).toBeUndefined();
    await look(200);
    expect(conditions.blocked()).toMatch(/changed from 100 to 200/);
    await clock.advance(quietFor - 1);
    await look(200);
    expect(conditions.blocked()).toBeDefined();
    await clock.advance(1);
    await look(200);
    expect(conditions.blocked()).toBeUndefined();
  });
});
