import { after, seconds } from "../../src/clock.js";
import type { EventMap, EventName } from "../../src/events.js";

/** One line of the daemon's log. */
export interface AnyLine {
  readonly event: EventName;
  readonly time: string;
  /** Pino's: 20 debug, 30 info, 40 warn, 50 error. */
  readonly level: number;
}

/** A line of one event, with its facts. */
export type LogLine<E extends EventName> = AnyLine & { readonly event: E } & EventMap[E];

type Predicate<E extends EventName> = (line: LogLine<E>) => boolean;

/** What a daemon has said and will say. */
export interface DaemonNews {
  /** Every line so far, oldest first. */
  readonly lines: readonly AnyLine[];
  /** Every line of this event so far. */
  all<E extends EventName>(event: E, predicate?: Predicate<E>): LogLine<E>[];
  /**
   * The first line of this event, said or yet to come, that no call has returned before. Rejects with the last lines when
   * none comes within `ms` (15 s), or when the daemon ends first.
   */
  next<E extends EventName>(event: E, predicate?: Predicate<E>, ms?: number): Promise<LogLine<E>>;
  /** The same, but what was said so far does not count. */
  coming<E extends EventName>(event: E, predicate?: Predicate<E>, ms?: number): Promise<LogLine<E>>;
}

interface Waiter {
  readonly settle: () => boolean;
  readonly give: (why: string) => void;
}

/** Takes in lines as they come; `ended` is called with the reason once none will come any more. */
export class LineKeeper implements DaemonNews {
  readonly lines: AnyLine[] = [];
  private readonly returned = new Set<AnyLine>();
  private readonly waiters = new Set<Waiter>();
  private over: string | undefined;

  take(text: string): void {
    this.lines.push(parse(text));
    for (const waiter of [...this.waiters]) if (waiter.settle()) this.waiters.delete(waiter);
  }

  ended(why: string): void {
    this.over = why;
    for (const waiter of this.waiters) waiter.give(why);
    this.waiters.clear();
  }

  all<E extends EventName>(event: E, predicate: Predicate<E> = () => true): LogLine<E>[] {
    return this.lines.flatMap((line) => (isOf(line, event) && predicate(line) ? [line] : []));
  }

  next<E extends EventName>(event: E, predicate?: Predicate<E>, ms?: number): Promise<LogLine<E>> {
    return this.wait(event, 0, predicate, ms);
  }

  coming<E extends EventName>(event: E, predicate?: Predicate<E>, ms?: number): Promise<LogLine<E>> {
    return this.wait(event, this.lines.length, predicate, ms);
  }

  private wait<E extends EventName>(
    event: E,
    from: number,
    predicate: Predicate<E> = () => true,
    ms = seconds(15),
  ): Promise<LogLine<E>> {
    return new Promise((resolve, reject) => {
      const give = (why: string) => {
        cancel();
        reject(new Error(`no ${event}: ${why}; the daemon said last:\n${this.lastLines()}`));
      };
      const settle = (): boolean => {
        const found = this.find(event, from, predicate);
        if (!found) return false;
        cancel();
        resolve(found);
        return true;
      };
      const waiter = { settle, give };
      const cancel = after(ms, () => {
        this.waiters.delete(waiter);
        give(`not within ${ms} ms`);
      });
      if (settle()) return;
      if (this.over !== undefined) give(this.over);
      else this.waiters.add(waiter);
    });
  }

  private lastLines(): string {
    return this.lines
      .slice(-25)
      .map((line) => JSON.stringify(line))
      .join("\n");
  }

  private find<E extends EventName>(event: E, from: number, predicate: Predicate<E>): LogLine<E> | undefined {
    for (const line of this.lines.slice(from)) {
      if (!isOf(line, event) || this.returned.has(line) || !predicate(line)) continue;
      this.returned.add(line);
      return line;
    }
    return undefined;
  }
}

function isOf<E extends EventName>(line: AnyLine | undefined, event: E): line is LogLine<E> {
  return line?.event === event;
}

function parse(text: string): AnyLine {
  try {
    return JSON.parse(text) as AnyLine;
  } catch {
    throw new Error(`the daemon wrote a line that is no JSON: ${text}`);
  }
}
