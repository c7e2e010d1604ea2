import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MysqlSession } from "../../src/pool/mysqlSession.js";
import { type FaultProxy, startFaultProxy } from "../support/faultProxy.js";
import { timed } from "../support/looks.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";

/** Every how many bytes a cut is tried: `CUT_STRIDE=1` tries each (a minute). */
const STRIDE = Number(process.env.CUT_STRIDE ?? 5);
const LAST = 4000;
const CONNECT = 500;
const ANSWER = 500;

let sandbox: Sandbox;
let proxy: FaultProxy;

beforeAll(async () => {
  sandbox = await startSandbox();
  proxy = await startFaultProxy(sandbox.crm);
});
afterAll(async () => {
  await proxy.stop();
  await sandbox.stop();
});

/** What a connection does in its life: log in, ask, prepare, ask for several things at once, say good-bye. */
async function life(): Promise<void> {
  const { rootPassword: password } = sandbox.crm;
  const address = { host: "127.0.0.1", port: proxy.port, user: "root", password, database: "CRM" };
  const session = await MysqlSession.open({ address, connectTimeout: CONNECT, packets: true }, () => undefined);
  try {
    await session.query("SELECT REPEAT('x', 1200) AS x", [], ANSWER);
    await session.execute("SELECT ? AS a, REPEAT('y', 800) AS y", [1], ANSWER);
    await session.query("START TRANSACTION; SELECT REPEAT(?, 700) AS z; COMMIT", ["z"], ANSWER);
    if (!(await session.ping(ANSWER))) throw new Error(session.doubt);
  } finally {
    await session.close(ANSWER);
  }
}

describe.each(["server", "client"] as const)("a connection cut after so many bytes of the %s", (of) => {
  it("always ends in an answer or an error, never in waiting", { timeout: 120_000 }, async () => {
    await proxy.set("pass");
    const whole = await timed(life());
    expect(whole.error).toBeUndefined();
    const [slow, ends] = [[] as string[], { answered: 0, failed: 0 }];
    for (let bytes = 1; bytes <= LAST; bytes += STRIDE) {
      await proxy.set({ cutAfter: bytes, of });
      const { error, ms } = await timed(life());
      ends[error === undefined ? "answered" : "failed"] += 1;
      // A cut is seen at once; a deadline would mean that the loss was not noticed.
      if (ms > whole.ms + ANSWER / 2) slow.push(`${bytes} bytes: ${Math.round(ms)} ms, ${String(error)}`);
    }
    expect(slow).toEqual([]);
    expect(ends.failed).toBeGreaterThan(0);
  });
});
