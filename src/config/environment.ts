import { settings } from "./settings.js";
import { closest } from "./suggest.js";
import { leaves, type Override } from "./tree.js";

const NOT_SETTINGS: ReadonlySet<string> = new Set(["CAMPAIGND_CONFIG"]);

/** The overrides by dotted path, and one line for each variable that cannot be one (contract §9). */
export function overridesFrom(env: NodeJS.ProcessEnv): { overrides: Map<string, Override>; problems: string[] } {
  const known = new Map([...leaves(settings)].map(([path, { secret }]) => [variableOf(path), { path, secret }]));
  const overrides = new Map<string, Override>();
  const problems: string[] = [];
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith("CAMPAIGND_") || NOT_SETTINGS.has(variable) || text === undefined) continue;
    const setting = known.get(variable);
    if (!setting)
      problems.push(
        `${variable}: no setting has this variable; did you mean "${closest(variable, [...known.keys()])}"?`,
      );
    else if (setting.secret) problems.push(`${variable}: ${refusal(setting.path)}`);
    else overrides.set(setting.path, { variable, text });
  }
  return { overrides, problems };
}

/** `servers.emailId.maxConnections` is CAMPAIGND_SERVERS_EMAIL_ID_MAX_CONNECTIONS. */
export function variableOf(path: string): string {
  const words = path.replace(/([a-z0-9])([A-Z])/g, "$1_$2").replaceAll(".", "_");
  return `CAMPAIGND_${words.toUpperCase()}`;
}

function refusal(path: string): string {
  const holder = path.split(".").at(-2);
  return (
    "a password is not taken from the environment, which child processes, crash reports and /proc show; " +
    `use ${path}File or the systemd credential ${holder}.password`
  );
}
