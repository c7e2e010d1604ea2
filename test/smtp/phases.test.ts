import type { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import type { Act, RawSmtpOptions } from "../support/rawSmtpServer.js";
import { HASTY, large, PATIENT, send, sessions } from "../support/smtpSessions.js";

const { login, refusal, serve, shutUntilTheEnd } = sessions();

describe.each([true, false])("a server with PIPELINING %s", (pipelining) => {
  const extensions = pipelining ? ["PIPELINING", "AUTH PLAIN"] : ["AUTH PLAIN"];
  const end = (socket: Socket) => void socket.end();
  const reset = (socket: Socket) => void socket.resetAndDestroy();
  const rows: readonly [string, RawSmtpOptions["acts"], object, boolean][] = [
    ["takes the mail", {}, { kind: "accepted" }, true],
    ["refuses MAIL", { MAIL: "550 5.7.1 Not you" }, { kind: "refused", class: "sender" }, false],
    ["says 421 to MAIL", { MAIL: "421 4.7.0 Later" }, { kind: "refused", class: "rate" }, false],
    ["defers RCPT", { RCPT: "450 4.2.1 Busy" }, { kind: "deferred", class: "temporary" }, true],
    ["refuses RCPT", { RCPT: "550 5.1.1 Nobody" }, { kind: "rejected", class: "recipient" }, true],
    ["says 421 to RCPT", { RCPT: "421 4.7.0 Later" }, { kind: "refused", class: "rate" }, false],
    ["ends at RCPT", { RCPT: end }, { kind: "refused", class: "connect" }, false],
    ["resets at MAIL", { MAIL: reset }, { kind: "refused", class: "connect" }, false],
    ["defers DATA", { DATA: "451 4.3.0 Later" }, { kind: "deferred", class: "temporary" }, true],
    ["refuses DATA", { DATA: "554 5.7.1 No" }, { kind: "rejected", class: "recipient" }, true],
    ["says 421 to DATA", { DATA: "421 4.7.0 Later" }, { kind: "refused", class: "rate" }, false],
    ["takes DATA without a recipient", { RCPT: "550 5.1.1 Nobody", DATA: "354 Go on" }, { kind: "rejected" }, true],
    ["defers after the dot", { dot: "452 4.3.1 No room" }, { kind: "deferred", class: "mailbox" }, true],
    ["refuses after the dot", { dot: "550 5.7.1 Spam" }, { kind: "rejected", class: "content" }, true],
    ["says 421 after the dot", { dot: "421 4.3.2 Bye" }, { kind: "refused", class: "rate" }, false],
    ["ends after the dot", { dot: end }, { kind: "unknown" }, false],
    ["resets after the dot", { dot: reset }, { kind: "unknown" }, false],
    ["babbles after the dot", { dot: "what?" }, { kind: "unknown" }, false],
    ["breaks off its 250", { dot: (socket) => socket.end("25") }, { kind: "unknown" }, false],
    ["cannot be reset", { RCPT: "550 5.1.1 Nobody", RSET: "500 What?" }, { kind: "rejected" }, false],
  ];
  test.each(rows)("that %s is understood", async (_what, acts, verdict, usable) => {
    const raw = await serve({ extensions, acts: acts ?? {} });
    const session = await login({ port: raw.port });
    expect(await send(session, "a@client.example")).toMatchObject(verdict);
    expect(session.usable).toBe(usable);
    if (usable) expect(raw.steps.slice(-1)).toEqual([verdictIsAccepted(verdict) ? "dot" : "RSET"]);
  });

  test("that is silent after the dot is unknown within its time", async () => {
    const raw = await serve({ extensions, acts: { dot: () => undefined } });
    const session = await login({ port: raw.port, timeouts: { ...PATIENT, afterDot: 200 } });
    expect(await send(session, "a@client.example")).toMatchObject({ kind: "unknown" });
  });

  test.each<[string, Act]>([
    ["ends", end],
    ["resets", reset],
  ])("that %s in the body has taken nothing", async (_what, body) => {
    const raw = await serve({ extensions, acts: { body } });
    const session = await login({ port: raw.port });
    const verdict = await send(session, "a@client.example", large, shutUntilTheEnd());
    expect(verdict).toMatchObject({ kind: "refused", class: "connect" });
  });

  test.each<[string, object]>([
    ["552 5.3.4 Too big", { kind: "rejected", class: "size" }],
    ["250 2.0.0 Taken", { kind: "refused", class: "protocol" }],
  ])("that says %s in the body is cut off there", async (reply, verdict) => {
    const raw = await serve({ extensions, acts: { body: reply } });
    const session = await login({ port: raw.port });
    expect(await send(session, "a@client.example", large, shutUntilTheEnd())).toMatchObject(verdict);
    await raw.gone();
    expect(session.usable).toBe(false);
    expect(raw.steps).not.toContain("RSET");
    expect(raw.steps).not.toContain("dot");
  });
});

describe("a server that drips", () => {
  test.each([
    ["greeting", "220-still\r\n"],
    ["EHLO", "250-still\r\n"],
    ["AUTH", "235-still\r\n"],
  ] as const)("at %s is given up, however alive it looks", async (step, line) => {
    const raw = await serve({ acts: { [step]: (socket: Socket) => drip(socket, line) } });
    expect(await refusal({ port: raw.port, timeouts: HASTY })).toMatchObject({ kind: "refused", class: "timeout" });
    await raw.gone();
  });

  test("before the dot is given up, and the mail is not sent", async () => {
    const raw = await serve({ acts: { RCPT: (socket) => drip(socket, "250-still\r\n") } });
    const session = await login({ port: raw.port, timeouts: HASTY });
    expect(await send(session, "a@client.example")).toMatchObject({ kind: "refused", class: "timeout" });
    expect(raw.steps).not.toContain("DATA");
  });

  test("after the dot is given up as unknown", async () => {
    const raw = await serve({ acts: { dot: (socket) => drip(socket, "250-still\r\n") } });
    const session = await login({ port: raw.port, timeouts: HASTY });
    expect(await send(session, "a@client.example")).toMatchObject({ kind: "unknown" });
  });
});

describe("a server that babbles without end", () => {
  test.each([
    ["in one line", "x".repeat(65_536)],
    ["in continuation lines", `250-${"x".repeat(1020)}\r\n`.repeat(64)],
  ])("%s is cut off, and memory stays flat", async (_how, piece) => {
    const flood = { written: 0 };
    const raw = await serve({ acts: { EHLO: (socket) => pour(socket, piece, flood) } });
    expect(await refusal({ port: raw.port })).toMatchObject({ kind: "refused", class: "protocol" });
    await raw.gone();
    expect(flood.written).toBeLessThan(32 << 20);
  });

  test("after the dot leaves the mail unknown", async () => {
    const raw = await serve({ acts: { dot: (socket) => pour(socket, "x".repeat(65_536), { written: 0 }) } });
    const session = await login({ port: raw.port });
    expect(await send(session, "a@client.example")).toMatchObject({ kind: "unknown" });
  });
});

const verdictIsAccepted = (verdict: object) => "kind" in verdict && verdict.kind === "accepted";

/** Writes a line every 20 ms for as long as somebody listens. */
function drip(socket: Socket, line: string): void {
  const timer = setInterval(() => socket.write(line), 20);
  socket.once("close", () => clearInterval(timer));
}

/** Writes as fast as the other side reads. */
function pour(socket: Socket, piece: string, flood: { written: number }): void {
  const more = () => {
    while (!socket.destroyed && socket.writable) {
      flood.written += piece.length;
      if (!socket.write(piece)) return;
    }
  };
  socket.on("drain", more);
  more();
}
