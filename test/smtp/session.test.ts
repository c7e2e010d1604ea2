import { mkdtemp, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { SessionRefused, type SessionTarget, type Timeouts } from "../../src/smtp/connection.js";
import type { Gate } from "../../src/smtp/gatedBody.js";
import { Session } from "../../src/smtp/session.js";
import type { Verdict } from "../../src/smtp/verdict.js";
import { deferred } from "../support/deferred.js";
import { type Act, type RawSmtpOptions, startRawSmtpServer } from "../support/rawSmtpServer.js";
import { type SmtpServer, startSmtpServer } from "../support/smtpServer.js";

const PATIENT: Timeouts = { dns: 5000, connect: 5000, greeting: 5000, command: 5000, body: 5000, afterDot: 5000 };
/** Deadlines that a test can wait for. */
const HASTY: Timeouts = { dns: 200, connect: 200, greeting: 200, command: 200, body: 200, afterDot: 200 };

const user = "sender@sender.example";
const small = Buffer.from("Subject: Hello\r\n\r\nHello.\r\n");
/** Longer than what is held back for the gate, so that its beginning is on the wire while the gate is asked. */
const large = Buffer.from(`Subject: Hello\r\n\r\n${"0123456789abcdef\r\n".repeat(10_000)}The end.\r\n`);

let dir: string;
let server: SmtpServer;
const endings: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "campaignd-session-"));
  server = await startSmtpServer({ dir });
});

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
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
    const verdict = await session.send({ from, to: "ok@client.example" }, small, open, quiet());
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

  test("is asked once, and not at all when the recipient is refused", async () => {
    const session = await login();
    let asked = 0;
    const gate = async () => {
      asked += 1;
      return true;
    };
    await send(session, "550@client.example", small, gate);
    expect(asked).toBe(0);
    await send(session, "ok@client.example", large, gate);
    expect(asked).toBe(1);
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

const open: Gate = async () => true;
const quiet = () => new AbortController().signal;
const envelope = (to: string) => ({ from: user, to });

/** A gate whose answer comes only when the test is over: what happens meanwhile happens before the dot. */
function shutUntilTheEnd(): Gate {
  const answer = deferred<boolean>();
  endings.push(async () => answer.resolve(false));
  return () => answer.promise;
}

const send = (session: Session, to: string, mail = small, gate = open): Promise<Verdict> =>
  session.send(envelope(to), mail, gate, quiet());

const arrived = async (to: string) => (await server.mails()).filter((mail) => mail.to[0] === to);

const verdictIsAccepted = (verdict: object) => "kind" in verdict && verdict.kind === "accepted";

function target(over: Partial<SessionTarget>): SessionTarget {
  const usual = { host: "127.0.0.1", port: server.plainPort, encryption: "", user, password: `pw-${user}` } as const;
  return { ...usual, clearLogin: true, verify: true, timeouts: PATIENT, ...over };
}

async function login(over: Partial<SessionTarget> = {}): Promise<Session> {
  const session = await Session.open(target(over), 0);
  endings.push(() => session.close());
  return session;
}

async function refusal(over: Partial<SessionTarget>): Promise<Verdict> {
  const refused = await Session.open(target(over), 0).then(
    (session) => session.close(),
    (error: unknown) => error,
  );
  if (!(refused instanceof SessionRefused)) throw new Error(`the session was opened or failed otherwise: ${refused}`);
  return refused.verdict;
}

async function serve(options: RawSmtpOptions = {}) {
  const raw = await startRawSmtpServer(options);
  endings.push(() => raw.stop());
  return raw;
}

function breakHandshake(socket: Socket): void {
  socket.removeAllListeners("data");
  socket.once("data", () => socket.end("this is no handshake\r\n"));
  socket.write("220 Ready\r\n");
}

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
