import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { SMTPServer, type SMTPServerDataStream, type SMTPServerOptions, type SMTPServerSession } from "smtp-server";
import { after, systemClock } from "../../src/clock.js";
import { loginScript, type Reply, recipientScript, type Script, senderScript } from "./addressScript.js";
import { localhostIdentity } from "./certificate.js";
import { type Mail, type Mailbox, openMailbox, readMailbox } from "./mailbox.js";

export interface SmtpServerOptions {
  /** Mailbox, authority and nothing else lie here. */
  readonly dir: string;
  /** Fixed ports instead of free ones, e.g. for a server that comes back. */
  readonly ports?: { readonly plain: number; readonly starttls: number; readonly tls: number };
  /** Also takes mail without a login. */
  readonly authOptional?: boolean;
  /** The password of a login; `pw-<user>` by default. */
  readonly password?: (user: string) => string;
}

/** A real SMTP server whose recipients' addresses are scripts (addressScript.ts). */
export interface SmtpServer {
  /** AUTH in clear, no STARTTLS. */
  readonly plainPort: number;
  /** AUTH after STARTTLS only. */
  readonly starttlsPort: number;
  /** TLS from the first byte. */
  readonly tlsPort: number;
  /** The file of accepted mails, one JSON line a mail, at most 20 ms behind. */
  readonly mailbox: string;
  /** The authority that a verifying client must trust (PEM). */
  readonly caFile: string;
  readonly pid: number;
  /** Every accepted mail, oldest first. */
  mails(): Promise<Mail[]>;
  /** How many mails were accepted; all of them are in the file then. */
  count(): Promise<number>;
  stop(): Promise<void>;
}

/** Starts the server in this process on 127.0.0.1; its three ports share one mailbox. */
export async function startSmtpServer(options: SmtpServerOptions): Promise<SmtpServer> {
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  const { ca, cert, key } = localhostIdentity();
  const caFile = join(options.dir, "ca.pem");
  await writeFile(caFile, ca);
  const mailbox = await openMailbox(join(options.dir, "mailbox"));
  const greylist = new Map<string, number>();
  const open = (port: Mail["port"], settings: SMTPServerOptions) =>
    openPort({ port, mailbox, greylist, options, settings: { ...settings, cert, key } });

  const noStarttls: SMTPServerOptions = { hideSTARTTLS: true, disabledCommands: ["STARTTLS"], allowInsecureAuth: true };
  const ports = await Promise.all([open("plain", noStarttls), open("starttls", {}), open("tls", { secure: true })]);

  return {
    plainPort: ports[0].number,
    starttlsPort: ports[1].number,
    tlsPort: ports[2].number,
    mailbox: mailbox.file,
    caFile,
    pid: process.pid,
    mails: async () => {
      await mailbox.flush();
      return readMailbox(mailbox.file);
    },
    count: async () => {
      await mailbox.flush();
      return mailbox.count();
    },
    stop: async () => {
      await Promise.all(ports.map((port) => port.close()));
      await mailbox.close();
    },
  };
}

interface PortOptions {
  readonly port: Mail["port"];
  readonly mailbox: Mailbox;
  /** How often each greylisted recipient was turned away. */
  readonly greylist: Map<string, number>;
  readonly options: SmtpServerOptions;
  readonly settings: SMTPServerOptions;
}

