import { constants } from "node:fs";
import { type FileHandle, open, realpath, stat } from "node:fs/promises";
import { basename, isAbsolute, join, relative, resolve, sep } from "node:path";
import { CampaigndError, describe } from "../errors.js";

/** The settings files.*: where a campaign's files may lie and how large one may be. */
export interface FileRoots {
  readonly roots: readonly string[];
  /** Stored URL or path prefixes, each with the directory that it stands for. */
  readonly prefixes: Readonly<Record<string, string>>;
  readonly maxBytes: number;
}

/** A file as it was read: its real path, its bytes and the name that a recipient sees. */
export interface ResolvedFile {
  readonly path: string;
  readonly bytes: Buffer;
  readonly name: string;
}

/**
 * Reads the file that a stored path means (contract §6). Throws `files`, in words that say what to do, where it is
 * missing, outside the roots by its real path, no regular file or too large.
 */
export async function resolveFile(stored: string, files: FileRoots): Promise<ResolvedFile> {
  const candidates = candidatesOf(stored, files);
  const roots = await realRoots(files.roots);
  const outside: string[] = [];
  for (const candidate of candidates) {
    const path = await realpath(candidate).catch(() => undefined);
    if (path === undefined) continue;
    if (!roots.some((root) => isInside(path, root))) outside.push(candidate);
    else return { path, bytes: await readWhole(path, stored, files.maxBytes), name: basename(candidate) };
  }
  if (outside.length > 0) {
    throw problem(
      stored,
      `lies outside files.roots (${list(outside)}); move it into a root, or add its directory to files.roots`,
    );
  }
  throw problem(
    stored,
    `was not found; tried ${list(candidates)}. Put it there, or correct the campaign or files.roots and files.prefixes`,
  );
}

/** The single paths of an attachment_path: separated by commas or line breaks. */
export function attachmentList(attachmentPath: string | null): string[] {
  return (attachmentPath ?? "")
    .split(/[,\r\n]+/)
    .map((path) => path.trim())
    .filter((path) => path !== "");
}

/** Where a stored path may mean: under its prefix's directory, else itself if absolute, else in each root. */
function candidatesOf(stored: string, { roots, prefixes }: FileRoots): string[] {
  if (stored.includes("\0")) throw problem(stored, "holds a NUL character; correct the campaign");
  if (roots.length === 0)
    throw problem(
      stored,
      "cannot be read while files.roots is empty; name the directory that holds the campaigns' files there",
    );
  const mapped = mapPrefix(stored, prefixes);
  if (mapped) return spellings(mapped.rest).map((rest) => join(mapped.directory, rest));
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(stored))
    throw problem(stored, "is a URL that no prefix maps; add its beginning to files.prefixes");
  if (isAbsolute(stored)) return spellings(stored).map((path) => resolve(path));
  return roots.flatMap((root) => spellings(stored).map((path) => join(root, path)));
}

/** The longest prefix that the path begins with, up to a whole path segment; of a URL, only the path counts. */
function mapPrefix(
  stored: string,
  prefixes: Readonly<Record<string, string>>,
): { directory: string; rest: string } | undefined {
  const prefix = Object.keys(prefixes)
    .filter((known) => known !== "" && stored.startsWith(known))
    .filter((known) => known.endsWith("/") || ["", "/"].includes(stored.charAt(known.length)))
    .sort((a, b) => b.length - a.length)[0];
  const directory = prefix === undefined ? undefined : prefixes[prefix];
  if (prefix === undefined || directory === undefined) return undefined;
  const rest = stored.slice(prefix.length);
  return { directory, rest: /^[a-z]+:/i.test(stored) ? rest.replace(/[?#].*$/s, "") : rest };
}

/** As written, and with its percent signs decoded: the UI stores both. */
function spellings(path: string): string[] {
  if (!path.includes("%")) return [path];
  try {
    const decoded = decodeURIComponent(path);
    return decoded === path || decoded.includes("\0") ? [path] : [path, decoded];
  } catch {
    return [path];
  }
}

async function realRoots(roots: readonly string[]): Promise<string[]> {
  const real = await Promise.all(roots.map((root) => realpath(root).catch(() => undefined)));
  return real.filter((root) => root !== undefined);
}

function isInside(path: string, root: string): boolean {
  const way = relative(root, path);
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/** Opens without following a last link or waiting for a pipe; what is read is what was checked, also if a link is swapped meanwhile. */
async function readWhole(path: string, stored: string, maxBytes: number): Promise<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (cause: unknown) => {
      throw problem(stored, `cannot be opened at ${path} (${describe(cause)}); let the daemon's user read it`, cause);
    },
  );
  try {
    return await readChecked(handle, path, stored, maxBytes);
  } finally {
    await handle.close();
  }
}

async function readChecked(handle: FileHandle, path: string, stored: string, maxBytes: number): Promise<Buffer> {
  const opened = await handle.stat();
  if (!opened.isFile()) throw problem(stored, `is no regular file (${path}); name a file`);
  if (opened.size > maxBytes)
    throw problem(
      stored,
      `has ${opened.size} bytes, files.maxFile allows ${maxBytes} (${path}); shrink it or raise the limit`,
    );
  const named = await stat(await realpath(path).catch(() => path)).catch(() => undefined);
  if (named?.ino !== opened.ino || named.dev !== opened.dev)
    throw problem(stored, `was replaced while it was read (${path}); resume the campaign when it stays`);
  const bytes = Buffer.alloc(opened.size + 1);
  let length = 0;
  while (length < bytes.length) {
    const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  if (length !== opened.size)
    throw problem(stored, `changed its size while it was read (${path}); resume the campaign when it is complete`);
  return bytes.subarray(0, length);
}

function problem(stored: string, what: string, cause?: unknown): CampaigndError {
  return new CampaigndError(
    "files",
    `The file "${stored}" ${what}.`,
    { file: stored },
    cause === undefined ? {} : { cause },
  );
}

function list(paths: readonly string[]): string {
  return paths.join(", ");
}
