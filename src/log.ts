import { openSync } from "node:fs";
import { destination, pino } from "pino";
import { after } from "./clock.js";
import { CampaigndError, describe } from "./errors.js";
import { EVENTS, type EventName, type News } from "./events.js";

export interface LogOptions {
  readonly level: string;
  /** A file to append to; stdout when absent. */
  readonly file?: string | undefined;
  /** `masked` shows only the domain of an address in texts. */
  readonly addresses: "masked" | "full";
  /** Secret strings that never appear in a line, e.g. database passwords. */
  readonly secrets?: readonly string[];
}

type Stream = ReturnType<typeof destination>;

const PATIENCE = 2000;
/** A login such as 'campaignd'@'10.0.0.1' is none: an operator needs it whole. */
const ADDRESS = /("[^"]+"|[^\s<>()[\]",;:@]+)@([^\s<>()[\]",;:@'`]+)/g;
/** The left part of our own Message-IDs, by which mails are traced; it names nobody. */
const OWN_ID = /^c\d+\.m\d+$/;

/**
 * Turns every piece of news into one JSON line with stable keys (event, campaignId, mailId, attempt, account, ms, err);
 * throws `config` when the file cannot be opened.
 */
export function writeLog(news: News, options: LogOptions): { close(): Promise<void> } {
  const stream = destination({ dest: options.file === undefined ? 1 : open(options.file), sync: false });
  // A line that cannot be written (a full disk, a reader that is gone) is lost; mails go on.
  stream.on("error", () => undefined);
  const logger = pino(
    { level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime, messageKey: "says" },
    stream,
  );
  const clean = cleaner(options);
  const unsubscribe = news.subscribe((name: EventName, facts) => {
    const { level, says } = EVENTS[name];
    if (!logger.isLevelEnabled(level)) return;
    const line: Record<string, unknown> = { event: name };
    for (const [key, value] of Object.entries(facts)) line[key] = typeof value === "string" ? clean(value) : value;
    logger[level](line, says);
  });
  return {
    close: () => {
      unsubscribe();
      return end(stream);
    },
  };
}

/** Ends when the last line is written; a reader that does not read keeps it from ending for a moment only. */
function end(stream: Stream): Promise<void> {
  return new Promise((resolve) => {
    const cancel = after(PATIENCE, resolve);
    stream.once("close", () => {
      cancel();
      resolve();
    });
    stream.end();
  });
}

/** Opened before the first line: a path that does not work stops the start with one sentence, not a mail in flight later. */
function open(file: string): number {
  try {
    return openSync(file, "a", 0o640);
  } catch (error) {
    throw new CampaigndError("config", `log.file ${file} cannot be opened for writing: ${describe(error)}`);
  }
}

/** Masks addresses and removes known secrets: listing paths is not enough, secrets also ride in messages. */
function cleaner(options: LogOptions): (text: string) => string {
  const secrets = (options.secrets ?? []).filter((secret) => secret.length > 3);
  return (text) => {
    let line = text;
    for (const secret of secrets) line = line.replaceAll(secret, "********");
    if (options.addresses === "full") return line;
    return line.replace(ADDRESS, (whole, local: string, domain: string) =>
      OWN_ID.test(local) ? whole : `***@${domain}`,
    );
  };
}
