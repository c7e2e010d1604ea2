import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, Socket } from "node:net";
import { systemClock } from "../../src/clock.js";
import { FaultLink } from "./faultLink.js";

/**
 * What the network does to every connection through a proxy, live ones too.
 *
 * - `pass` · nothing
 * - `hole` · accepts, and swallows bytes and closes both ways: neither side ever learns of the other
 * - `holeUp`, `holeDown` · swallows only what the client, or only what the server says
 * - `rst` · resets every connection, existing and new
 * - `refuse` · closes the listening port and resets what is open
 * - `slow` · holds back every chunk, both ways, in order, by so many milliseconds
 * - `byteAtATime` · lets the server's bytes through one by one, so many milliseconds apart
 * - `cutAfter` · closes a connection once so many bytes of one side have passed, counted from the switch
 * - `flap` · passes for `up` milliseconds, then `as` (a hole) for `down` milliseconds, and so on
 */
export type Fault =
  | "pass"
  | "hole"
  | "holeUp"
  | "holeDown"
  | "rst"
  | "refuse"
  | { readonly slow: number }
  | { readonly byteAtATime: number }
  | { readonly cutAfter: number; readonly of?: "server" | "client" }
  | { readonly flap: { readonly up: number; readonly down: number; readonly as?: "hole" | "rst" | "refuse" } };

export interface FaultProxy {
  /** Of 127.0.0.1; the same after a refusal. */
  readonly port: number;
  /** Connections accepted in all; those that met a closed port are not among them. */
  readonly connects: number;
  /** The most connections accepted within one second since the last change of the fault. */
  readonly busiestSecond: number;
  /** Clients connected now. */
  readonly open: number;
  /** Takes effect at once on every connection; ends when it has. */
  set(fault: Fault): Promise<void>;
  stop(): Promise<void>;
}

/** Puts a TCP proxy on a free port of 127.0.0.1 before a server on `port`; it passes everything until told otherwise. */
export async function startFaultProxy({ port }: { port: number }): Promise<FaultProxy> {
  const proxy = new Gateway(port);
  await proxy.listen();
  return proxy;
}

class Gateway implements FaultProxy {
  connects = 0;
  private fault: Exclude<Fault, { flap: unknown }> = "pass";
  private readonly links = new Set<FaultLink>();
  private times: number[] = [];
  private server: Server | undefined;
  private flapping = new AbortController();
  private ownPort = 0;

  constructor(private readonly target: number) {}

  get port(): number {
    return this.ownPort;
  }

  get open(): number {
    return [...this.links].filter((link) => link.clientOpen).length;
  }

  get busiestSecond(): number {
    return Math.max(0, ...this.times.map((from, i) => this.times.filter((at, j) => j >= i && at < from + 1000).length));
  }

  async set(fault: Fault): Promise<void> {
    this.flapping.abort();
    this.times = [];
    if (typeof fault === "object" && "flap" in fault) {
      this.flapping = new AbortController();
      void this.flap(fault.flap, this.flapping.signal);
    } else await this.apply(fault);
  }

  async stop(): Promise<void> {
    this.flapping.abort();
    await this.refuse();
  }

  async listen(): Promise<void> {
    if (this.server) return;
    const server = createServer({ noDelay: true, pauseOnConnect: true }, (client) => this.accept(client));
    server.listen(this.ownPort, "127.0.0.1");
    await once(server, "listening");
    this.ownPort = (server.address() as AddressInfo).port;
    this.server = server;
  }

  private async apply(fault: typeof this.fault): Promise<void> {
    this.fault = fault;
    if (fault === "refuse") return this.refuse();
    await this.listen();
    for (const link of this.links) link.set(fault);
  }

  private async refuse(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    const closed = server && new Promise<void>((resolve) => server.close(() => resolve()));
    for (const link of this.links) link.cut();
    await closed;
  }

  private async flap(flap: { up: number; down: number; as?: "hole" | "rst" | "refuse" }, ended: AbortSignal) {
    for (let down = true; !ended.aborted; down = !down) {
      await this.apply(down ? (flap.as ?? "hole") : "pass");
      await systemClock.sleep(down ? flap.down : flap.up, ended);
    }
  }

  private accept(client: Socket): void {
    this.connects += 1;
    this.times.push(systemClock.monotonic());
    // Through a hole nothing arrives: a connection that began in one never reaches the server, not even afterwards.
    const server =
      this.fault === "hole" ? new Socket() : connect({ port: this.target, host: "127.0.0.1", noDelay: true });
    const link = new FaultLink(client, server);
    this.links.add(link);
    link.ended(() => this.links.delete(link));
    link.set(this.fault);
  }
}
