import { execFile } from "node:child_process";
import { chmod, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Raised whenever the options below change, so that an old template is not taken for a new one. */
const REVISION = 1;

/** mariadbd and mariadb-install-db live in /usr/sbin on Debian, which an ordinary user's PATH lacks. */
export const SERVER_ENV = {
  ...process.env,
  PATH: `${process.env.PATH ?? ""}:/usr/sbin:/usr/local/sbin:/usr/local/bin`,
};

/** Options that the template and every server made from it must share. */
export const STORAGE_OPTIONS: readonly string[] = [
  "--innodb-log-file-size=48M",
  "--character-set-server=utf8mb4",
  "--collation-server=utf8mb4_general_ci",
  ...(process.getuid?.() === 0 ? ["--user=root"] : []),
];

/**
 * The folder of a freshly installed data directory, made once per MariaDB version and user and then only copied:
 * mariadb-install-db takes seconds, a copy a fraction of one.
 */
export async function dataTemplate(): Promise<string> {
  const uid = process.getuid?.() ?? 0;
  const template = join(tmpdir(), `campaignd-template-${await serverVersion()}-${uid}-r${REVISION}`);
  if (!(await isOurs(template, uid))) await install(template);
  return template;
}

async function serverVersion(): Promise<string> {
  const { stdout } = await run("mariadbd", ["--no-defaults", "--version"], { env: SERVER_ENV }).catch(
    (cause: unknown) => {
      throw new Error("mariadbd was not found: install MariaDB (Debian: apt-get install mariadb-server-core)", {
        cause,
      });
    },
  );
  return /\bVer (\S+)/.exec(stdout)?.[1]?.replaceAll(/[^\w.-]/g, "_") ?? "unknown";
}

/** The temporary folder is shared: a template that somebody else made or may write to is refused. */
async function isOurs(template: string, uid: number): Promise<boolean> {
  const found = await stat(template).catch(() => undefined);
  if (found === undefined) return false;
  if (found.uid !== uid || (found.mode & 0o022) !== 0)
    throw new Error(`${template} belongs to somebody else; remove it`);
  return true;
}

async function install(template: string): Promise<void> {
  const draft = await mkdtemp(`${template}.`);
  // A temporary folder of its own: at its start mariadbd clears away temporary tables of any other that shares the folder.
  const scratch = await mkdtemp(`${template}-tmp.`);
  const options = ["--no-defaults", `--datadir=${draft}`, `--tmpdir=${scratch}`, ...STORAGE_OPTIONS];
  const accounts = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"];
  try {
    await run("mariadb-install-db", [...options, ...accounts], { env: SERVER_ENV, maxBuffer: 16 << 20 });
    await chmod(draft, 0o700);
    await rename(draft, template).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error; // else another process was first
    });
  } finally {
    await Promise.all([draft, scratch].map((folder) => rm(folder, { recursive: true, force: true })));
  }
}
