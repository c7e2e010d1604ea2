import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { EVENTS, type EventMap, type EventName, News } from "../src/events.js";
import { type LogOptions, writeLog } from "../src/log.js";

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "campaignd-log-"));
  folders.push(folder);
  return folder;
}

/** Writes the lines of what `tell` says, and reads them back. */
async function linesOf(
  tell: (news: News) => void,
  options: Partial<LogOptions> = {},
): Promise<Record<string, unknown>[]> {
  const file = options.file ?? join(newFolder(), "log");
  const news = new News();
  const log = writeLog(news, { level: "debug", addresses: "masked", ...options, file });
  tell(news);
  await log.close();
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

const sent: EventMap["mail:sent"] = {
  campaignId: 7,
  mailId: 42,
  account: 3,
  attempt: 1,
  ms: 12,
  reply: "250 2.0.0 Ok",
};

/** The text of one line that says `err`. */
async function said(err: string, options: Partial<LogOptions> = {}): Promise<unknown> {
  const [line] = await linesOf(
    (news) => news.emit("campaign:troubled", { campaignId: 7, doing: "send", err }),
    options,
  );
  return line?.err;
}

const names = Object.keys(EVENTS) as EventName[];

describe("every event", () => {
  test.each(names)("%s is a noun and what happened to it, has a level and one sentence", (name) => {
    const { level, says } = EVENTS[name];
    expect(name).toMatch(/^[a-z]+:[a-z]+[A-Za-z]*$/);
    expect(["debug", "info", "warn", "error"]).toContain(level);
    expect(says).toMatch(/^[A-Z].*\.$/);
    expect(says.length).toBeLessThanOrEqual(100);
    expect(says).not.toMatch(/[\r\n]/);
  });

  test("is one line with its name and sentence, at its level", async () => {
    const numbers = { debug: 20, info: 30, warn: 40, error: 50 };
    const lines = await linesOf((news) => {
      const emit = news.emit.bind(news) as (name: EventName, facts: object) => void;
      for (const name of names) emit(name, { campaignId: 7 });
    });
    expect(lines).toEqual(
      names.map((name) => ({
        level: numbers[EVENTS[name].level],
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        event: name,
        campaignId: 7,
        says: EVENTS[name].says,
      })),
    );
  });

  test("about one mail is debug, unless a human must look", () => {
    const mails = names.filter((name) => name.startsWith("mail:") && EVENTS[name].level !== "debug");
    expect(mails).toEqual(["mail:unknown"]);
  });
});

describe("a line", () => {
  test("has the keys of its event, in their order, and nothing of the process", async () => {
    const [line] = await linesOf((news) => news.emit("mail:sent", sent));
    expect(Object.keys(line ?? {})).toEqual([
      "level",
      "time",
      "event",
      "campaignId",
      "mailId",
      "account",
      "attempt",
      "ms",
      "reply",
      "says",
    ]);
    expect(line).toMatchObject(sent);
  });

  test("stays one line, whatever its texts hold", async () => {
    expect(await said('first\r\nsecond "third" \u0000 \u2028')).toBe('first\r\nsecond "third" \u0000 \u2028');
  });

  test("is left out below the level that is asked for", async () => {
    const tell = (news: News) => {
      news.emit("mail:sent", sent);
      news.emit("daemon:stopping", { reason: "SIGTERM" });
      news.emit("lease:lost", { epoch: 3, err: "another daemon leads" });
    };
    expect((await linesOf(tell, { level: "info" })).map((line) => line.event)).toEqual([
      "daemon:stopping",
      "lease:lost",
    ]);
    expect((await linesOf(tell, { level: "error" })).map((line) => line.event)).toEqual(["lease:lost"]);
  });

  test("is not written any more once the log is closed", async () => {
    let heard: News | undefined;
    expect(await linesOf((news) => (heard = news))).toEqual([]);
    expect(() => heard?.emit("mail:sent", sent)).not.toThrow();
  });
});

describe("a log file", () => {
  test("is appended to, and only its owner and group may read it", async () => {
    const folder = newFolder();
    for (const ms of [1, 2])
      await linesOf((news) => news.emit("daemon:stopped", { ms }), { file: join(folder, "log") });
    const lines = readFileSync(join(folder, "log"), "utf8").trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).ms)).toEqual([1, 2]);
    expect(statSync(join(folder, "log")).mode & 0o007).toBe(0);
  });

  test("that cannot be opened is a configuration error with its path", async () => {
    const file = join(newFolder(), "missing", "log");
    const failing = linesOf(() => undefined, { file });
    await expect(failing).rejects.toMatchObject({ kind: "config", message: expect.stringContaining(file) });
  });
});

describe("an address in a text", () => {
  test.each([
    ["550 5.1.1 <anna.maria+news@client.example>: unknown", "550 5.1.1 <***@client.example>: unknown"],
    ["anna@client.example, bob@other.example", "***@client.example, ***@other.example"],
    ["o'brien@client.example is full", "***@client.example is full"],
    ['to "anna maria"@client.example', "to ***@client.example"],
    ["änne@bücher.example refused", "***@bücher.example refused"],
    ["root@localhost", "***@localhost"],
    ["<c7.m42@sender.example>", "<c7.m42@sender.example>"],
    ["user 'campaignd'@'10.0.0.1' was refused", "user 'campaignd'@'10.0.0.1' was refused"],
    ["5 @ 3 and a lone @", "5 @ 3 and a lone @"],
  ])("%s reads %s", async (err, masked) => {
    expect(await said(err)).toBe(masked);
  });

  test("is shown whole when that is asked for", async () => {
    expect(await said("<anna@client.example>", { addresses: "full" })).toBe("<anna@client.example>");
  });

  test("is masked in every key", async () => {
    const facts = {
      account: 3,
      email: "news@shop.example",
      class: "auth",
      seconds: 60,
      reply: "535 news@shop.example",
    };
    const [line] = await linesOf((news) => news.emit("account:rested", facts));
    expect(line).toMatchObject({ email: "***@shop.example", reply: "535 ***@shop.example", account: 3 });
  });
});

describe("a secret", () => {
  test("never appears, also with addresses shown whole and more than once", async () => {
    const secrets = ["s3cr3t-pass", "other.*(word"];
    const err = "login with s3cr3t-pass failed, s3cr3t-pass or other.*(word is wrong";
    const cleaned = "login with ******** failed, ******** or ******** is wrong";
    expect(await said(err, { secrets })).toBe(cleaned);
    expect(await said(err, { secrets, addresses: "full" })).toBe(cleaned);
  });

  test("that looks like part of an address is removed before addresses are masked", async () => {
    expect(await said("pw-news@shop.example", { secrets: ["pw-news@shop.example"] })).toBe("********");
  });

  test("that is empty or tiny does not blot out the text", async () => {
    expect(await said("a plain text", { secrets: ["", "a", "pla"] })).toBe("a plain text");
  });
});
