import { readFileSync, statSync } from "node:fs";
import { type Document, isMap, isNode, LineCounter, parseDocument } from "yaml";
import { CampaigndError } from "../errors.js";

/** What a configuration file says, before anybody has judged it. */
export interface ConfigFile {
  readonly written: unknown;
  /** "file:line" of a key, or the file alone where the key is not written. */
  where(this: void, path: readonly string[]): string;
  /** Whether somebody besides the owner can read the file. */
  readonly exposed: boolean;
}

/** Reads a YAML file; a missing, unreadable or malformed one throws `config` with one line a problem. */
export function readConfigFile(file: string): ConfigFile {
  const { text, exposed } = contentOf(file);
  const lines = new LineCounter();
  // Pretty errors quote the line they are about, which may hold a password.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "silent" });
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    const told = faults.map(
      ({ message, pos }) => `${file}:${lines.linePos(pos[0]).line}: is not YAML: ${oneLine(message)}`,
    );
    throw new CampaigndError("config", told.join("\n"), { file, problems: told.length });
  }
  return {
    written: plain(document, file),
    where: (path) => {
      const line = lineOf(document, path, lines);
      return line === undefined ? file : `${file}:${line}`;
    },
    exposed,
  };
}

/** Whether the mode bits let the group or everybody read. */
export function readableByOthers(mode: number): boolean {
  return (mode & 0o044) !== 0;
}

/** Why a file cannot be read, in words. */
export function whyUnreadable(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT") return "does not exist";
  if (code === "EACCES" || code === "EPERM") return "may not be read by this user";
  if (code === "EISDIR") return "is a folder, not a file";
  return `cannot be read (${String(code ?? error)})`;
}

function contentOf(file: string): { text: string; exposed: boolean } {
  try {
    const text = readFileSync(file, "utf8");
    return { text, exposed: readableByOthers(statSync(file).mode) };
  } catch (cause) {
    const advice =
      "name another with --config FILE or CAMPAIGND_CONFIG; `campaignd config example` prints one to start from";
    throw new CampaigndError(
      "config",
      `${file}: the configuration file ${whyUnreadable(cause)}; ${advice}`,
      { file },
      { cause },
    );
  }
}

function plain(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new CampaigndError("config", `${file}: is not usable YAML: ${oneLine(String(cause))}`, { file }, { cause });
  }
}

function lineOf(document: Document, path: readonly string[], lines: LineCounter): number | undefined {
  const holder = path.length > 1 ? document.getIn(path.slice(0, -1), true) : document.contents;
  if (!isMap(holder)) return undefined;
  const pair = holder.items.find(({ key }) => String(key) === path.at(-1));
  const start = isNode(pair?.key) ? pair.key.range?.[0] : undefined;
  return start === undefined ? undefined : lines.linePos(start).line;
}

const oneLine = (text: string): string => text.replace(/\s+/g, " ").trim();
