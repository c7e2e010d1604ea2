import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.js";
import { projectRoot } from "../support/projectRoot.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";

let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await startSandbox();
});
afterAll(() => sandbox.stop());

/** Runs `campaignd health` as an operator would. */
async function health(config: string, ...more: string[]): Promise<{ code: number; out: string; ms: number }> {
  const from = systemClock.monotonic();
  const program = join(projectRoot(), "dist/cli/main.js");
  const child = spawn(process.execPath, [program, "health", "--config", config, ...more], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  child.stdout.on("data", (piece) => (out += String(piece)));
  child.stderr.on("data", (piece) => (out += String(piece)));
  const [code] = await once(child, "close");
  return { code: code as number, out, ms: systemClock.monotonic() - from };
}

describe("campaignd health", () => {
  it("prints the six lines that operators know, each with a figure, and exits 0 when all is well", async () => {
    const { code, out } = await health(sandbox.configFile);
    const [one, two, three, four, five, six] = out.split("\n");
    expect(one).toMatch(/^✅ Server 1 \(email_id\) connected in \d+\.\d{3}s$/);
    expect(two).toMatch(/^✅ Server 2 \(CRM\) connected in \d+\.\d{3}s$/);
    expect(three).toMatch(/^✅ Connection pool working \(.*\d+\.\d{3}s\)$/);
    expect(four).toMatch(/^✅ Cache system working \(an entry was kept, and expired after \d+\.\d{3}s\)$/);
    expect(five).toMatch(/^✅ Query performance acceptable \(.*\d+\.\d{3}s.*\)$/);
    expect(six).toMatch(/^✅ Lock timeouts configured correctly \(lock wait 5s\)$/);
    expect(code).toBe(0);
  });

  it("compares the servers' zones and says that no daemon runs", async () => {
    const { out } = await health(sandbox.configFile);
    expect(out).toContain("Server 1 (email_id): zone +05:30 (UTC+05:30)");
    expect(out).toContain("Server 2 (CRM): zone +00:00 (UTC+00:00)");
    expect(out).toContain("campaignd is not running");
  });

  it("gives the same as JSON with stable keys", async () => {
    const { out } = await health(sandbox.configFile, "--json");
    const answer = JSON.parse(out) as { lines: { mark: string; text: string }[]; exitCode: number; findings: object };
    expect(answer.lines.map((line) => line.mark)).toEqual(["ok", "ok", "ok", "ok", "ok", "ok"]);
    expect(answer.exitCode).toBe(0);
    expect(answer.findings).toMatchObject({ crm: { limits: { lockWait: 5, wait: 60, netRead: 10, netWrite: 10 } } });
  });

  it("sees each clock against the host's", async () => {
    const { out } = await health(sandbox.configFile, "--json");
    const { findings } = JSON.parse(out) as {
      findings: Record<"emailId" | "crm", { clock: { differenceMs: number } }>;
    };
    expect(Math.abs(findings.emailId.clock.differenceMs)).toBeLessThan(2000);
    expect(Math.abs(findings.crm.clock.differenceMs)).toBeLessThan(2000);
  });

  it("exits 2 and says why when Server 2 refuses the connection, the login included", async () => {
    const nobody = await sandbox.config({ servers: { crm: { port: 1 } } });
    const refused = await health(nobody);
    expect(refused.out).toContain("❌ Server 2 (CRM) not connected");
    expect(refused.out).toContain("✅ Server 1 (email_id) connected");
    expect(refused.code).toBe(2);
    const stranger = await health(await sandbox.config({ servers: { crm: { user: "stranger" } } }));
    expect(stranger.out).toMatch(/Server 2 \(CRM\): .*Access denied/);
    expect(stranger.code).toBe(2);
  });

  it("exits 1 when only Server 1 is down", async () => {
    const { code, out } = await health(await sandbox.config({ servers: { emailId: { port: 1 } } }));
    expect(out).toContain("❌ Server 1 (email_id) not connected");
    expect(code).toBe(1);
  });

  it("never lasts longer than 12 s, however dead both servers are", async () => {
    sandbox.emailId.kill("SIGSTOP");
    sandbox.crm.kill("SIGSTOP");
    try {
      const { code, ms } = await health(sandbox.configFile);
      expect(code).toBe(2);
      expect(ms).toBeLessThan(12_000);
    } finally {
      sandbox.emailId.kill("SIGCONT");
      sandbox.crm.kill("SIGCONT");
    }
  });

  it("marks time-outs that are not what the settings ask for", async () => {
    await sandbox.s2("SET GLOBAL innodb_lock_wait_timeout = 50");
    const { out, code } = await health(sandbox.configFile);
    // The session's own setting counts, whatever the server's default is.
    expect(out).toContain("✅ Lock timeouts configured correctly");
    expect(code).toBe(0);
  });
});
