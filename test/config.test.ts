import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { describeConfig, loadConfig, parseConfig, sourcesOf } from "../src/config/config.js";
import { variableOf } from "../src/config/environment.js";
import { SIZE, SPAN } from "../src/config/quantity.js";
import { exampleFile } from "../src/config/reference.js";
import { settings } from "../src/config/settings.js";
import { leaves } from "../src/config/tree.js";
import { CampaigndError } from "../src/errors.js";

const folder = mkdtempSync(join(tmpdir(), "campaignd-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;

/** A file of its own with these permissions. */
function aFile(content: string, mode = 0o600): string {
  const file = join(folder, `${++files}.yaml`);
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}

const SERVERS = `servers:
  emailId: { user: mailer, password: one }
  crm: { user: mailer, password: two }
`;

const servers = { emailId: { user: "mailer", password: "one" }, crm: { user: "mailer", password: "two" } };

/** The lines of the error that this throws. */
function problems(act: () => unknown): string[] {
  try {
    act();
  } catch (error) {
    if (error instanceof CampaigndError && error.kind === "config") return error.message.split("\n");
    throw error;
  }
  return [];
}

const inFile = (content: string, mode?: number, env: NodeJS.ProcessEnv = {}) => {
  const file = aFile(content, mode);
  return problems(() => loadConfig({ file, env })).map((line) => line.replaceAll(file, "FILE"));
};

describe("a configuration file", () => {
  test("needs users and passwords alone; everything else has a default", () => {
    const config = loadConfig({ file: aFile(SERVERS), env: {} });
    expect(config.servers.crm).toEqual({
      host: "127.0.0.1",
      port: 3306,
      user: "mailer",
      password: "two",
      database: "CRM",
      maxConnections: 20,
      tls: { enabled: false, verify: true, minVersion: "TLSv1.2" },
    });
    expect(config.retry).toEqual({
      backoff: [300_000, 900_000, 2_700_000, 7_200_000],
      jitter: 0.2,
      giveUpAfter: 432_000_000,
    });
    expect(config.files).toEqual({ roots: [], prefixes: {}, maxFile: 25 * 1024 ** 2, maxMail: 35 * 1024 ** 2 });
    expect(config.smtp.timeouts.afterDot).toBe(300_000);
    expect(config.shutdown.drain).toBe(310_000);
    expect(config.legacyZone).toBe("Asia/Kolkata");
    expect("heloName" in config.smtp).toBe(false);
  });

  test("is found by $CAMPAIGND_CONFIG when no file is named", () => {
    const config = loadConfig({ env: { CAMPAIGND_CONFIG: aFile(`${SERVERS}legacyZone: "+05:30"\n`) } });
    expect(config.legacyZone).toBe("+05:30");
  });

  test("gives values that nothing can change afterwards", () => {
    const config = loadConfig({ file: aFile(`${SERVERS}merge: { defaults: { Company: Acme } }\n`), env: {} });
    for (const part of [config, config.servers.crm.tls, config.retry.backoff, config.merge.defaults]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });

  test("may leave a section empty", () => {
    expect(loadConfig({ file: aFile(`${SERVERS}pool:\n`), env: {} }).pool.tries).toBe(3);
  });

  test("tells all its problems at once, each with its line, its path and what to write instead", () => {
    const told = inFile(`servers:
  emailId: { password: one }
  crm: { user: mailer, password: two, maxConnections: 21 }
pool:
  conectTimeout: 5s
  statementTimeout: soon
retry: { backoff: [5m, 10m, 15m, 20m, 25m] }
legacyZone: Asia/Bombai
stateDir: state
log: { level: chatty }
monitor: 20s
fill: { pause: }
`);
    expect(told).toEqual([
      "FILE servers.emailId.user: is missing; write user: campaignd",
      "FILE:3 servers.crm.maxConnections: 21 is not a whole number from 4 to 20; write the digits alone",
      'FILE:9 stateDir: "state" is not an absolute path; write a path that starts with /',
      'FILE:8 legacyZone: "Asia/Bombai" is not a time zone; write an IANA name such as Asia/Kolkata, or a fixed offset such as +05:30',
      'FILE:5 pool.conectTimeout: is no setting; did you mean "pool.connectTimeout"?',
      'FILE:6 pool.statementTimeout: "soon" is not a duration from 1ms to 24d; write a number with a unit, such as 250ms, 5s, 10m, 2h or 5d',
      'FILE:11 monitor: "20s" is not a group of settings; write them as "name: value", one a line, indented below it',
      'FILE:7 retry.backoff: ["5m","10m","15m","20m","25m"] is not a list of 1 to 4 durations; write it like [5m, 15m]',
      "FILE:12 fill.pause: is empty; write a duration from 0s to 24d, or leave the line out",
      'FILE:10 log.level: "chatty" is not one of "trace", "debug", "info", "warn", "error", "fatal"; write one of "trace", "debug", "info", "warn", "error", "fatal"',
    ]);
  });

  test.each([
    ["sevrers: {}", 'sevrers: is no setting; did you mean "servers"?'],
    [
      "maxMessagesPerConnection: 5",
      'maxMessagesPerConnection: is no setting; did you mean "smtp.maxMessagesPerConnection"?',
    ],
    [
      "smtp: { timeouts: { gretting: 5s } }",
      'smtp.timeouts.gretting: is no setting; did you mean "smtp.timeouts.greeting"?',
    ],
    ["constructor: 1", "constructor: is no setting; did you mean "],
    [
      "lease: { ttl: 8s }",
      "lease.ttl: 8s ends before a late renewal arrives; write more than lease.renew + lease.timeout, 8s",
    ],
    ["monitor: { end: 11s }", "monitor.near: 10s is shorter than monitor.end; write 11s or more"],
    [
      "pool: { idleLimit: 60s }",
      "pool.idleLimit: 1m lets the server close the connection first; write less than pool.sessionTimeout, 1m",
    ],
    [
      "pool: { lockWait: 1500ms }",
      'pool.lockWait: "1500ms" is not a duration of whole seconds; write whole seconds, such as 5s',
    ],
    ["files: { maxFile: 40MB }", "files.maxMail: 35MB cannot hold one file of files.maxFile; write 40MB or more"],
    [
      "files: { roots: [attachments] }",
      'files.roots: ["attachments"] is not a list of absolute paths; write it like [/srv/files]',
    ],
    [
      "smtp: { clearLogin: some }",
      'smtp.clearLogin: "some" is not "all" or a list of ids; write all, or ids such as [3, 7]',
    ],
    [
      "unsubscribe: { url: 'http://example.org' }",
      'unsubscribe.url: "http://example.org" is not an https address; write an address that starts with https://',
    ],
    ["takeover: { force: yes }", 'takeover.force: "yes" is not true or false; write true or false'],
  ])("%s is refused", (line, what) => {
    const told = inFile(`${SERVERS}${line}\n`);
    expect(told).toHaveLength(1);
    expect(told[0]).toContain(what);
  });

  test("that is no YAML is told by line, without quoting a line that may hold a password", () => {
    const told = inFile(`servers:\n  crm: { user: mailer, password: geheim\n  emailId: [\npool: {}\npool: {}\n`);
    expect(told.length).toBeGreaterThan(0);
    for (const line of told) expect(line).toMatch(/^FILE:\d+: is not YAML: /);
    expect(told.join()).not.toContain("geheim");
  });

  test("with a key written twice is refused by the line of the second", () => {
    expect(inFile(`${SERVERS}log: {}\nlog: {}\n`)).toEqual(["FILE:5: is not YAML: Map keys must be unique"]);
  });

  test.each(["- a list", "just text"])("that is %s is refused", (content) => {
    expect(inFile(content)[0]).toMatch(/is not a group of settings/);
  });

  test("that does not exist is refused with the ways to name another", () => {
    expect(problems(() => loadConfig({ file: "/nowhere/campaignd.yaml", env: {} }))).toEqual([
      "/nowhere/campaignd.yaml: the configuration file does not exist; name another with --config FILE or CAMPAIGND_CONFIG; `campaignd config example` prints one to start from",
    ]);
    expect(problems(() => loadConfig({ file: folder, env: {} }))[0]).toContain("is a folder, not a file");
  });
});

describe("a password", () => {
  const keeping = (line: string) =>
    `servers:\n  emailId: { user: mailer, password: one }\n  crm: { user: mailer, ${line} }\n`;

  test("is the first line of passwordFile, without its line end", () => {
    const passwordFile = aFile("s3 cret# \n");
    const config = loadConfig({ file: aFile(keeping(`passwordFile: ${passwordFile}`)), env: {} });
    expect(config.servers.crm.password).toBe("s3 cret# ");
    expect(sourcesOf(config).get("servers.crm.password")).toBe("passwordFile");
  });

  test("is the systemd credential where neither password nor passwordFile is written", () => {
    const credentials = mkdtempSync(join(folder, "credentials-"));
    writeFileSync(join(credentials, "crm.password"), "from systemd");
    chmodSync(join(credentials, "crm.password"), 0o440);
    const config = loadConfig({ file: aFile(keeping("port: 3307")), env: { CREDENTIALS_DIRECTORY: credentials } });
    expect(config.servers.crm.password).toBe("from systemd");
  });

  test.each(["640", "604", "644"])("in a passwordFile of mode %s is refused", (mode) => {
    const passwordFile = aFile("secret", Number.parseInt(mode, 8));
    expect(inFile(keeping(`passwordFile: ${passwordFile}`))).toEqual([
      `FILE:3 servers.crm.passwordFile: ${passwordFile} can be read by others; run chmod 600 ${passwordFile}`,
    ]);
  });

  test("in a missing, an empty or no file is refused", () => {
    const empty = aFile("\n");
    expect(inFile(keeping("passwordFile: /nowhere/pw"))[0]).toContain(
      "/nowhere/pw does not exist; write the password into it",
    );
    expect(inFile(keeping(`passwordFile: ${empty}`))[0]).toContain(`${empty} is empty`);
    expect(inFile(keeping("passwordFile: pw"))).toEqual([
      'FILE:3 servers.crm.passwordFile: "pw" is not an absolute path; write a path that starts with /',
    ]);
    expect(inFile(keeping("port: 3306"))).toEqual([
      "FILE servers.crm.password: is missing; write passwordFile: /etc/campaignd/crm.password, or give the systemd credential crm.password",
    ]);
  });

  test("inside a configuration file that others can read is refused", () => {
    expect(inFile(SERVERS, 0o644)).toEqual([
      "FILE:2 servers.emailId.password: stands in a file that others can read; run chmod 600 on it, or move the password to a passwordFile",
      "FILE:3 servers.crm.password: stands in a file that others can read; run chmod 600 on it, or move the password to a passwordFile",
    ]);
  });

  test("that is no text is refused without being shown", () => {
    expect(inFile(keeping("password: 48151623"))).toEqual([
      "FILE:3 servers.crm.password: the value is not text; write it in quotes",
    ]);
  });

  test("beside a passwordFile is refused, and so is one in the environment", () => {
    expect(inFile(keeping(`password: two, passwordFile: ${aFile("three")}`))[0]).toContain("keep one of them");
    expect(inFile(SERVERS, 0o600, { CAMPAIGND_SERVERS_CRM_PASSWORD: "geheim" })).toEqual([
      "CAMPAIGND_SERVERS_CRM_PASSWORD: a password is not taken from the environment, which child processes, crash reports and /proc show; use servers.crm.passwordFile or the systemd credential crm.password",
    ]);
  });
});

describe("the environment", () => {
  test("overrides the file, in words, numbers, lists and tables", () => {
    const config = parseConfig(
      { servers, pool: { connectTimeout: "7s" }, files: { roots: ["/a"] } },
      {
        env: {
          CAMPAIGND_SERVERS_EMAIL_ID_MAX_CONNECTIONS: "2",
          CAMPAIGND_POOL_CONNECT_TIMEOUT: "1500ms",
          CAMPAIGND_POOL_PING_IDLE: "5",
          CAMPAIGND_RETRY_BACKOFF: "1s, 2s",
          CAMPAIGND_FILES_ROOTS: '["/with,comma", "/b"]',
          CAMPAIGND_FILES_PREFIXES: '{"https://example.org/files/": "/srv/files"}',
          CAMPAIGND_SMTP_CLEAR_LOGIN: "3,7",
          CAMPAIGND_SMTP_TLS_INSECURE: "",
          CAMPAIGND_TAKEOVER_FORCE: "true",
          CAMPAIGND_LOG_LEVEL: "debug",
          CAMPAIGND_SERVERS_CRM_USER: "123",
          PATH: "/bin",
        },
      },
    );
    expect(config.servers.emailId.maxConnections).toBe(2);
    expect(config.pool.connectTimeout).toBe(1500);
    expect(config.pool.pingIdle).toBe(5000);
    expect(config.retry.backoff).toEqual([1000, 2000]);
    expect(config.files.roots).toEqual(["/with,comma", "/b"]);
    expect(config.files.prefixes).toEqual({ "https://example.org/files/": "/srv/files" });
    expect(config.smtp.clearLogin).toEqual([3, 7]);
    expect(config.smtp.tls.insecure).toEqual([]);
    expect(config.takeover.force).toBe(true);
    expect(config.servers.crm.user).toBe("123");
    expect(sourcesOf(config).get("pool.connectTimeout")).toBe("environment");
    expect(sourcesOf(config).get("servers.crm.port")).toBe("default");
  });

  test("is told by variable and path when a value is wrong, and by the nearest name when none is so called", () => {
    const env = { CAMPAIGND_SERVERS_CRM_PORT: "many", CAMPAIGND_LOG_LEVLE: "info", CAMPAIGND_CONFIG: "/x" };
    expect(problems(() => parseConfig({ servers }, { env }))).toEqual([
      'CAMPAIGND_LOG_LEVLE: no setting has this variable; did you mean "CAMPAIGND_LOG_LEVEL"?',
      'CAMPAIGND_SERVERS_CRM_PORT (servers.crm.port): "many" is not a whole number from 1 to 65535; write the digits alone',
    ]);
  });

  test("has one variable for each setting", () => {
    const names = [...leaves(settings)].map(([path]) => variableOf(path));
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^CAMPAIGND_[A-Z]+(_[A-Z]+)*$/);
  });
});

describe("amounts", () => {
  test.each([
    ["250ms", 250],
    ["5s", 5000],
    ["1.5s", 1500],
    ["10m", 600_000],
    ["2h", 7_200_000],
    ["5d", 432_000_000],
    [7, 7000],
    ["7", 7000],
  ])("the span %s is %d ms", (given, ms) => {
    expect(SPAN.parse(given)).toBe(ms);
  });

  test.each([
    ["512KB", 524_288],
    ["25MB", 26_214_400],
    ["1 gb", 1_073_741_824],
    [10, 10],
  ])("the size %s is %d bytes", (given, bytes) => {
    expect(SIZE.parse(given)).toBe(bytes);
  });

  test.each(["", "s", "-5s", "5 weeks", "5s5s", "0x10", "1e3"])("'%s' is none", (given) => {
    expect(SPAN.parse(given)).toBeUndefined();
  });

  test("are written so that they read back as the same number", () => {
    for (const unit of [SPAN, SIZE]) {
      fc.assert(fc.property(fc.nat(2 ** 31), (value) => unit.parse(unit.write(value)) === value));
    }
  });
});

describe("the table of settings", () => {
  test("has a sentence for each setting and a default that its own type accepts", () => {
    for (const [path, setting] of leaves(settings)) {
      expect(setting.sentence, path).toMatch(/^[A-Z].*\.$/);
      const given = setting.byDefault ?? setting.sample;
      expect(setting.schema.safeParse(given).success, path).toBe(true);
    }
  });

  test("reads back what it describes, passwords masked", () => {
    const config = parseConfig({ servers, smtp: { heloName: "mail.example.org", clearLogin: "all" } });
    const described = describeConfig(config);
    expect(JSON.stringify(described)).not.toMatch(/"(one|two)"/);
    expect(described).toMatchObject({
      servers: { crm: { password: "********" } },
      retry: { backoff: ["5m", "15m", "45m", "2h"] },
    });
    expect(parseConfig(described)).toEqual({
      ...config,
      servers: {
        emailId: { ...config.servers.emailId, password: "********" },
        crm: { ...config.servers.crm, password: "********" },
      },
    });
  });

  test("makes an example file that is valid as it stands, and with every line uncommented", () => {
    const credentials = join(folder, "credentials");
    mkdirSync(credentials);
    for (const name of ["emailId", "crm"]) writeFileSync(join(credentials, `${name}.password`), "secret");
    const env = { CREDENTIALS_DIRECTORY: credentials };
    const plain = loadConfig({ file: aFile(exampleFile(), 0o644), env });
    const full = exampleFile().replace(/^( *)# (\w+: .*)$/gm, (line, indent, setting) =>
      /^(password|passwordFile|campaignd|Durations):/.test(setting) ? line : `${indent}${setting}`,
    );
    expect(parse(full).pool.tries).toBe(3);
    expect(loadConfig({ file: aFile(full), env })).toMatchObject(plain);
  });
});
