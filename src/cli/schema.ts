import { readFileSync } from "node:fs";
import { Command } from "commander";
import { systemClock } from "../clock.js";
import type { Config } from "../config/config.js";
import { connect, type Server } from "../db/connect.js";
import { type Probe, probe } from "../db/schema.js";
import { advice, apply, plan } from "../db/schemaApply.js";
import { grants } from "../db/sideTables.js";
import { describe, EXIT_CONFIG } from "../errors.js";
import { News, type ServerName } from "../events.js";
import { configOf } from "./configOf.js";

const SERVERS: readonly ServerName[] = ["emailId", "crm"];

/** `campaignd schema probe|plan|apply`: what the tables are, what would be created, and creating it. */
export function schemaCommand(): Command {
  const schema = new Command("schema").description("look at the tables, and create campaignd's own");
  schema
    .command("probe")
    .description("say what is there and what is missing; changes nothing")
    .option("--json", "machine-readable")
    .action(async (options: { json?: boolean }, command: Command) =>
      withServers(command, (servers) => show(servers, options.json === true)),
    );
  schema
    .command("plan")
    .description("print the DDL that apply would run, and index advice")
    .action(async (_: unknown, command: Command) => withServers(command, printPlan));
  schema
    .command("apply")
    .description("create campaignd's own tables on Server 2; prints the GRANTs that the daemon's login needs")
    .option("--user <name>", "an administrator's login on Server 2 (default: the configured one)")
    .option("--password-file <file>", "file that holds that login's password")
    .action(async (options: Login, command: Command) => withServers(command, applyAll, options));
  return schema;
}

interface Login {
  readonly user?: string;
  readonly passwordFile?: string;
}

type Servers = Readonly<Record<ServerName, Server>> & { readonly config: Config };

/** Runs one command with both servers and closes them; a server that cannot be asked is one clear line and a non-zero exit. */
async function withServers(
  command: Command,
  work: (servers: Servers) => Promise<void>,
  login: Login = {},
): Promise<void> {
  const config = configOf(command);
  if (!config) return;
  const news = new News();
  const to = (name: ServerName, chosen: Config) => connect(name, chosen, systemClock, news, () => undefined);
  const servers = { config, emailId: to("emailId", config), crm: to("crm", asAdministrator(config, login)) };
  try {
    await work(servers);
  } catch (error) {
    process.stderr.write(`campaignd: ${describe(error)}\n`);
    process.exitCode = 1;
  } finally {
    await Promise.all(SERVERS.map((name) => servers[name].pool.drain(1000)));
  }
}

function asAdministrator(config: Config, login: Login): Config {
  if (login.user === undefined) return config;
  const password =
    login.passwordFile === undefined ? "" : (readFileSync(login.passwordFile, "utf8").split("\n")[0] ?? "");
  return { ...config, servers: { ...config.servers, crm: { ...config.servers.crm, user: login.user, password } } };
}

async function show(servers: Servers, json: boolean): Promise<void> {
  const found = { emailId: await probe(servers.emailId.db), crm: await probe(servers.crm.db) };
  const ready = SERVERS.every((name) => found[name].missing.length === 0) && found.crm.sideTables === "ready";
  if (!ready) process.exitCode = EXIT_CONFIG;
  if (json) return print(JSON.stringify({ ready, ...found }, null, 2));
  for (const name of SERVERS) print(lines(name, servers[name], found[name]).join("\n"));
}

function lines(name: ServerName, server: Server, found: Probe): string[] {
  const title = name === "emailId" ? "Server 1 (email_id)" : "Server 2 (CRM)";
  const said = [`${title}: ${server.setup.traits?.version ?? "version unknown"}`];
  said.push(...found.missing.map((what) => `  missing: ${what}; nothing is sent without it`));
  said.push(...found.notes.map((note) => `  note: ${note.what}; ${note.follows}`));
  if (found.missing.length === 0) said.push("  every table and column that campaignd needs is there");
  if (name === "crm") said.push(`  campaignd's own tables: ${SIDE[found.sideTables]}`);
  if (found.clearLoginServers.length > 0) {
    said.push(
      `  may get a login in clear when they offer no STARTTLS (smtp.clearLogin): ${found.clearLoginServers.join(", ")}`,
    );
  }
  return said;
}

const SIDE: Readonly<Record<Probe["sideTables"], string>> = {
  ready: "ready",
  absent: "not all there; create them with: campaignd schema apply",
  older: "of an older version; bring them up to date with: campaignd schema apply",
  newer: "of a newer version; run a later campaignd",
};

async function printPlan({ crm }: Servers): Promise<void> {
  const found = await probe(crm.db);
  print(`-- Server 2: what \`campaignd schema apply\` runs\n${plan(found.absentSideTables).join(";\n")};`);
  const hints = advice(found);
  if (hints.length > 0) print(`\n-- Server 2: advice, never run by campaignd\n${hints.join(";\n")};`);
}

async function applyAll({ crm, config }: Servers): Promise<void> {
  const found = await probe(crm.db);
  if (found.sideTables === "newer")
    throw new Error("campaignd's own tables are of a newer version; nothing was changed");
  await apply(crm.db, found.absentSideTables);
  const made = found.absentSideTables;
  print(made.length === 0 ? "campaignd's own tables are there already" : `created ${made.join(", ")}`);
  const { emailId, crm: server2 } = config.servers;
  const needed = grants(`'${server2.user}'@'%'`, { emailId: emailId.database, crm: server2.database });
  print("\nThe daemon's login needs these rights (put its own host in place of %):");
  print(`-- on Server 1\n${needed.emailId.join(";\n")};\n-- on Server 2\n${needed.crm.join(";\n")};`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
