import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { lockStateDir, type StateDir } from "../../src/daemon/stateDir.js";
import { askInstance, type Instance, lockName } from "../../src/health/instance.js";
import { timed } from "../support/looks.js";

let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "campaignd-state-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const well: Instance = { pid: 4711, state: "ok", reasons: [] };

async function lock(): Promise<StateDir> {
  const held = await lockStateDir(dir, () => well);
  onTestFinished(() => held.release());
  return held;
}

/** A client that never ends its side; ends when the daemon's word has arrived. */
async function aCaller(): Promise<{ socket: Socket; gone: Promise<void> }> {
  const socket = connect({ path: lockName(dir), allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("error", () => undefined); // to be cut is what it is here for
  await new Promise<void>((resolve) => socket.once("data", () => resolve()));
  return { socket, gone };
}

describe("the lock of stateDir", () => {
  it("is given back at once although a client holds its connection open", async () => {
    const held = await lock();
    const { socket, gone } = await aCaller();
    const { ms } = await timed(held.release());
    expect(ms).toBeLessThan(500);
    socket.end();
    await gone;
    expect(await askInstance(dir)).toBeUndefined();
    await lock();
  });

  it("answers as many as ask, at once and one after the other, without a warning", async () => {
    const warnings: string[] = [];
    const heard = (warning: Error) => void warnings.push(warning.message);
    process.on("warning", heard);
    onTestFinished(() => void process.off("warning", heard));
    await lock();
    const answers = await Promise.all(Array.from({ length: 15 }, () => askInstance(dir)));
    for (let i = 0; i < 15; i += 1) answers.push(await askInstance(dir));
    expect(answers).toEqual(Array.from({ length: 30 }, () => well));
    expect(warnings).toEqual([]);
  });

  it("is refused while it is held, and free for the next one afterwards, which learns its predecessor", async () => {
    const first = await lock();
    await expect(lockStateDir(dir, () => well)).rejects.toMatchObject({ kind: "stopped" });
    await first.release();
    expect((await lock()).predecessor).toBe(first.owner);
  });
});
