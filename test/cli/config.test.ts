import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { configCommand } from "../../src/cli/config.js";
import { exampleFile } from "../../src/config/reference.js";
import { EXIT_CONFIG } from "../../src/errors.js";

const folder = mkdtempSync(join(tmpdir(), "campaignd-config-"));
const good = join(folder, "good.yaml");
const bad = join(folder, "bad.yaml");
const SERVERS = "servers:\n  emailId: { user: mailer, password: geheim }\n  crm: { user: mailer, password: geheim }\n";
writeFileSync(good, `${SERVERS}log: { level: debug }\n`, { mode: 0o600 });
writeFileSync(bad, `${SERVERS}lgo: {}\nclaim: { batch: 0 }\n`, { mode: 0o600 });

afterEach(() => {
  process.exitCode = undefined;
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What the command says, and the exit code it asks for. */
async function said(...args: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const command = configCommand({
    stdout: { write: (text) => out.push(text) },
    stderr: { write: (text) => err.push(text) },
  });
  await command.parseAsync(args, { from: "user" });
  return { out: out.join(""), err: err.join(""), code: process.exitCode ?? 0 };
}

describe("config check", () => {
  test("says in one line that a file is valid", async () => {
    expect(await said("check", "--config", good)).toEqual({ out: `${good} is valid\n`, err: "", code: 0 });
  });

  test("says every problem on a line of its own and asks for exit code 78", async () => {
    expect(await said("check", "--config", bad)).toEqual({
      out: "",
      err:
        `${bad}:4 lgo: is no setting; did you mean "log"?\n` +
        `${bad}:5 claim.batch: 0 is not a whole number from 1 to 2000; write the digits alone\n`,
      code: EXIT_CONFIG,
    });
  });

  test("answers as JSON on demand", async () => {
    const { out, code } = await said("check", "--json", "--config", bad);
    expect(JSON.parse(out)).toMatchObject({
      file: bad,
      valid: false,
      problems: [expect.stringContaining("lgo"), expect.any(String)],
    });
    expect(code).toBe(EXIT_CONFIG);
  });
});

describe("config show", () => {
  test("prints every value with its source and no password", async () => {
    const { out } = await said("show", "--config", good);
    expect(out).toContain(`# ${good}\nservers:\n  emailId:\n    host: 127.0.0.1 # default\n`);
    expect(out).toMatch(/^ {4}password: "?\*{8}"? # file$/m);
    expect(out).toMatch(/^ {2}level: debug # file$/m);
    expect(out).toMatch(/^ {2}backoff: \[5m, 15m, 45m, 2h\] # default$/m);
    expect(out).not.toContain("geheim");
  });

  test("as JSON holds the settings as a file would, and where each comes from", async () => {
    const { out } = await said("show", "--json", "--config", good);
    const shown = JSON.parse(out);
    expect(shown.settings.servers.crm.password).toBe("********");
    expect(shown.settings.shutdown.drain).toBe("310s");
    expect(shown.sources["log.level"]).toBe("file");
  });

  test("of a wrong file says what is wrong instead", async () => {
    expect(await said("show", "--config", bad)).toMatchObject({ out: "", code: EXIT_CONFIG });
  });
});

test("config example prints the documented file", async () => {
  expect((await said("example")).out).toBe(exampleFile());
});
