import { type DestinationStream, destination, pino } from "pino";
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

const ADDRESS = /[^\s<>()[\]",;:@]+@([a-z0-9-]+(\.[a-z0-9-]+)+)/gi;

/** Turns every piece of news into one JSON line with stable keys (event, campaignId, mailId, attempt, account, ms, err). */
export function writeLog(news: News, options: LogOptions): { close(): void } {
  const stream: DestinationStream & { flushSync?: () => void } = destination({
    dest: options.file ?? 1,
    sync: false,
    mkdir: false,
  });
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
      stream.flushSync?.();
    },
  };
}

/** Masks addresses and removes known secrets: listing paths is not enough, secrets also ride in messages. */
function cleaner(options: LogOptions): (text: string) => string {
  const secrets = (options.secrets ?? []).filter((secret) => secret.length > 3);
  return (text) => {
    let line = text;
    for (const secret of secrets) line = line.replaceAll(secret, "********");
    return options.addresses === "masked" ? line.replace(ADDRESS, "***@$1") : line;
  };
}
