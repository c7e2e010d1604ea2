import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { type Connection, createConnection } from "mysql2/promise";
import { after, seconds, systemClock } from "../../src/clock.js";
import { freePort } from "./freePort.js";
import { dataTemplate, SERVER_ENV, STORAGE_OPTIONS } from "./mariadbTemplate.js";
import { projectRoot } from "./projectRoot.js";

const run = promisify(execFile);

export interface MariadbOptions {
  /** Everything of the server lies in `<dir>/<name>`. */
  readonly dir: string;
  readonly name: string;
  /** A free one by default. */
  readonly port?: number;
  /** More options for mariadbd, e.g. `--default-time-zone=+05:30`. */
  readonly extra?: readonly string[];
  /** Removes the server's folder when its owner dies without stopping it. */
  readonly removeWhenOrphaned?: boolean;
  /** Asked at each start for a command that runs mariadbd elsewhere, e.g. in a network namespace; root() then takes the socket. */
  readonly within?: () => readonly string[];
}

/** One private MariaDB server on 127.0.0.1; it ends with the process that started it, however that dies. */
export interface MariadbServer {
  readonly port: number;
  readonly socket: string;
  readonly dir: string;
  readonly rootPassword: string;
  /** The pid of mariadbd; another one after restart(). */
  readonly pid: number;
  /** A new connection as administrator, several statements a query allowed, times as strings. */
  root(): Promise<Connection>;
  /** Sends a signal, e.g. SIGKILL for a crash, SIGSTOP and SIGCONT for a stall. */
  kill(signal: NodeJS.Signals): void;
  /** Stops the server unless it is dead already and starts it on the same data and port. */
  restart(): Promise<void>;
  /** Ends the server: SIGTERM, after 15 s SIGKILL. The data stay. */
  stop(): Promise<void>;
}

/** Starts a private mariadbd on a fresh data directory and returns when it answers; throws with its error log's end. */
export async function startMariadb(options: MariadbOptions): Promise<MariadbServer> {
  const dir = join(options.dir, options.name);
  const rootPassword = randomBytes(12).toString("hex");
  await layOut(dir, rootPassword);
  const socket = await socketPath(dir);
  const folder = options.removeWhenOrphaned ? dir : "-";
  let port = options.port ?? (await freePort());
  const start = () => {
    const words = ["mariadbd", ...serverOptions(dir, socket, port), ...(options.extra ?? [])];
    return startProcess(folder, dir, [...(options.within?.() ?? []), ...words]);
  };
  const root = () =>
    createConnection({
      ...(options.within ? { socketPath: socket } : { host: "127.0.0.1", port }),
      user: "root",
      password: rootPassword,
      multipleStatements: true,
      dateStrings: true,
    });

  let server = await start();
  while (!(await answers(server, root))) {
    const log = await readFile(join(dir, "error.log"), "utf8").catch(() => "");
    if (options.port !== undefined || !/Bind on TCP.IP port|Address already in use/.test(log)) {
      throw new Error(`mariadbd ${options.name} did not start: ${log.slice(-1500)}`);
    }
    port = await freePort(); // somebody took the port between our look and mariadbd's bind
    await writeFile(join(dir, "error.log"), "");
    server = await start();
  }

  return {
    get port() {
      return port;
    },
    get pid() {
      return server.pid;
    },
    socket,
    dir,
    rootPassword,
    root,
    kill: (signal) => void process.kill(server.pid, signal),
    restart: async () => {
      await stopProcess(server);
      server = await start();
      if (!(await answers(server, root))) throw new Error(`mariadbd ${options.name} did not start again: see ${dir}`);
    },
    stop: async () => {
      await stopProcess(server);
      if (!socket.startsWith(dir)) await rm(dirname(socket), { recursive: true, force: true });
    },
  };
}

async function layOut(dir: string, rootPassword: string): Promise<void> {
  await mkdir(join(dir, "tmp"), { recursive: true, mode: 0o700 });
  await run("cp", ["-a", "--reflink=auto", await dataTemplate(), join(dir, "data")]);
  const account = `'root'@'127.0.0.1' IDENTIFIED BY '${rootPassword}'`;
  const init = [`CREATE OR REPLACE USER ${account};`, "GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;"];
  const others = `ALTER USER 'root'@'localhost' IDENTIFIED BY '${rootPassword}';`;
  await writeFile(join(dir, "init.sql"), [...init, others, ""].join("\n"), { mode: 0o600 });
}

/** A Unix socket's path may have 107 bytes; a deep folder gets a short one elsewhere. */
async function socketPath(dir: string): Promise<string> {
  const inside = join(dir, "mariadb.sock");
  return Buffer.byteLength(inside) <= 100 ? inside : join(await mkdtemp(join(tmpdir(), "cmd-")), "s");
}

function serverOptions(dir: string, socket: string, port: number): string[] {
  return [
    "--no-defaults",
    `--datadir=${join(dir, "data")}`,
    `--tmpdir=${join(dir, "tmp")}`,
    `--socket=${socket}`,
    `--pid-file=${join(dir, "mariadb.pid")}`,
    `--log-error=${join(dir, "error.log")}`,
    `--init-file=${join(dir, "init.sql")}`,
    `--port=${port}`,
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--max-connections=200",
    "--performance-schema=OFF",
    "--innodb-buffer-pool-size=128M",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-buffer-pool-dump-at-shutdown=OFF",
    "--innodb-buffer-pool-load-at-startup=OFF",
    ...STORAGE_OPTIONS,
  ];
}

interface Running {
  readonly keeper: ChildProcess;
  readonly pid: number;
  readonly ended: Promise<unknown>;
}

/** Starts mariadbd under its keeper, in a session of its own so that Ctrl-C of a terminal reaches the owner only. */
async function startProcess(folder: string, dir: string, command: readonly string[]): Promise<Running> {
  const keeperFile = join(projectRoot(), "test/support/keeper.mjs");
  const keeper = spawn(process.execPath, [keeperFile, folder, ...command], {
    cwd: dir,
    detached: true,
    env: SERVER_ENV,
    stdio: ["pipe", "pipe", "ignore"],
  });
  const ended = once(keeper, "exit");
  const [line] = await Promise.race([once(keeper.stdout, "data"), ended]);
  const pid = Number(String(line));
  if (!Number.isInteger(pid) || pid < 2) throw new Error(`mariadbd was not started: ${String(line).trim()}`);
  letOwnerExit(keeper);
  return { keeper, pid, ended };
}

/** An owner that forgets to stop us may exit all the same; the keeper then ends the server. */
function letOwnerExit(keeper: ChildProcess): void {
  keeper.unref();
  for (const pipe of [keeper.stdin, keeper.stdout]) {
    if (pipe && "unref" in pipe && typeof pipe.unref === "function") pipe.unref();
  }
}

/** True when an administrator can log in, false when mariadbd ended first. */
async function answers({ keeper }: Running, root: () => Promise<Connection>): Promise<boolean> {
  while (keeper.exitCode === null) {
    const connection = await root().catch(() => undefined);
    if (connection) {
      await connection.end();
      return true;
    }
    await systemClock.sleep(20);
  }
  return false;
}

async function stopProcess({ keeper, pid, ended }: Running): Promise<void> {
  if (keeper.exitCode !== null || keeper.signalCode !== null) return;
  keeper.ref();
  for (const signal of ["SIGCONT", "SIGTERM"] as const) tryKill(pid, signal);
  const giveUp = after(seconds(15), () => tryKill(pid, "SIGKILL"));
  await ended;
  giveUp();
}

function tryKill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it ended between our look and the signal
  }
}
