import type { Section, Setting, Settings } from "./setting.js";
import { closest } from "./suggest.js";

/** Where a value comes from; a password also from the file or credential that holds it. */
export type Source = "file" | "environment" | "default" | "passwordFile" | "credential";

/** A setting given by the environment. */
export interface Override {
  readonly variable: string;
  readonly text: string;
}

/** What one parse reads from, and what it finds. */
export interface Parsing {
  readonly overrides: ReadonlyMap<string, Override>;
  where(this: void, path: readonly string[]): string;
  readonly root: Settings;
  readonly problems: string[];
  readonly sources: Map<string, Source>;
}

/** A tree of values as deep as the settings; a value with a problem is missing, and the problem is told. */
export type Tree = { [key: string]: unknown };

/** Every setting below with its dotted path, in order. */
export function* leaves(settings: Settings, above: readonly string[] = []): Generator<[string, Setting<unknown>]> {
  for (const [key, node] of Object.entries(settings)) {
    if (isSection(node)) yield* leaves(node.settings, [...above, key]);
    else yield [[...above, key].join("."), node];
  }
}

/** The values of a section: for each setting the environment's, else the written one, else the default. */
export function parseSection(settings: Settings, written: unknown, path: readonly string[], parsing: Parsing): Tree {
  const given = asGroup(written, path, parsing);
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(settings, key))
      tell(parsing, [...path, key], `is no setting; did you mean "${meant(key, path, settings, parsing)}"?`);
  }
  const values: Tree = {};
  for (const [key, node] of Object.entries(settings)) {
    const here = [...path, key];
    const raw = Object.hasOwn(given, key) ? given[key] : undefined;
    const value = isSection(node)
      ? parseSection(node.settings, raw, here, parsing)
      : parseSetting(node, raw, here, parsing);
    if (value !== undefined) values[key] = value;
  }
  return values;
}

/** Adds one line: where, what is wrong, what to write instead. */
export function tell(parsing: Parsing, path: readonly string[], what: string): void {
  parsing.problems.push(`${[parsing.where(path), path.join(".")].join(" ").trim()}: ${what}`);
}

/** Whether this node of the table is a section, not a setting. */
export function isSection(node: Setting<unknown> | Section<Settings>): node is Section<Settings> {
  return "settings" in node;
}

function asGroup(written: unknown, path: readonly string[], parsing: Parsing): Tree {
  if (written === undefined || written === null) return {};
  if (typeof written === "object" && !Array.isArray(written)) return Object.fromEntries(Object.entries(written));
  const what = `${shown(written)} is not a group of settings; write them as "name: value", one a line, indented below it`;
  tell(parsing, path, what);
  return {};
}

/** The same name elsewhere, else the nearest name here: a setting in the wrong section is the commonest slip. */
function meant(key: string, path: readonly string[], settings: Settings, parsing: Parsing): string {
  const near = closest(key, Object.keys(settings)) ?? "";
  const elsewhere = [...leaves(parsing.root)].map(([full]) => full).find((full) => full.endsWith(`.${key}`));
  return elsewhere ?? [...path, near].join(".");
}

function parseSetting(setting: Setting<unknown>, written: unknown, path: readonly string[], parsing: Parsing): unknown {
  const override = parsing.overrides.get(path.join("."));
  const told = override ? setting.fromText(override.text) : written;
  const source = override ? "environment" : written === undefined ? "default" : "file";
  const raw = told === undefined ? setting.byDefault : told;
  if (raw === undefined) {
    if (!setting.optional && !setting.secret)
      tell(parsing, path, `is missing; write ${path.at(-1)}: ${String(setting.sample)}`);
    return undefined;
  }
  parsing.sources.set(path.join("."), source);
  const result = setting.schema.safeParse(raw);
  if (result.success) return result.data;
  const wrong = `${setting.secret ? "the value" : shown(raw)} is not ${setting.type}; write ${setting.example}`;
  const what = raw === null ? `is empty; write ${setting.type}, or leave the line out` : wrong;
  if (override) parsing.problems.push(`${override.variable} (${path.join(".")}): ${what}`);
  else tell(parsing, path, what);
  return undefined;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
