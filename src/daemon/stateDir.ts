import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { CampaigndError, describe } from "../errors.js";
import { type Instance, lockName } from "../health/instance.js";

/** The right to use stateDir, held until released or until the process ends, however it ends. */
export interface StateDir {
  /** This process's owner id: the machine and a random part drawn at every start. */
  readonly owner: string;
  /** The owner id of the process that had this stateDir before; '' when there was none. */
  readonly predecessor: string;
  release(): Promise<void>;
}

const OWNER_FILE = "owner";
const ANSWERED_WITHIN = 1000;

/**
 * Locks stateDir by an abstract unix socket, which the kernel frees at death, so that a killed daemon leaves no stale lock and
 * whoever gets it knows that the predecessor is dead; whoever connects is told how this daemon is. Throws `config` when the
 * folder cannot be used, `stopped` when it is in use.
 */
export async function lockStateDir(dir: string, answer: () => Instance): Promise<StateDir> {
  const path = usable(dir);
  const callers = new Set<Socket>();
  const server = await bind(lockName(path), dir, answer, callers);
  const owner = `${machineId()}-${randomUUID()}`;
  const predecessor = exchangeOwner(join(path, OWNER_FILE), owner, dir);
  return { owner, predecessor, release: () => release(server, callers) };
}

/** Nobody who is connected can hold the shutdown: every caller has a second, and none at the end. */
function release(server: Server, callers: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    for (const caller of callers) caller.destroy();
  });
}

/** Keeps our id for the next start. An id of another machine came with a copied folder: its daemon may well be alive. */
function exchangeOwner(file: string, owner: string, dir: string): string {
  try {
    const last = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
    writeFileSync(file, `${owner}\n`, { mode: 0o600 });
    return last.startsWith(`${machineId()}-`) ? last : "";
  } catch (error) {
    throw unusable(dir, error);
  }
}

function usable(dir: string): string {
  try {
    if (!statSync(dir).isDirectory()) throw new Error("it is not a folder");
    return realpathSync(dir);
  } catch (error) {
    throw unusable(dir, error);
  }
}

function unusable(dir: string, error: unknown): CampaigndError {
  const advice = `create it for campaignd's user alone (mkdir -m 0750 ${dir}) or set stateDir to a folder that is its own`;
  return new CampaigndError("config", `stateDir ${dir} cannot be used: ${describe(error)}; ${advice}`);
}

function bind(name: string, dir: string, answer: () => Instance, callers: Set<Socket>): Promise<Server> {
  const server = createServer((socket) => {
    callers.add(socket);
    socket.on("close", () => callers.delete(socket));
    socket.on("error", () => undefined);
    socket.setTimeout(ANSWERED_WITHIN, () => socket.destroy());
    socket.end(JSON.stringify(answer()));
  });
  server.unref();
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EADDRINUSE") return reject(error);
      reject(
        new CampaigndError(
          "stopped",
          `another campaignd already uses stateDir ${dir}; stop it, or give this one a stateDir of its own`,
        ),
      );
    });
    server.listen(name, () => resolve(server));
  });
}

function machineId(): string {
  const file = "/etc/machine-id";
  return existsSync(file) ? readFileSync(file, "utf8").trim().slice(0, 12) || "unknown" : "unknown";
}
