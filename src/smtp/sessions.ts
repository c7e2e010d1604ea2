import type { Clock } from "../clock.js";
import { isKind } from "../errors.js";
import { Lending } from "../pool/lending.js";
import { SessionRefused, type SessionTarget } from "./connection.js";
import { Session } from "./session.js";
import type { Verdict } from "./verdict.js";

export interface SessionsOptions {
  readonly clock: Clock;
  readonly perAccount: number;
  readonly maxMessages: number;
  readonly idleLimit: number;
  /** A server offers no AUTH: its accounts are used without login. */
  anonymous?(target: SessionTarget): void;
}

/** A place for one connection; it connects when a mail needs it, so that a refusal reaches that mail and nobody else waits for it. */
interface Line {
  session: Session | undefined;
}

/** One mail's turn at an account. */
export interface Turn {
  readonly accountId: number;
  readonly target: SessionTarget;
  readonly ready: () => Promise<boolean>;
  readonly abort: AbortSignal;
}

const TOO_LATE: Verdict = { kind: "withheld", reason: "stopped before it was its turn" };

/** The open sessions of every account, lent a mail at a time and kept for the next one. */
export class Sessions {
  private readonly lent = new Map<number, { key: string; lending: Lending<Line> }>();

  constructor(private readonly options: SessionsOptions) {}

  /**
   * Lends a session of this account to `work`. `ready` is asked once it is this mail's turn, before anything is dialled;
   * `renew` replaces a kept session that turns out to be dead. A session that cannot be opened comes back as its verdict, an
   * abort while waiting as withheld.
   */
  async use<R>(
    { accountId, target, ready, abort }: Turn,
    work: (session: Session, renew: () => Promise<Session>) => Promise<R>,
  ): Promise<R | Verdict> {
    try {
      return await this.lending(accountId, target).use<R | Verdict>(
        async (line) => {
          if (!(await ready())) return TOO_LATE;
          line.session = await this.open(line, target);
          return work(line.session, async () => {
            await line.session?.close();
            line.session = await this.open(line, target);
            return line.session;
          });
        },
        () => undefined,
        abort,
      );
    } catch (error) {
      if (error instanceof SessionRefused) return error.verdict;
      if (isKind(error, "stopped")) return TOO_LATE;
      throw error;
    }
  }

  /** Closes every session; those that are lent have `ms` to come back. */
  async close(ms: number): Promise<void> {
    const all = [...this.lent.values()];
    this.lent.clear();
    await Promise.all(all.map(({ lending }) => lending.drain(ms)));
  }

  private async open(line: Line, target: SessionTarget): Promise<Session> {
    const { session } = line;
    if (session?.usable && session.messages < this.options.maxMessages) {
      session.lastUsed = this.options.clock.monotonic();
      return session;
    }
    line.session = undefined;
    await session?.close();
    const opened = await Session.open(target, this.options.clock.monotonic());
    if (opened.anonymous) this.options.anonymous?.(target);
    return opened;
  }

  private async rested(line: Line): Promise<undefined> {
    const { session } = line;
    if (!session || this.options.clock.monotonic() - session.lastUsed < this.options.idleLimit) return;
    line.session = undefined;
    await session.close();
  }

  private lending(accountId: number, target: SessionTarget): Lending<Line> {
    const key = JSON.stringify(target);
    const known = this.lent.get(accountId);
    if (known?.key === key) return known.lending;
    // A changed password or host: the old sessions end when they come back.
    known?.lending.drain(0).catch(() => undefined);
    const lending = this.create(target);
    this.lent.set(accountId, { key, lending });
    return lending;
  }

  private create(target: SessionTarget): Lending<Line> {
    const { clock, idleLimit } = this.options;
    return new Lending<Line>({
      what: `session at ${target.host}:${target.port}`,
      max: this.options.perAccount,
      acquireTimeout: undefined,
      tries: 1,
      pause: () => 0,
      sweepEvery: idleLimit,
      clock,
      create: async () => ({ session: undefined }),
      destroy: async (line) => line.session?.close(),
      // Its connection, not its place, goes when it is idle for long.
      unfit: async (line) => this.rested(line),
      worthRetrying: () => false,
    });
  }
}
