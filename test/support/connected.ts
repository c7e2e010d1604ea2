import { systemClock } from "../../src/clock.js";
import { type Config, loadConfig } from "../../src/config/config.js";
import { connect, type Server } from "../../src/db/connect.js";
import type { Database } from "../../src/db/database.js";
import { News } from "../../src/events.js";
import type { Sandbox } from "./sandbox.js";

/** Both databases as the daemon reaches them: its login and grants, its session settings, its pools. */
export interface Connected {
  readonly emailId: Database;
  readonly crm: Database;
  readonly servers: { readonly emailId: Server; readonly crm: Server };
  readonly config: Config;
  end(): Promise<void>;
}

/** Dials nothing before the first statement. */
export function connected({ configFile }: Pick<Sandbox, "configFile">): Connected {
  const config = loadConfig({ file: configFile, env: {} });
  const [news, edge] = [new News(), () => undefined];
  const emailId = connect("emailId", config, systemClock, news, edge);
  const crm = connect("crm", config, systemClock, news, edge);
  return {
    emailId: emailId.db,
    crm: crm.db,
    servers: { emailId, crm },
    config,
    end: async () => {
      await Promise.all([emailId.pool.drain(1000), crm.pool.drain(1000)]);
    },
  };
}
