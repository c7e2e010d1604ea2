import type { Clock } from "../clock.js";
import type { Server } from "../db/connect.js";
import { type Probe, probe } from "../db/schema.js";
import { CampaigndError, describe, isKind } from "../errors.js";
import type { News, ServerName } from "../events.js";

const AGAIN = 2000;
const SAY_EVERY = 15;

/**
 * Looks at one server's tables before anything is sent. An unreachable server is waited for; what no waiting mends (a refused
 * login, a missing table) throws `config` with what to do (contract §7). Undefined when `stopped` comes first.
 */
export async function firstContact(
  name: ServerName,
  server: Server,
  clock: Clock,
  news: News,
  stopped: AbortSignal,
): Promise<Probe | undefined> {
  for (let tries = 0; !stopped.aborted; tries += 1) {
    const from = clock.monotonic();
    try {
      const found = await probe(server.db);
      news.emit("db:connected", {
        server: name,
        ms: Math.round(clock.monotonic() - from),
        version: server.setup.traits?.version ?? "",
      });
      return accept(name, found, news);
    } catch (error) {
      if (isKind(error, "misconfigured", "schema") || refuses(server, error))
        throw new CampaigndError("config", advice(name, error));
      if (!isKind(error, "unreachable", "contention", "readOnly", "resources")) throw error;
      if (tries % SAY_EVERY === 0) news.emit("db:waiting", { server: name, err: describe(error) });
      await clock.sleep(AGAIN, stopped);
    }
  }
  return undefined;
}

/** Who waited in vain for a connection because each was refused has met a refusal, not a silence. */
function refuses({ db }: Server, error: unknown): error is CampaigndError {
  const { state } = db.breaker;
  return error instanceof CampaigndError && (state === "misconfigured" || state === "schema");
}

function accept(name: ServerName, found: Probe, news: News): Probe {
  if (found.missing.length > 0) {
    throw new CampaigndError(
      "config",
      `servers.${name}: ${found.missing.join(", ")} missing; check servers.${name}.database and the grants of its user`,
    );
  }
  if (found.sideTables === "absent") {
    const tables = found.absentSideTables.join(", ");
    throw new CampaigndError(
      "config",
      `campaignd's own tables are missing on Server 2 (${tables}); create them with: campaignd schema apply`,
    );
  }
  if (found.sideTables === "newer") {
    throw new CampaigndError(
      "config",
      "campaignd's own tables are of a newer version; run the campaignd that made them, or a later one",
    );
  }
  if (found.sideTables === "older") {
    throw new CampaigndError(
      "config",
      "campaignd's own tables are of an older version; bring them up to date with: campaignd schema apply",
    );
  }
  for (const note of found.notes) news.emit("schema:missing", { server: name, ...note });
  return found;
}

function advice(name: ServerName, error: CampaigndError): string {
  return `servers.${name} refuses us: ${error.message}; check user, password and database in the configuration and the grants on the server`;
}
