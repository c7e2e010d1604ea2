import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type Deferred, deferred } from "./deferred.js";

/** What arrives at the server, in the order of a session; "body" is its first bytes, "dot" its end. */
export type Step =
  | "greeting"
  | "EHLO"
  | "STARTTLS"
  | "AUTH"
  | "MAIL"
  | "RCPT"
  | "DATA"
  | "body"
  | "dot"
  | "RSET"
  | "QUIT";

/** Reply lines without the last CRLF, or what to do with the socket instead of a reply. */
export type Act = string | ((socket: Socket) => void);

export interface RawSmtpOptions {
  /** Extensions after EHLO; AUTH PLAIN by default. */
  readonly extensions?: readonly string[];
  /** Replies that differ from those of a server that takes everything. A 421 closes the connection, as it must. */
  readonly acts?: Partial<Readonly<Record<Step, Act>>>;
}

/** An SMTP server of bare sockets, for tests in which each byte and its time matter. */
export interface RawSmtpServer {
  readonly port: number;
  /** Every step that arrived, over all connections. */
  readonly steps: readonly Step[];
  /** Every byte that arrived. */
  readonly text: string;
  readonly connections: number;
  /** Ends when this step has arrived. */
  heard(step: Step): Promise<void>;
  /** Ends when the first connection is gone, whoever ended it. */
  gone(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts it on a free port of 127.0.0.1. */
export async function startRawSmtpServer({ extensions, acts = {} }: RawSmtpOptions = {}): Promise<RawSmtpServer> {
  const sockets = new Set<Socket>();
  const record = { steps: [] as Step[], text: "", connections: 0 };
  const news = new Map<string, Deferred<void>>();
  const told = (what: string) => {
    const known = news.get(what) ?? deferred();
    news.set(what, known);
    return known;
  };

  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    record.connections += 1;
    socket.on("error", () => undefined); // a client that cuts the connection is what such a test is about
    socket.on("close", () => {
      sockets.delete(socket);
      told("gone").resolve();
    });
    const talk = new Talk(extensions ?? ["AUTH PLAIN"], (step) => {
      record.steps.push(step);
      told(step).resolve();
      act(socket, acts[step] ?? talk.usual(step));
    });
    socket.on("data", (chunk: Buffer) => {
      record.text += chunk.toString("latin1");
      talk.take(chunk.toString("latin1"), acts);
    });
    act(socket, acts.greeting ?? "220 raw.example ESMTP");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    get steps() {
      return record.steps;
    },
    get text() {
      return record.text;
    },
    get connections() {
      return record.connections;
    },
    heard: (step) => told(step).promise,
    gone: () => told("gone").promise,
    stop: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function act(socket: Socket, what: Act): void {
  if (typeof what === "function") return what(socket);
  if (what !== "") socket.write(`${what}\r\n`);
  if (/^(421|221)/.test(what)) socket.end();
}

/** One connection's place in the protocol: which step the next bytes are. */
class Talk {
  private rest = "";
  private inBody = false;
  private bodyBegun = false;
  private recipients = 0;

  constructor(
    private readonly extensions: readonly string[],
    private readonly arrived: (step: Step) => void,
  ) {}

  take(text: string, acts: RawSmtpOptions["acts"]): void {
    this.rest += text;
    while (this.rest !== "" && (this.inBody ? this.takeBody() : this.takeLine(acts)));
  }

  usual(step: Step): string {
    if (step === "EHLO")
      return ["250-raw.example", ...this.extensions.map((name) => `250-${name}`), "250 HELP"].join("\r\n");
    if (step === "DATA") return this.recipients > 0 ? "354 Go on" : "503 5.5.1 No recipient was accepted";
    if (step === "STARTTLS") return this.extensions.includes(step) ? "220 Ready" : "502 5.5.1 Not implemented";
    const replies = { greeting: "220 raw.example ESMTP", AUTH: "235 2.7.0 Welcome", body: "" };
    return { ...replies, MAIL: "250 OK", RCPT: "250 OK", dot: "250 2.0.0 Taken", RSET: "250 OK", QUIT: "221 Bye" }[
      step
    ];
  }

  private takeLine(acts: RawSmtpOptions["acts"] = {}): boolean {
    const end = this.rest.indexOf("\r\n");
    if (end < 0) return false;
    const step = this.rest.slice(0, end).split(" ", 1)[0]?.toUpperCase() as Step;
    this.rest = this.rest.slice(end + 2);
    const reply = acts[step] ?? this.usual(step);
    if (step === "RCPT" && typeof reply === "string" && reply.startsWith("2")) this.recipients += 1;
    if (step === "DATA") this.inBody = typeof reply === "string" && reply.startsWith("354");
    if (step === "DATA" || step === "RSET") this.bodyBegun = false;
    if (step === "RSET") this.recipients = 0;
    this.arrived(step);
    return true;
  }

  private takeBody(): boolean {
    if (!this.bodyBegun) {
      this.bodyBegun = true;
      this.arrived("body");
    }
    const end = this.rest.startsWith(".\r\n") ? 0 : this.rest.indexOf("\r\n.\r\n");
    if (end < 0) {
      this.rest = this.rest.slice(-4);
      return false;
    }
    this.rest = this.rest.slice(end + (end === 0 ? 3 : 5));
    this.inBody = false;
    this.recipients = 0;
    this.arrived("dot");
    return true;
  }
}
