import type { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { deferred } from "../support/deferred.js";
import { envelope, large, open, send, sessions, small } from "../support/smtpSessions.js";

const { login, serve } = sessions();

describe("the gate", () => {
  test("is asked after the 354, while the end of the mail is still here", async () => {
    const raw = await serve();
    const session = await login({ port: raw.port });
    let seen: { steps: readonly string[]; text: string } | undefined;
    const gate = async () => {
      await raw.heard("body");
      seen = { steps: [...raw.steps], text: raw.text };
      return true;
    };
    expect(await send(session, "a@client.example", large, gate)).toMatchObject({ kind: "accepted" });
    expect(seen?.steps).toEqual(["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "body"]);
    expect(seen?.text).not.toContain("The end.");
    expect(raw.text).toContain("The end.\r\n.\r\n");
  });

  test.each([
    ["once for a mail that is taken", "250 OK", 1],
    ["not at all when the recipient is refused", "550 5.1.1 Nobody", 0],
  ])("is asked %s", async (_how, RCPT, times) => {
    const raw = await serve({ acts: { RCPT } });
    const session = await login({ port: raw.port });
    let asked = 0;
    const gate = async () => {
      asked += 1;
      return true;
    };
    await send(session, "a@client.example", large, gate);
    expect(asked).toBe(times);
  });

  test.each([
    ["closed", async () => false],
    ["broken", async () => Promise.reject(new Error("no answer"))],
  ])("that is %s lets nothing out, and the connection is not used again", async (_what, gate) => {
    const raw = await serve();
    const session = await login({ port: raw.port });
    expect(await send(session, "a@client.example", large, gate)).toMatchObject({ kind: "withheld" });
    expect(session.usable).toBe(false);
    await raw.gone();
    expect(raw.steps).not.toContain("dot");
    expect(raw.text).not.toContain("The end.");
  });

  test("that opens after the connection is lost sends nothing", async () => {
    const raw = await serve({ acts: { body: (socket) => socket.resetAndDestroy() } });
    const session = await login({ port: raw.port });
    const answer = deferred<boolean>();
    const verdict = await send(session, "a@client.example", large, () => answer.promise);
    answer.resolve(true);
    expect(verdict).toMatchObject({ kind: "refused", class: "connect" });
    expect(raw.steps).not.toContain("dot");
  });
});

describe("an abort", () => {
  test("before the dot closes the connection at once", async () => {
    const raw = await serve();
    const session = await login({ port: raw.port });
    const stop = new AbortController();
    const sending = session.send(envelope("a@client.example"), large, () => new Promise(() => {}), stop.signal);
    await raw.heard("body");
    stop.abort();
    expect(await sending).toMatchObject({ kind: "withheld" });
    await raw.gone();
    expect(raw.steps).not.toContain("dot");
    expect(session.usable).toBe(false);
  });

  test("while the server is silent does not wait for it", async () => {
    const raw = await serve({ acts: { MAIL: () => undefined } });
    const session = await login({ port: raw.port });
    const stop = new AbortController();
    const sending = session.send(envelope("a@client.example"), small, open, stop.signal);
    await raw.heard("MAIL");
    stop.abort();
    expect(await sending).toMatchObject({ kind: "withheld" });
  });

  test("before the mail begins sends nothing at all", async () => {
    const raw = await serve();
    const session = await login({ port: raw.port });
    const verdict = await session.send(envelope("a@client.example"), small, open, AbortSignal.abort());
    expect(verdict).toMatchObject({ kind: "withheld" });
    await raw.gone();
    expect(raw.steps).not.toContain("MAIL");
  });

  test("after the dot lets the mail land", async () => {
    const stop = new AbortController();
    const dot = (socket: Socket) => {
      stop.abort();
      socket.write("250 2.0.0 Taken\r\n");
    };
    const raw = await serve({ acts: { dot } });
    const session = await login({ port: raw.port });
    const verdict = await session.send(envelope("a@client.example"), small, open, stop.signal);
    expect(verdict).toMatchObject({ kind: "accepted" });
    expect(session.usable).toBe(true);
  });
});
