import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type SmtpServer, startSmtpServer } from "../support/smtpServer.js";
import { spawnSmtpServer } from "../support/spawnSmtpServer.js";

let dir: string;
let server: SmtpServer;
let ca: string;
let ids = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "smtp-test-"));
  server = await startSmtpServer({ dir });
  ca = await readFile(server.caFile, "utf8");
});
afterAll(async () => {
  await server.stop();
  await rm(dir, { recursive: true, force: true });
});

describe.each(["plain", "tls"] as const)("through the %s port", (port) => {
  test.each([
    ["ok@x.test", "250 2.0.0", 1],
    ["anything.else+tag@x.test", "250 2.0.0", 1],
    ["slow-20ms@x.test", "250 2.0.0", 1],
    ["451@x.test", "451 4.3.0", 0],
    ["421.anna12@x.test", "421 4.3.2", 0],
    ["550.anna12@x.test", "550 5.1.1", 0],
    ["554+b@x.test", "554 5.7.1", 0],
    ["data-552@x.test", "552 5.3.4", 0],
    ["data-451@x.test", "451 4.3.0", 0],
    ["drop-in-data@x.test", "closed", 0],
    ["drop-after-dot@x.test", "closed by FIN", 1],
    ["rst-before-250@x.test", "closed by ECONNRESET", 1],
    ["lost-after-dot@x.test", "closed by ECONNRESET", 0],
  ])("a mail to %s is answered %s and kept %i times", async (recipient, reply, kept) => {
    const before = await server.count();
    expect(await deliver(port, recipient)).toMatch(new RegExp(`^${reply}`));
    expect((await server.count()) - before).toBe(kept);
  });
});

test("a greylisted recipient is accepted at the third try", async () => {
  const replies: string[] = [];
  for (const _ of [1, 2, 3]) replies.push((await deliver("plain", "greylist-2.bob@x.test")).slice(0, 9));
  expect(replies).toEqual(["451 4.7.1", "451 4.7.1", "250 2.0.0"]);
});

test("a mute recipient's mail is kept and never answered", async () => {
  const before = await server.count();
  const session = await login("plain", "sales@x.test");
  await sendBody(session, "mute-after-dot@x.test");
  await expect.poll(() => server.count()).toBe(before + 1);
  session.socket.destroy();
});

test.each([
  ["auth-fails@x.test", "pw-auth-fails@x.test", "535 5.7.8"],
  ["auth-temp@x.test", "pw-auth-temp@x.test", "454 4.7.0"],
  ["sales@x.test", "wrong", "535 5.7.8"],
  ["sales@x.test", "pw-sales@x.test", "235"],
])("a login as %s with %s is answered %s", async (user, password, reply) => {
  const session = await greet("plain");
  expect(await session.say(`AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString("base64")}`)).toMatch(reply);
  session.socket.destroy();
});

test("DATA without an accepted recipient is refused, so that pipelining is safe", async () => {
  const session = await login("plain", "sales@x.test");
  session.socket.write("MAIL FROM:<sales@x.test>\r\nRCPT TO:<550@x.test>\r\nDATA\r\n");
  expect([await session.hear(), await session.hear(), await session.hear()].map((line) => line.slice(0, 3))).toEqual([
    "250",
    "550",
    "503",
  ]);
  session.socket.destroy();
});

test("a sender's word decides over MAIL FROM, and the STARTTLS port offers no login in clear", async () => {
  const session = await login("plain", "mail-450.sales@x.test");
  expect(await session.say("MAIL FROM:<mail-450.sales@x.test>")).toMatch(/^450 4\.7\.1/);
  session.socket.destroy();
  const clear = await greet("starttls");
  expect(await clear.say("AUTH PLAIN AHgAeA==")).toMatch(/^5/);
  clear.socket.destroy();
});

test("a server in a process of its own has the same face", async () => {
  const child = await spawnSmtpServer({ dir: join(dir, "child") });
  const own = server;
  server = child;
  try {
    expect(await deliver("plain", "ok@x.test")).toMatch(/^250/);
    expect(await child.count()).toBe(1);
    expect(await child.mails()).toMatchObject([
      { to: ["ok@x.test"], port: "plain", user: "sales@x.test", from: "sales@x.test" },
    ]);
  } finally {
    server = own;
    await child.stop();
  }
});

interface Session {
  readonly socket: Socket;
  /** The last line of the next reply, or "closed …". */
  hear(): Promise<string>;
  say(line: string): Promise<string>;
}

/** Sends one mail and answers the reply that decided over it. */
async function deliver(port: "plain" | "tls", recipient: string): Promise<string> {
  const session = await login(port, "sales@x.test");
  const refusal = await sendBody(session, recipient);
  const reply = refusal ?? (await session.hear());
  session.socket.destroy();
  return reply;
}

async function sendBody(session: Session, recipient: string): Promise<string | undefined> {
  await session.say("MAIL FROM:<sales@x.test>");
  const answer = await session.say(`RCPT TO:<${recipient}>`);
  if (!answer.startsWith("250")) return answer;
  await session.say("DATA");
  session.socket.write(`Message-ID: <${++ids}@x.test>\r\nSubject: x\r\n\r\nbody\r\n.\r\n`);
  return undefined;
}

async function login(port: "plain" | "tls", user: string): Promise<Session> {
  const session = await greet(port);
  await session.say(`AUTH PLAIN ${Buffer.from(`\0${user}\0pw-${user}`).toString("base64")}`);
  return session;
}

async function greet(port: "plain" | "starttls" | "tls"): Promise<Session> {
  const socket =
    port === "tls"
      ? connectTls({ port: server.tlsPort, host: "localhost", ca })
      : connect(server[`${port}Port`], "127.0.0.1");
  const session = talk(socket);
  await session.hear();
  await session.say("EHLO test");
  return session;
}

function talk(socket: Socket): Session {
  let text = "";
  let closed = "";
  let wake = (): void => undefined;
  const note = (news: string) => {
    closed ||= news;
    wake();
  };
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    text += chunk;
    wake();
  });
  socket.on("error", (error: NodeJS.ErrnoException) => note(`closed by ${error.code}`));
  socket.on("end", () => note("closed by FIN"));
  const hear = async (): Promise<string> => {
    for (;;) {
      const reply = /^(?:\d{3}-.*\r\n)*(\d{3} .*|\d{3})\r\n/.exec(text);
      if (reply?.[1] !== undefined) {
        text = text.slice(reply[0].length);
        return reply[1];
      }
      if (closed) return closed;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return {
    socket,
    hear,
    say: (line) => {
      socket.write(`${line}\r\n`);
      return hear();
    },
  };
}
