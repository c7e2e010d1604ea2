import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createConnection } from "mysql2/promise";
import { createTransport } from "nodemailer";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parse } from "yaml";
import type { Mail } from "../support/mailbox.js";
import { projectRoot } from "../support/projectRoot.js";

const run = promisify(execFile);
const script = join(projectRoot(), "scripts/sandbox");
const PATIENT = { timeout: 30_000, interval: 50 };

let parent: string;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), "sandbox test's-")); // a blank and a quote, which env must survive
});
afterAll(() => rm(parent, { recursive: true, force: true }));

describe("a sandbox that is up", () => {
  let dir: string;
  let env: Record<string, string>;

  beforeAll(async () => {
    dir = join(parent, "up");
    await run(script, ["up", dir]);
    const { stdout } = await run("bash", ["-c", `eval "$("$0" env "$1")"; ${PRINT}`, script, dir]);
    env = JSON.parse(stdout) as Record<string, string>;
  }, 120_000);
  afterAll(() => run(script, ["down", dir]));

  test("is not raised twice", async () => {
    const { stdout } = await run(script, ["up", dir]);
    expect(stdout).toContain("is up");
  });

  test("lets the configuration's login read the queue, on the clock of either server", async () => {
    const [s1, s2] = await logins(env.CONFIG ?? "");
    const [zone1] = await s1.query(
      "SELECT @@session.time_zone AS zone FROM DUAL WHERE (SELECT COUNT(*) FROM emails) = 0",
    );
    const [zone2] = await s2.query("SELECT @@session.time_zone AS zone FROM campaignd_lease");
    expect([zone1, zone2]).toEqual([[{ zone: "+05:30" }], [{ zone: "+00:00" }]]);
    await Promise.all([s1.end(), s2.end()]);
  });

  test.each([
    ["DELETE FROM mail_blaster", 1],
    ["DROP TABLE campaignd_retry", 1],
    ["UPDATE smtp_accounts SET is_active = 0", 1],
    ["INSERT INTO unsubscribers (email) VALUES ('a@b.c')", 0],
  ])("refuses the login what it has no grant for: %s", async (statement, server) => {
    const connections = await logins(env.CONFIG ?? "");
    await expect(connections[server]?.query(statement)).rejects.toMatchObject({
      code: expect.stringMatching(/ER_(TABLE|COLUMN)ACCESS_DENIED_ERROR/),
    });
    await Promise.all(connections.map((connection) => connection.end()));
  });

  test("keeps a mail through each SMTP port, certificates verified", async () => {
    const settings = (parse(await readFile(env.CONFIG ?? "", "utf8")) as { smtp: { tls: { caFile: string } } }).smtp;
    const ca = await readFile(settings.tls.caFile, "utf8");
    const auth = { user: "sales@firm.test", pass: "pw-sales@firm.test" };
    for (const [port, options] of [
      [env.SMTP_PORT, { ignoreTLS: true }],
      [env.STARTTLS_PORT, { requireTLS: true, tls: { ca } }],
      [env.SMTPS_PORT, { secure: true, tls: { ca } }],
    ] as const) {
      const transport = createTransport({ host: "localhost", port: Number(port), auth, ...options });
      await transport.sendMail({
        from: auth.user,
        to: "ok@example.test",
        subject: "naïve",
        text: "zoë",
        messageId: `<${port}@t>`,
      });
      transport.close();
    }

    const mails = await vi.waitUntil(async () => {
      const lines = (await readFile(env.MAILBOX ?? "", "utf8")).trim().split("\n");
      return lines.length === 3 && lines.map((line) => JSON.parse(line) as Mail);
    }, PATIENT);
    expect(mails.map(({ port }) => port)).toEqual(["plain", "starttls", "tls"]);
    expect(mails[0]).toMatchObject({
      messageId: `<${env.SMTP_PORT}@t>`,
      from: auth.user,
      user: auth.user,
      to: ["ok@example.test"],
    });
    expect(mails.every(({ raw, size }) => raw.length === size && raw.includes("zo=C3=AB"))).toBe(true);
  });
});

test("down leaves no process and no file, also when the owner of the servers was killed", async () => {
  for (const killed of [false, true]) {
    const dir = join(parent, `down ${killed}`);
    await run(script, ["up", dir]);
    const { host, pids } = JSON.parse(await readFile(join(dir, "sandbox.json"), "utf8")) as {
      host: number;
      pids: number[];
    };
    expect(await processesOf(dir)).toEqual(expect.arrayContaining([host, ...pids]));
    if (killed) process.kill(host, "SIGKILL");
    await run(script, ["down", dir]);
    await vi.waitUntil(async () => (await processesOf(dir)).length === 0, PATIENT);
    expect(existsSync(dir)).toBe(false);
  }
}, 60_000);

test("Ctrl-C during up leaves nothing", async () => {
  const dir = join(parent, "interrupted");
  const up = spawn(script, ["up", dir], { stdio: "ignore" });
  const ended = once(up, "exit");
  await vi.waitUntil(() => existsSync(join(dir, "sandbox.json")), PATIENT);
  up.kill("SIGINT");
  await ended;
  expect(await processesOf(dir)).toEqual([]);
  expect(existsSync(dir)).toBe(false);
}, 60_000);

test("a process that raised a sandbox and is killed leaves no server behind", async () => {
  const module = join(projectRoot(), "build/test/support/sandbox.js");
  const code = `const { startSandbox } = await import(${JSON.stringify(module)});
    process.send((await startSandbox()).dir); setInterval(() => {}, 1e6)`;
  const owner = spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const [dir] = (await once(owner, "message")) as [string];
  expect(await processesOf(dir)).toHaveLength(5); // two servers with their keepers, one SMTP server
  owner.kill("SIGKILL");
  await vi.waitUntil(async () => (await processesOf(dir)).length === 0, PATIENT);
  expect(existsSync(join(dir, "crm"))).toBe(false);
  await rm(dir, { recursive: true, force: true });
}, 60_000);

const PRINT = `printf '{"CONFIG":"%s","MAILBOX":"%s","SMTP_PORT":"%s","SMTPS_PORT":"%s","STARTTLS_PORT":"%s"}' \
  "$CONFIG" "$MAILBOX" "$SMTP_PORT" "$SMTPS_PORT" "$STARTTLS_PORT"`;

interface ServerSettings {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly passwordFile: string;
  readonly database: string;
}

async function logins(config: string) {
  const { servers } = parse(await readFile(config, "utf8")) as {
    servers: { emailId: ServerSettings; crm: ServerSettings };
  };
  const login = async ({ passwordFile, ...server }: ServerSettings) =>
    createConnection({ ...server, password: (await readFile(passwordFile, "utf8")).trim() });
  return [await login(servers.emailId), await login(servers.crm)] as const;
}

/** The pids whose command line names the folder. */
async function processesOf(dir: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  return pids.filter((_, i) => lines[i]?.includes(dir) && !lines[i]?.includes("scripts/sandbox\0")).map(Number);
}
