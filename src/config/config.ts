import { CampaigndError } from "../errors.js";
import { contradictions } from "./agreement.js";
import { overridesFrom } from "./environment.js";
import { readConfigFile } from "./file.js";
import { settlePassword } from "./password.js";
import type { Settings, Values } from "./setting.js";
import { settings } from "./settings.js";
import { isSection, type Parsing, parseSection, type Source, type Tree } from "./tree.js";

/** The configuration after parsing: complete, deeply frozen; durations are milliseconds, sizes bytes. */
export type Config = Values<typeof settings>;

/** Where loadConfig looks when neither --config nor $CAMPAIGND_CONFIG names a file. */
export const DEFAULT_FILE = "/etc/campaignd/campaignd.yaml";

/** The file that a command reads: the one named, else $CAMPAIGND_CONFIG, else DEFAULT_FILE (contract §9). */
export function configFile({
  file,
  env = process.env,
}: {
  file?: string | undefined;
  env?: NodeJS.ProcessEnv;
} = {}): string {
  return file ?? (env.CAMPAIGND_CONFIG || DEFAULT_FILE);
}

/** Reads file and environment; anything wrong throws one `config` error whose message has one line a problem. */
export function loadConfig(options: { file?: string | undefined; env?: NodeJS.ProcessEnv } = {}): Config {
  const env = options.env ?? process.env;
  const { written, where, exposed } = readConfigFile(configFile({ ...options, env }));
  return parseConfig(written, { env, where, exposed });
}

/** The same from a plain object, as the file would hold it. */
export function parseConfig(
  written: unknown,
  {
    env = {},
    where = () => "",
    exposed = false,
  }: { env?: NodeJS.ProcessEnv; where?: Parsing["where"]; exposed?: boolean } = {},
): Config {
  const { overrides, problems } = overridesFrom(env);
  const parsing: Parsing = { overrides, where, root: settings, problems, sources: new Map() };
  const tree = parseSection(settings, written, [], parsing);
  const servers = tree.servers as Record<string, Tree>;
  for (const [name, server] of Object.entries(servers)) {
    settlePassword(name, server, { exposed, credentials: env.CREDENTIALS_DIRECTORY }, parsing);
  }
  // The one place where the walked tree becomes the typed one: without a problem every setting has been parsed.
  const config = deepFrozen(tree) as Config;
  if (problems.length === 0) problems.push(...contradictions(config, where));
  if (problems.length > 0) throw new CampaigndError("config", problems.join("\n"), { problems: problems.length });
  sources.set(config, parsing.sources);
  return config;
}

/** The configuration as a file would hold it, every setting written out, passwords masked. */
export function describeConfig(config: Config): Tree {
  return writtenSection(settings, config as Tree);
}

/** Where each value of a loaded configuration comes from, by dotted path. */
export function sourcesOf(config: Config): ReadonlyMap<string, Source> {
  return sources.get(config) ?? new Map();
}

const sources = new WeakMap<Config, ReadonlyMap<string, Source>>();

function writtenSection(section: Settings, values: Tree): Tree {
  const written: Tree = {};
  for (const [key, node] of Object.entries(section)) {
    const value = values[key];
    if (value === undefined) continue;
    if (isSection(node)) written[key] = writtenSection(node.settings, value as Tree);
    else written[key] = node.secret ? "********" : node.write(value);
  }
  return written;
}

function deepFrozen<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  for (const inner of Object.values(value)) deepFrozen(inner);
  return Object.freeze(value);
}
