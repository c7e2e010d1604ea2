import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { readableByOthers, whyUnreadable } from "./file.js";
import { type Parsing, type Tree, tell } from "./tree.js";

export interface Keeping {
  /** Whether others can read the configuration file itself. */
  readonly exposed: boolean;
  /** systemd's $CREDENTIALS_DIRECTORY. */
  readonly credentials: string | undefined;
}

/** Puts a server's password in its place: as written, else from its file, else from its systemd credential. */
export function settlePassword(name: string, server: Tree, keeping: Keeping, parsing: Parsing): void {
  const path = ["servers", name, "password"];
  const { password, passwordFile } = server;
  if (typeof password === "string" && passwordFile !== undefined)
    return tell(parsing, path, "is given and so is passwordFile; keep one of them");
  if (typeof password === "string") {
    if (keeping.exposed)
      tell(
        parsing,
        path,
        "stands in a file that others can read; run chmod 600 on it, or move the password to a passwordFile",
      );
    return;
  }
  const told =
    parsing.sources.has(path.join(".")) || (passwordFile === undefined && parsing.sources.has(`${path.join(".")}File`));
  if (told) return;
  if (typeof passwordFile === "string") {
    put(
      server,
      read(passwordFile, ["servers", name, "passwordFile"], parsing, { guarded: true }),
      "passwordFile",
      path,
      parsing,
    );
    return;
  }
  if (keeping.credentials === undefined) {
    return tell(
      parsing,
      path,
      `is missing; write passwordFile: /etc/campaignd/${name}.password, or give the systemd credential ${name}.password`,
    );
  }
  // systemd makes credentials readable to this service alone, whatever their mode says.
  put(
    server,
    read(join(keeping.credentials, `${name}.password`), path, parsing, { guarded: false }),
    "credential",
    path,
    parsing,
  );
}

function put(
  server: Tree,
  password: string | undefined,
  source: "passwordFile" | "credential",
  path: readonly string[],
  parsing: Parsing,
): void {
  if (password === undefined) return;
  server.password = password;
  parsing.sources.set(path.join("."), source);
}

/** The first line of the file, or undefined when the trouble has been told. */
function read(
  file: string,
  path: readonly string[],
  parsing: Parsing,
  { guarded }: { guarded: boolean },
): string | undefined {
  try {
    if (guarded && readableByOthers(statSync(file).mode)) {
      tell(parsing, path, `${file} can be read by others; run chmod 600 ${file}`);
      return undefined;
    }
    const password = readFileSync(file, "utf8").split(/\r?\n/, 1)[0] ?? "";
    if (password === "") tell(parsing, path, `${file} is empty; write the password on its first line`);
    return password === "" ? undefined : password;
  } catch (error) {
    tell(parsing, path, `${file} ${whyUnreadable(error)}; write the password into it and run chmod 600 on it`);
    return undefined;
  }
}
