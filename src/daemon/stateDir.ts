import { createHash, randomUUID } from "node:crypto";
import { existsSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { CampaigndError, describe } from "../errors.js";

/** The right to use stateDir, held until released or until the process ends, however it ends. */
export interface StateDir {
  /** This process's owner id: the machine and a random part drawn at every start. */
  readonly owner: string;
  /** The owner id of the process that had this stateDir before; '' when there was none. */
  readonly predecessor: string;
  release(): Promise<void>;
}

const OWNER_FILE = "owner";

/**
 * Locks stateDir by an abstract unix socket, which the kernel frees at death, so that a killed daemon leaves no stale lock and
 * whoever gets it knows that the predecessor is dead. Throws `config` when the folder cannot be used, `stopped` when it is in use.
 */
export async function lockStateDir(dir: string): Promise<StateDir> {
  const path = usable(dir);
  const server = await bind(`\0campaignd-${createHash("sha256").update(path).digest("hex").slice(0, 32)}`, dir);
  const file = join(path, OWNER_FILE);
  const predecessor = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
  const owner = `${machineId()}-${randomUUID()}`;
  writeFileSync(file, `${owner}\n`, { mode: 0o600 });
  return { owner, predecessor, release: () => new Promise((resolve) => server.close(() => resolve())) };
}

function usable(dir: string): string {
  try {
    if (!statSync(dir).isDirectory()) throw new Error("it is not a folder");
    return realpathSync(dir);
  } catch (error) {
    const advice = `create it for campaignd's user alone (mkdir -m 0750 ${dir}) or set stateDir to a folder that exists`;
    throw new CampaigndError("config", `stateDir ${dir} cannot be used: ${describe(error)}; ${advice}`);
  }
}

function bind(name: string, dir: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
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
