import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { after, systemClock } from "../../src/clock.js";
import { type FaultProxy, startFaultProxy } from "../support/faultProxy.js";

/** Says "hello " at once and everything that it hears back in capitals. */
let echo: Server;
const heard: string[] = [];
const served = new Set<Socket>();
let proxy: FaultProxy;

beforeAll(async () => {
  echo = createServer((socket) => {
    served.add(socket);
    socket.on("close", () => served.delete(socket));
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      heard.push(String(chunk));
      socket.write(String(chunk).toUpperCase());
    });
    socket.write("hello ");
  }).listen(0, "127.0.0.1");
  await once(echo, "listening");
});
afterAll(() => void echo.close());
beforeEach(async () => {
  heard.length = 0;
  proxy = await startFaultProxy({ port: (echo.address() as AddressInfo).port });
});
afterEach(() => proxy.stop());

/** A client that keeps what it hears and how it ended. */
function client(): {
  socket: Socket;
  said: () => string;
  until: (text: string) => Promise<void>;
  end: Promise<string>;
} {
  const socket = connect(proxy.port, "127.0.0.1");
  let text = "";
  let how = "closed";
  socket.on("data", (chunk) => (text += String(chunk)));
  socket.on("error", (error: NodeJS.ErrnoException) => (how = error.code ?? "error"));
  const end = new Promise<string>((resolve) => socket.on("close", () => resolve(how)));
  // Whoever waits for a text waits for ever when the connection ends first: the test's own time limit tells.
  const until = (wanted: string) =>
    new Promise<void>((resolve) => {
      const look = () => text.includes(wanted) && resolve();
      socket.on("data", look);
      look();
    });
  return { socket, said: () => text, until, end };
}

/** What arrives within a tenth of a second. */
async function quiet(said: () => string): Promise<string> {
  await new Promise<void>((resolve) => after(100, resolve));
  return said();
}

describe("the fault proxy", () => {
  test("passes both ways and counts connections", async () => {
    const { socket, until, end } = client();
    await until("hello ");
    socket.write("abc");
    await until("ABC");
    expect([proxy.connects, proxy.open, proxy.busiestSecond]).toEqual([1, 1, 1]);
    socket.end();
    expect(await end).toBe("closed");
  });

  test("swallows everything in a hole, on live and on new connections, closes too", async () => {
    const live = client();
    await live.until("hello ");
    await proxy.set("hole");
    live.socket.write("abc");
    const fresh = client();
    await once(fresh.socket, "connect");
    expect(await quiet(() => live.said() + fresh.said())).toBe("hello ");
    expect(heard).toEqual([]);
    live.socket.destroy();
    await quiet(live.said);
    await proxy.set("pass");
    await quiet(live.said);
    expect(served.size).toBe(1);
    await proxy.stop();
    for (const socket of served) await new Promise((resolve) => socket.on("close", resolve));
  });

  test("swallows one way only", async () => {
    const { socket, said, until } = client();
    await until("hello ");
    await proxy.set("holeUp");
    socket.write("lost");
    expect(await quiet(said)).toBe("hello ");
    await proxy.set("holeDown");
    socket.write("heard");
    expect(await quiet(said)).toBe("hello ");
    expect(heard).toEqual(["heard"]);
    await proxy.set("pass");
    socket.write("again");
    await until("AGAIN");
  });

  test("resets what exists and what comes", async () => {
    const live = client();
    await live.until("hello ");
    await proxy.set("rst");
    expect(await live.end).toBe("ECONNRESET");
    expect(await client().end).toBe("ECONNRESET");
  });

  test("closes the port and opens it again", async () => {
    const live = client();
    await live.until("hello ");
    await proxy.set("refuse");
    expect(await live.end).toBe("ECONNRESET");
    expect(await client().end).toBe("ECONNREFUSED");
    await proxy.set("pass");
    await client().until("hello ");
  });

  test("delays each chunk, and lets bytes through one by one", async () => {
    await proxy.set({ slow: 60 });
    const from = systemClock.monotonic();
    const slow = client();
    await slow.until("hello ");
    expect(systemClock.monotonic() - from).toBeGreaterThan(55);
    await proxy.set({ byteAtATime: 20 });
    slow.socket.write("abcdef");
    await slow.until("A");
    expect(slow.said()).not.toContain("ABCDEF");
    await slow.until("ABCDEF");
    expect(systemClock.monotonic() - from).toBeGreaterThan(160);
  });

  test("cuts after so many bytes of the server", async () => {
    await proxy.set({ cutAfter: 8 });
    const { socket, said, until, end } = client();
    await until("hello ");
    socket.write("abcdef");
    expect(await end).toBe("closed");
    expect(said()).toBe("hello AB");
  });

  test("flaps between passing and a fault", async () => {
    await proxy.set({ flap: { up: 150, down: 100, as: "rst" } });
    expect(await client().end).toBe("ECONNRESET");
    for (let up = false; !up; ) {
      const next = client();
      up = (await Promise.race([next.until("hello ").then(() => "up"), next.end])) === "up";
      if (up) expect(await next.end).toBe("ECONNRESET");
    }
    expect(proxy.busiestSecond).toBeGreaterThan(1);
  });
});
