import { stringify } from "yaml";
import { variableOf } from "./environment.js";
import type { Section, Setting, Settings } from "./setting.js";
import { settings } from "./settings.js";
import { isSection, leaves } from "./tree.js";

const INTRODUCTION = `# Configuration

campaignd reads one YAML file: the one named by \`--config FILE\`, else by \`$CAMPAIGND_CONFIG\`, else
\`/etc/campaignd/campaignd.yaml\`. \`campaignd config example\` prints a documented one to start from,
\`campaignd config check\` says whether a file is right, and \`campaignd config show\` prints every value
with its source. All problems are told together, one a line; the exit code is then 78, which no restart mends.

- **Durations** are a number with a unit: \`250ms\`, \`5s\`, \`10m\`, \`2h\`, \`5d\`; a bare number is seconds.
- **Sizes** are a number with a unit: \`512KB\`, \`25MB\`, \`1GB\`; a bare number is bytes.
- **Environment**: each setting except a password can be overridden by \`CAMPAIGND_\` and its path in capitals,
  split where the path has a dot or a new word begins: \`servers.emailId.maxConnections\` is
  \`CAMPAIGND_SERVERS_EMAIL_ID_MAX_CONNECTIONS\`. Lists are separated by commas or written as JSON; tables are JSON.
- **Passwords** come from \`passwordFile\` (its first line), else from the systemd credential \`emailId.password\` or
  \`crm.password\`. One written as \`password\` is taken only from a file that nobody but its owner can read;
  the environment is refused.
- **Unknown** settings and \`CAMPAIGND_\` variables are an error, so that a slip of the pen does not silently leave a default.
`;

/** The documented example file: required settings written out, all others as comments that hold their default. */
export function exampleFile(): string {
  const heading = [
    "# campaignd: every setting with its default. Uncomment a line to change it; `campaignd config check` reads the result.",
    "# Durations: 250ms, 5s, 10m, 2h, 5d (a bare number is seconds). Sizes: 512KB, 25MB, 1GB.",
  ];
  return `${[...heading, ...exampleLines(settings, "")].join("\n")}\n`;
}

/** The reference page: a table a section. */
export function configurationPage(): string {
  const top = Object.entries(settings).filter(([, node]) => !isSection(node));
  const general = pageSection("General", "Settings of no section.", Object.fromEntries(top) as Settings, []);
  const others = Object.entries<Setting<unknown> | Section<Settings>>(settings).flatMap(([key, node]) =>
    isSection(node) ? [pageSection(key, node.sentence, node.settings, [key])] : [],
  );
  return [INTRODUCTION, general, ...others].join("\n");
}

/** A value as it stands behind its key, on one line. */
export function inline(value: unknown): string {
  return stringify(value, {
    collectionStyle: "flow",
    flowCollectionPadding: false,
    blockQuote: false,
    lineWidth: 0,
  }).trim();
}

function exampleLines(section: Settings, indent: string): string[] {
  return Object.entries(section).flatMap(([key, node], index, all) => {
    if (isSection(node)) {
      return ["", `${indent}# ${node.sentence}`, `${indent}${key}:`, ...exampleLines(node.settings, `${indent}  `)];
    }
    const written = `${key}: ${inline(node.byDefault ?? node.sample)}`;
    const must = node.byDefault === undefined && !node.optional && !node.secret;
    const about = `${indent}# ${node.sentence} (${node.type}; ${defaultOf(node)})`;
    const before = all[index - 1]?.[1];
    const gap = before && isSection(before) ? [""] : [];
    return [...gap, about, must ? `${indent}${written}` : `${indent}# ${written}`];
  });
}

function pageSection(title: string, sentence: string, section: Settings, path: readonly string[]): string {
  const rows = [...leaves(section, path)].map(([name, node]) => {
    const cells = [`\`${name}\``, node.type, defaultOf(node, "`"), node.sentence, `\`${variableOf(name)}\``];
    if (node.secret) cells[4] = "none";
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  const head = ["| Setting | Type | Default | Meaning | Variable |", "|---|---|---|---|---|"];
  return `${[`## ${title}`, "", sentence, "", ...head, ...rows].join("\n")}\n`;
}

function defaultOf(node: Setting<unknown>, quote = ""): string {
  if (node.byDefault !== undefined) return `${quote ? "" : "default "}${quote}${inline(node.byDefault)}${quote}`;
  return node.optional || node.secret ? "no default" : "required";
}
