import { mkdtemp, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Act } from "../support/rawSmtpServer.js";
import { type SmtpServer, startSmtpServer } from "../support/smtpServer.js";
import { HASTY, large, open, PATIENT, send, sessions, small, user } from "../support/smtpSessions.js";

let dir: string;
let server: SmtpServer;
const { login, refusal, serve, shutUntilTheEnd } = sessions(() => server.plainPort);

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "campaignd-session-"));
  server = await startSmtpServer({ dir });
});

afterAll(async () => {
  await server?.stop();
  await rm(dir, { recursive: true, force: true });
});

describe("a mail to a real server", () => {
  test("is accepted and arrives as it was composed", async () => {
    const session = await login();
    const verdict = await send(session, "ok.first@client.example", large);
    expect(verdict).toMatchObject({ kind: "accepted", reply: expect.stringMatching(/^250 2\.0\.0/) });
    const [mail] = await arrived("ok.first@client.example");
    expect(mail).toMatchObject({ from: user, user, port: "plain", raw: large.toString("latin1") });
  });

  test.each([
    ["550@client.example", { kind: "rejected", class: "recipient" }],
    ["451@client.example", { kind: "deferred", class: "temporary" }],
    ["452@client.example", { kind: "deferred", class: "mailbox" }],
    ["data-451@client.example", { kind: "deferred", class: "temporary" }],
    ["data-552@client.example", { kind: "rejected", class: "size" }],
    ["data-554@client.example", { kind: "rejected", class: "content" }],
  ])("to %s is refused, and the connection takes the next one after RSET", async (to, verdict) => {
    const session = await login();
    expect(await send(session, to)).toMatchObject(verdict);
    expect(session.usable).toBe(true);
    expect(await send(session, `ok.after-${to}`)).toMatchObject({ kind: "accepted" });
    expect(session.messages).toBe(2);
    expect(await arrived(to)).toEqual([]);
    expect(await arrived(`ok.after-${to}`)).toHaveLength(1);
  });

  test("is greylisted first and taken later, on the same connection", async () => {
    const session = await login();
    const to = "greylist-2.session@client.example";
    expect(await send(session, to)).toMatchObject({ kind: "deferred", class: "greylist" });
    expect(await send(session, to)).toMatchObject({ kind: "deferred", class: "greylist" });
    expect(await send(session, to)).toMatchObject({ kind: "accepted" });
  });

  test("may be answered late", async () => {
    const session = await login({ timeouts: { ...PATIENT, command: 1000 } });
    expect(await send(session, "slow-1500ms@client.example")).toMatchObject({ kind: "accepted" });
    expect(session.usable).toBe(true);
  });

  test.each(["drop-after-dot", "rst-before-250", "mute-after-dot"])(
    "is unknown after %s, and arrived once",
    async (script) => {
      const to = `${script}@client.example`;
      const session = await login({ timeouts: { ...PATIENT, afterDot: 300 } });
      expect(await send(session, to)).toMatchObject({ kind: "unknown", why: expect.stringMatching(/final dot/) });
      expect(session.usable).toBe(false);
      expect(await arrived(to)).toHaveLength(1);
    },
  );

  test("is unknown after lost-after-dot, and never arrived", async () => {
    const session = await login();
    expect(await send(session, "lost-after-dot@client.example")).toMatchObject({ kind: "unknown" });
    expect(session.usable).toBe(false);
    expect(await arrived("lost-after-dot@client.example")).toEqual([]);
  });

  test("that is cut off in its body was provably not sent", async () => {
    const session = await login();
    const verdict = await send(session, "drop-in-data@client.example", large, shutUntilTheEnd());
    expect(verdict).toMatchObject({ kind: "refused", class: "connect" });
    expect(session.usable).toBe(false);
    expect(await arrived("drop-in-data@client.example")).toEqual([]);
  });

  test("of a sender that the server turns away is the account's fault", async () => {
    const session = await login();
    const from = "mail-550@sender.example";
    const verdict = await session.send({ from, to: "ok@client.example" }, small, open, new AbortController().signal);
    expect(verdict).toMatchObject({ kind: "refused", class: "sender", lasting: true });
  });

  test("of more than the server's SIZE is the mail's fault, before a byte of it is sent", async () => {
    const raw = await serve({ extensions: ["SIZE 100", "AUTH PLAIN"] });
    const session = await login({ port: raw.port });
    expect(await send(session, "a@client.example", large)).toMatchObject({ kind: "rejected", class: "size" });
    expect(raw.steps).not.toContain("MAIL");
    expect(session.usable).toBe(true);
  });
});

