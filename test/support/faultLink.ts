import type { Socket } from "node:net";
import { systemClock } from "../../src/clock.js";
import type { Fault } from "./faultProxy.js";

type LinkFault = Exclude<Fault, { flap: unknown }>;
type Side = "client" | "server";

/** One connection through a fault proxy: two sockets, and what the network does to the bytes between them. */
export class FaultLink {
  private fault: LinkFault = "pass";
  private readonly passed = { client: 0, server: 0 };
  private readonly order = { client: Promise.resolve(), server: Promise.resolve() };
  private readonly closed = { client: false, server: false };
  private over: () => void = () => undefined;

  constructor(
    private readonly client: Socket,
    private readonly server: Socket,
  ) {
    this.listen("client", client, server);
    this.listen("server", server, client);
  }

  get clientOpen(): boolean {
    return !this.closed.client;
  }

  /** Calls `act` once both sides are closed. */
  ended(act: () => void): void {
    this.over = act;
  }

  set(fault: LinkFault): void {
    this.fault = fault;
    this.passed.client = 0;
    this.passed.server = 0;
    if (fault === "rst") this.cut();
  }

  /** Resets both sides. */
  cut(): void {
    for (const socket of [this.client, this.server]) {
      if (socket.connecting) socket.destroy();
      else socket.resetAndDestroy();
    }
  }

  private listen(from: Side, source: Socket, sink: Socket): void {
    source.on("error", () => undefined); // the close that follows is what counts
    source.on("data", (chunk: Buffer) => this.carry(from, chunk, sink));
    source.on("end", () => this.inOrder(from, () => this.swallows(from) || sink.end()));
    source.on("close", () => {
      this.closed[from] = true;
      // A swallowed close leaves the other side open for ever, as a network without routes does.
      this.inOrder(from, () => this.swallows(from) || sink.destroy());
      if (this.closed.client && this.closed.server) this.over();
    });
    source.resume();
  }

  private carry(from: Side, chunk: Buffer, sink: Socket): void {
    const { fault } = this;
    if (this.swallows(from)) return;
    if (typeof fault === "object" && "cutAfter" in fault && (fault.of ?? "server") === from) {
      const left = fault.cutAfter - this.passed[from];
      this.passed[from] += chunk.length;
      if (chunk.length >= left) return this.last(from, chunk.subarray(0, Math.max(0, left)), sink);
    }
    if (typeof fault === "object" && "slow" in fault) return this.late(from, fault.slow, chunk, sink);
    if (typeof fault === "object" && "byteAtATime" in fault && from === "server") {
      for (const byte of chunk) this.late(from, fault.byteAtATime, Buffer.from([byte]), sink);
      return;
    }
    this.inOrder(from, () => sink.write(chunk));
  }

  private last(from: Side, chunk: Buffer, sink: Socket): void {
    // Not by a reset: that would take back what has arrived and was not read yet.
    this.inOrder(from, () => sink.write(chunk, () => this.close()));
  }

  private close(): void {
    this.client.destroy();
    this.server.destroy();
  }

  private late(from: Side, ms: number, chunk: Buffer, sink: Socket): void {
    // Once the fault has ended nothing waits any more, but the order stays.
    const { fault } = this;
    this.inOrder(from, async () => {
      if (this.fault === fault && !sink.destroyed) await systemClock.sleep(ms);
      if (!this.swallows(from)) sink.write(chunk);
    });
  }

  private inOrder(from: Side, act: () => unknown): void {
    this.order[from] = this.order[from].then(async () => void (await act()));
  }

  private swallows(from: Side): boolean {
    const { fault } = this;
    return fault === "hole" || fault === (from === "client" ? "holeUp" : "holeDown");
  }
}
