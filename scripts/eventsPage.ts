import { readFileSync } from "node:fs";
import { join } from "node:path";
import { EVENTS, type EventName, type Level } from "../src/events.js";
import { projectRoot } from "../test/support/projectRoot.js";

const LEVELS: readonly { readonly level: Level; readonly means: string }[] = [
  { level: "error", means: "a human should look" },
  { level: "warn", means: "campaignd coped, or waits and goes on by itself" },
  { level: "info", means: "campaigns and the daemon itself" },
  { level: "debug", means: "single mails and batches; not written unless `log.level` is `debug`" },
];

const HEAD = `# Events

<!-- Written by \`npm run docs\` from src/events.ts; edits here are lost. -->

Each piece of news is one line of JSON on standard output or in \`log.file\`. Every line has \`level\` (20 debug, 30 info, 40 warn,
50 error), \`time\` (UTC), \`event\` and \`says\` (the sentence below), and beside them the keys of its event. Keys that end in \`ms\` or
\`Ms\` are milliseconds. Addresses show only their domain unless \`log.addresses\` is \`full\`; passwords never appear. What to do about a
line: [operations.md](operations.md).
`;

/** docs/events.md: every event by level, with its sentence and the keys of its line. */
export function eventsPage(): string {
  const keys = eventKeys();
  const names = Object.keys(EVENTS) as EventName[];
  const sections = LEVELS.map(({ level, means }) => {
    const rows = names.filter((name) => EVENTS[name].level === level).map((name) => row(name, keys.get(name) ?? []));
    return [`## ${level}: ${means}`, "", "| event | says | keys |", "|---|---|---|", ...rows, ""].join("\n");
  });
  return [HEAD, ...sections].join("\n");
}

/** Keys of each event in their order. Types are gone at run time, so they are read from the text of the map itself. */
export function eventKeys(): ReadonlyMap<string, readonly string[]> {
  const text = readFileSync(join(projectRoot(), "src/events.ts"), "utf8");
  const map = /export interface EventMap \{\n([\s\S]*?)\n\}/.exec(text)?.[1] ?? "";
  const entries = [...map.matchAll(/"(\w+:\w+)": \{([^}]*)\}/g)];
  return new Map(entries.map(([, name = "", facts = ""]) => [name, keysIn(facts)]));
}

function keysIn(facts: string): string[] {
  return [...facts.matchAll(/(\w+)\??:/g)].map((match) => match[1] ?? "");
}

function row(name: EventName, keys: readonly string[]): string {
  return `| \`${name}\` | ${EVENTS[name].says} | ${keys.map((key) => `\`${key}\``).join(", ")} |`;
}