describe("a session", () => {
  test("speaks TLS from the first byte", async () => {
    const session = await login({ port: server.tlsPort, encryption: "ssl", caFile: server.caFile });
    await send(session, "ok.tls@client.example");
    expect(await arrived("ok.tls@client.example")).toMatchObject([{ port: "tls" }]);
  });

  test.each(["tls", ""] as const)(
    "with encryption '%s' upgrades by STARTTLS where the server offers it",
    async (encryption) => {
      const session = await login({ port: server.starttlsPort, encryption, caFile: server.caFile, clearLogin: false });
      const to = `ok.starttls-${encryption}@client.example`;
      await send(session, to);
      expect(await arrived(to)).toMatchObject([{ port: "starttls" }]);
    },
  );

  test("that requires STARTTLS is refused where the server offers none, and no password goes out", async () => {
    const raw = await serve();
    expect(await refusal({ port: raw.port, encryption: "tls" })).toMatchObject({ kind: "refused", class: "tls" });
    expect(raw.steps).not.toContain("AUTH");
  });

  test.each<[string, Act]>([
    ["is refused", "454 4.7.0 TLS not available"],
    ["breaks", breakHandshake],
  ])("never falls back to clear text when STARTTLS %s", async (_how, act) => {
    const raw = await serve({ extensions: ["STARTTLS", "AUTH PLAIN"], acts: { STARTTLS: act } });
    expect(await refusal({ port: raw.port })).toMatchObject({ kind: "refused", class: "tls" });
    expect(raw.steps).not.toContain("AUTH");
    expect(raw.connections).toBe(1);
  });

  test("does not wait for ever for a TLS handshake", async () => {
    const raw = await serve({ extensions: ["STARTTLS"] });
    expect(await refusal({ port: raw.port, timeouts: HASTY })).toMatchObject({ kind: "refused", class: "timeout" });
  });

  test("refuses a certificate that nobody vouches for, unless told not to look", async () => {
    const port = server.tlsPort;
    expect(await refusal({ port, encryption: "ssl" })).toMatchObject({ kind: "refused", class: "tls", lasting: true });
    const starttls = await refusal({ port: server.starttlsPort, encryption: "tls" });
    expect(starttls).toMatchObject({ kind: "refused", class: "tls", lasting: true });
    const session = await login({ port, encryption: "ssl", verify: false });
    expect(session.usable).toBe(true);
  });

  test("refuses TLS where the port speaks none", async () => {
    const verdict = await refusal({ port: server.plainPort, encryption: "ssl" });
    expect(verdict).toMatchObject({ kind: "refused", class: "tls" });
  });

  test.each([
    ["auth-fails@sender.example", "pw-auth-fails@sender.example", true],
    ["auth-temp@sender.example", "pw-auth-temp@sender.example", false],
    [user, "wrong", true],
  ])("of %s is not opened with the password %s", async (who, password, lasting) => {
    expect(await refusal({ user: who, password })).toMatchObject({ kind: "refused", class: "auth", lasting });
  });

  test("sends no password in clear unless that is allowed", async () => {
    const raw = await serve();
    const verdict = await refusal({ port: raw.port, clearLogin: false });
    expect(verdict).toMatchObject({ kind: "refused", class: "auth", reply: expect.stringMatching(/smtp\.clearLogin/) });
    expect(raw.steps).not.toContain("AUTH");
  });

  test("goes without login where the server offers none, and says so", async () => {
    const raw = await serve({ extensions: [] });
    const session = await login({ port: raw.port, clearLogin: false });
    expect(session.anonymous).toBe(true);
    expect(await send(session, "a@client.example")).toMatchObject({ kind: "accepted" });
    expect(raw.steps).toEqual(["EHLO", "MAIL", "RCPT", "DATA", "body", "dot"]);
  });

  test("knows whether the server takes addresses beyond ASCII", async () => {
    const [with8, without] = [await serve({ extensions: ["SMTPUTF8", "AUTH PLAIN"] }), await serve()];
    expect((await login({ port: with8.port })).takesUtf8).toBe(true);
    expect((await login({ port: without.port })).takesUtf8).toBe(false);
  });

  test("is refused by a closed port and by a name that nobody knows", async () => {
    const raw = await serve();
    await raw.stop();
    expect(await refusal({ port: raw.port })).toMatchObject({ kind: "refused", class: "connect", lasting: false });
    const nowhere = await refusal({ host: "nowhere.invalid" });
    expect(nowhere).toMatchObject({ kind: "refused", class: "dns", reply: expect.stringMatching(/nowhere\.invalid/) });
  });

  test.each<[string, Act, object]>([
    ["554", "554 5.7.1 Blocked", { class: "protocol", lasting: true }],
    ["421", "421 4.7.0 Too many connections", { class: "rate", lasting: false }],
    ["FIN", (socket) => socket.end(), { class: "connect" }],
    ["RST", (socket) => socket.resetAndDestroy(), { class: "connect" }],
    ["nonsense", "HTTP/1.1 400 Bad Request", { class: "protocol" }],
  ])("greeted with %s is refused", async (_what, greeting, verdict) => {
    const raw = await serve({ acts: { greeting } });
    expect(await refusal({ port: raw.port })).toMatchObject({ kind: "refused", ...verdict });
  });

  test("that the server ends while idle is not used again", async () => {
    const sockets: Socket[] = [];
    const raw = await serve({
      acts: {
        RSET: "250 OK",
        dot: (socket) => {
          sockets.push(socket);
          socket.write("250 Taken\r\n");
        },
      },
    });
    const session = await login({ port: raw.port });
    await send(session, "a@client.example");
    for (const socket of sockets) socket.end("421 4.4.2 Idle for too long\r\n");
    await raw.gone();
    expect(session.usable).toBe(false);
  });

  test("says QUIT when it is closed", async () => {
    const raw = await serve();
    const session = await login({ port: raw.port });
    await session.close();
    expect(raw.steps).toContain("QUIT");
    expect(session.usable).toBe(false);
    await session.close();
  });
});

const arrived = async (to: string) => (await server.mails()).filter((mail) => mail.to[0] === to);

function breakHandshake(socket: Socket): void {
  socket.removeAllListeners("data");
  socket.once("data", () => socket.end("this is no handshake\r\n"));
  socket.write("220 Ready\r\n");
}