async function openPort({ port, mailbox, greylist, options, settings }: PortOptions) {
  const password = options.password ?? ((user: string) => `pw-${user}`);
  const server: SMTPServer = new SMTPServer({
    ...settings,
    noDelay: true, // with Nagle's algorithm each reply would wait for the client's delayed ACK, 40 ms a mail
    disableReverseLookup: true,
    authOptional: options.authOptional ?? false,
    size: 50 << 20,
    socketTimeout: 600_000,
    logger: false,
    onAuth: ({ username = "", password: given }, _session, answer) => {
      const scripted = loginScript(username);
      if (scripted) return answer(asError(scripted));
      if (given !== password(username))
        return answer(asError({ code: 535, text: "5.7.8 Wrong user name or password" }));
      answer(null, { user: username });
    },
    onMailFrom: ({ address }, _session, answer) => {
      const scripted = senderScript(address);
      answer(scripted ? asError(scripted) : null);
    },
    onRcptTo: ({ address }, _session, answer) => {
      const reply = rcptReply(address, greylist);
      answer(reply ? asError(reply) : null);
    },
    onData: (stream, session, answer) => {
      const script = scriptOf(session);
      if (script.kind === "dropInData") stream.once("data", () => rawSocket(session)?.destroy());
      receive(stream, (raw) => {
        const keep = () => mailbox.keep(asMail(raw, session, port));
        obey(script, keep, answer, {
          end: () => endConnection(server, session),
          reset: () => rawSocket(session)?.resetAndDestroy(),
        });
      });
    },
  });
  server.on("error", () => undefined); // a client that went away in mid-mail is a test's purpose, not news

  const sockets = new Map<number, Socket>();
  const rawSocket = (session: SMTPServerSession) => sockets.get(session.remotePort);
  server.server.on("connection", (socket: Socket) => {
    const { remotePort = 0 } = socket;
    sockets.set(remotePort, socket);
    socket.once("close", () => sockets.delete(remotePort));
  });

  server.listen(options.ports?.[port] ?? 0, "127.0.0.1");
  await once(server.server, "listening");
  return {
    number: (server.server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.server.close(() => resolve()));
      for (const socket of sockets.values()) socket.destroy();
      await closed;
    },
  };
}

/** smtp-server sends the error's text after its code, so the enhanced status code leads the text. */
function asError({ code, text }: Reply): Error {
  return Object.assign(new Error(text), { responseCode: code });
}

function rcptReply(address: string, greylist: Map<string, number>): Reply | undefined {
  const script = recipientScript(address);
  if (script.kind === "refuseAtRcpt") return script.reply;
  if (script.kind !== "greylist") return undefined;
  const seen = greylist.get(address) ?? 0;
  if (seen >= script.times) return undefined;
  greylist.set(address, seen + 1);
  return { code: 451, text: "4.7.1 Greylisted, try again later" };
}

/** The first recipient that is more than a plain acceptance speaks for the whole mail. */
function scriptOf({ envelope }: SMTPServerSession): Script {
  const scripts = envelope.rcptTo.map(({ address }) => recipientScript(address));
  return scripts.find(({ kind }) => kind !== "accept" && kind !== "greylist") ?? { kind: "accept" };
}

function receive(stream: SMTPServerDataStream, done: (raw: Buffer) => void): void {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("error", () => undefined); // the client or we dropped the connection; nothing was accepted
  stream.on("end", () => done(Buffer.concat(chunks)));
}

type Answer = (error?: Error | null, message?: string) => void;

/** After the final dot: keeps the mail, answers, or does neither. */
function obey(script: Script, keep: () => void, answer: Answer, connection: { end(): void; reset(): void }): void {
  switch (script.kind) {
    case "accept":
    case "greylist":
      keep();
      return answer(null, "2.0.0 Accepted");
    case "slow":
      keep();
      return void after(script.ms, () => answer(null, "2.0.0 Accepted, late"));
    case "refuseAfterDot":
    case "refuseAtRcpt":
      return answer(asError(script.reply));
    case "dropAfterDot":
      keep();
      return connection.end();
    case "rstBefore250":
      keep();
      return connection.reset();
    case "lostAfterDot":
      return connection.reset();
    case "muteAfterDot":
      return keep();
    case "dropInData":
      return; // the whole body came in one piece before the socket was gone
    default:
      return script satisfies never;
  }
}

function endConnection(server: SMTPServer, session: SMTPServerSession): void {
  for (const connection of server.connections) {
    if (connection.session === session) connection._socket.end();
  }
}

function asMail(raw: Buffer, session: SMTPServerSession, port: Mail["port"]): Mail {
  const { envelope } = session;
  const source = raw.toString("latin1");
  const header = source.slice(0, source.indexOf("\r\n\r\n"));
  return {
    at: systemClock.now(),
    messageId: /^message-id:\s*(\S+)/im.exec(header)?.[1] ?? "",
    from: envelope.mailFrom ? envelope.mailFrom.address : "",
    to: envelope.rcptTo.map(({ address }) => address),
    user: typeof session.user === "string" ? session.user : "",
    port,
    size: raw.length,
    raw: source,
  };
}
