import type { Socket } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { rowsOf } from "../support/books.js";
import { anAccount, aUser } from "../support/builders.js";
import { aListCampaign, freshScene } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
import { type RawSmtpServer, startRawSmtpServer } from "../support/rawSmtpServer.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { until } from "../support/until.js";

let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await startSandbox();
});
afterAll(() => sandbox.stop());
beforeEach(async () => {
  await freshScene(sandbox);
});

/** What the server does with the second mail of a connection. */
type Reuse = (socket: Socket) => void;

async function aServer(reuse: Reuse): Promise<RawSmtpServer & { readonly sockets: readonly Socket[] }> {
  const sockets: Socket[] = [];
  const raw = await startRawSmtpServer({
    acts: {
      MAIL: (socket) => {
        if (sockets.includes(socket)) return reuse(socket);
        sockets.push(socket);
        socket.write("250 OK\r\n");
      },
    },
  });
  onTestFinished(() => raw.stop());
  return Object.assign(raw, { sockets });
}

const bye: Reuse = (socket) => void socket.end("421 4.4.2 Idle for too long\r\n");
const ways: readonly (readonly [string, Reuse])[] = [
  ["answers the next MAIL with 421 and closes", bye],
  ["closes at the next MAIL without a word", (socket) => void socket.end()],
  ["resets at the next MAIL", (socket) => void socket.resetAndDestroy()],
];

async function anOwnerAt(raw: RawSmtpServer): Promise<number> {
  const owner = await aUser(sandbox);
  await anAccount(sandbox, { server: { port: raw.port }, userId: owner });
  return owner;
}

/** The account's health as a person reads it: no fault was ever noted. */
const faults = () => sandbox.s2("SELECT * FROM smtp_health WHERE last_failure_at IS NOT NULL OR health <> 'healthy'");

describe("a kept session whose server", () => {
  it.each(ways)("%s: the mail goes on a new connection, and the account is not blamed", async (_what, reuse) => {
    const raw = await aServer(reuse);
    const owner = await anOwnerAt(raw);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: 6 });
    const daemon = await startDaemon(sandbox, { smtp: { maxConnectionsPerAccount: 1 } });
    expect(await daemon.news.next("campaign:completed")).toMatchObject({ sent: 6 });
    expect((await daemon.term()).code).toBe(0);
    expect((await rowsOf(sandbox, campaign)).map((row) => `${row.status} ${row.attempt_count}`)).toEqual(
      Array.from({ length: 6 }, () => "success 1"),
    );
    expect(raw.connections).toBe(6);
    expect(raw.steps.filter((step) => step === "dot")).toHaveLength(6);
    expect(daemon.news.all("account:rested")).toEqual([]);
    expect(daemon.news.all("mail:released")).toEqual([]);
    expect(await faults()).toEqual([]);
    await daemon.assertCleanTermination();
  });

  it.each([
    ["closes while it is idle", (socket: Socket) => void socket.end()],
    ["says 421 while it is idle", bye],
  ])("%s: the next mail goes on a new connection", async (_what, close) => {
    const raw = await aServer(() => undefined);
    const owner = await anOwnerAt(raw);
    await aListCampaign(sandbox, { owner, addresses: 1 });
    const daemon = await startDaemon(sandbox);
    await daemon.news.next("campaign:completed");
    for (const socket of raw.sockets) close(socket);
    await raw.gone();
    await aListCampaign(sandbox, { owner, addresses: 1 });
    expect(await daemon.news.next("campaign:completed")).toMatchObject({ sent: 1 });
    expect((await daemon.term()).code).toBe(0);
    expect(raw.connections).toBe(2);
    expect(daemon.news.all("account:rested")).toEqual([]);
    expect(daemon.news.all("mail:released")).toEqual([]);
    expect(await faults()).toEqual([]);
  });

  it("refuses a fresh connection's first MAIL with 421 is still one whose account rests", async () => {
    const raw = await startRawSmtpServer({ acts: { MAIL: "421 4.3.2 Shutting down" } });
    onTestFinished(() => raw.stop());
    await aListCampaign(sandbox, { owner: await anOwnerAt(raw), addresses: 3 });
    const daemon = await startDaemon(sandbox);
    expect(await daemon.news.next("account:rested")).toMatchObject({ class: "rate" });
    await until("its fault in smtp_health", async () => (await faults()).length === 1);
    expect((await daemon.term()).code).toBe(0);
    await daemon.assertCleanTermination();
  });
});
