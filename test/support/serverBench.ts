import { once } from "node:events";
import { onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.js";
import { loadConfig } from "../../src/config/config.js";
import { connect, type Server } from "../../src/db/connect.js";
import { Pulse } from "../../src/db/pulse.js";
import { statement } from "../../src/db/statement.js";
import { News, type ServerName } from "../../src/events.js";
import { type FaultProxy, startFaultProxy } from "./faultProxy.js";
import { type Sandbox, startSandbox } from "./sandbox.js";
import type { SandboxSettings } from "./sandboxConfig.js";
import { LOGIN } from "./sandboxDatabases.js";
import { until } from "./until.js";

/** A real server behind a fault proxy, and the daemon's own way to it. */
export interface OpenServer extends Server {
  readonly proxy: FaultProxy;
  /** Edges of the breaker in order: the trouble, or "recovered". */
  readonly edges: readonly string[];
  /** Ends when the breaker is in this state; undefined is closed. */
  until(state: string | undefined): Promise<void>;
  close(): Promise<void>;
}

export interface OpenOptions {
  readonly server?: ServerName;
  readonly maxConnections?: number;
  /** Settings of `pool`; deadlines are a tenth of the real ones unless given. */
  readonly pool?: SandboxSettings;
  /** Whether probes are sent while the breaker is open (they are). */
  readonly pulse?: boolean;
  readonly password?: string;
}

export interface ServerBench {
  readonly sandbox: Sandbox;
  /** Connects through a fresh proxy. */
  open(options?: OpenOptions): Promise<OpenServer>;
  /** Our login's threads in the process list, those that wait for their end too. */
  threads(server?: ServerName): Promise<Thread[]>;
  stop(): Promise<void>;
}

export interface Thread {
  readonly id: number;
  readonly info: string | null;
}

/** A tenth of the defaults, so that a test of a deadline lasts as long as its deadline. */
const TENTH: SandboxSettings = {
  connectTimeout: "500ms",
  statementTimeout: "1s",
  acquireTimeout: "500ms",
  pingIdle: "500ms",
  pingTimeout: "200ms",
  healthEvery: "3s",
  lockWait: "1s",
};

/** Raises the two servers for tests of pools; what a test opened ends with the test. */
export async function startServerBench(): Promise<ServerBench> {
  const sandbox = await startSandbox();
  const opened = new Set<OpenServer>();
  const threads = async (server: ServerName = "crm"): Promise<Thread[]> => {
    const ask = server === "crm" ? sandbox.s2 : sandbox.s1;
    return ask<{ id: number; info: string | null }>(
      "SELECT ID AS id, INFO AS info FROM information_schema.PROCESSLIST WHERE USER = ?",
      [LOGIN],
    );
  };
  const open = async (options: OpenOptions = {}): Promise<OpenServer> => {
    const server = await openServer(sandbox, options, () => opened.delete(server));
    const quiet = () => until("no thread of ours to be left", async () => (await threads(options.server)).length === 0);
    opened.add(server);
    onTestFinished(async () => {
      await server.close();
      await quiet();
    });
    return server;
  };
  const stop = async () => {
    await Promise.all([...opened].map((server) => server.close()));
    await sandbox.stop();
  };
  return { sandbox, open, threads, stop };
}

async function openServer(sandbox: Sandbox, options: OpenOptions, closed: () => boolean): Promise<OpenServer> {
  const { server: name = "crm", maxConnections = 20, pulse: pulsing = true } = options;
  const proxy = await startFaultProxy(sandbox[name]);
  const own = { port: proxy.port, maxConnections, ...(options.password ? { password: options.password } : {}) };
  const settings = { servers: { [name]: own }, pool: { ...TENTH, ...options.pool } };
  const config = loadConfig({ file: await sandbox.config(settings), env: {} });
  const edges: string[] = [];
  const changes = new EventTarget();
  const server = connect(name, config, systemClock, new News(), (trouble) => {
    edges.push(trouble ?? "recovered");
    changes.dispatchEvent(new Event("change"));
  });
  const pulse = new Pulse(server.db, systemClock);
  if (pulsing) await pulse.start();
  return {
    ...server,
    proxy,
    edges,
    until: async (state) => {
      while (server.db.breaker.state !== state) await once(changes, "change");
    },
    close: async () => {
      if (!closed()) return;
      await proxy.set("pass");
      await pulse.stop();
      await server.pool.drain(200);
      await proxy.stop();
    },
  };
}

/** A statement that takes so long on the server, in seconds. */
export const sleeping = (seconds: number) => statement("test.sleep", `SELECT SLEEP(${seconds}) AS slept`);
