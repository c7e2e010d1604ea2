import type { Clock } from "../clock.js";
import type { Database } from "../db/database.js";
import {
  type HealthNote,
  readAccounts,
  readUsage,
  resetSentToday,
  type SmtpAccount,
  writeHealth,
} from "../db/smtpAccounts.js";
import { describe, saidAlready } from "../errors.js";
import type { News } from "../events.js";
import { Loop } from "../loop.js";
import type { Service } from "../service.js";
import type { Account, RestRules } from "../smtp/account.js";
import type { SessionTarget } from "../smtp/connection.js";
import type { Hour } from "../smtp/quota.js";
import type { Rotation } from "../smtp/rotation.js";
import type { Seat } from "../smtp/seat.js";
import type { Verdict } from "../smtp/verdict.js";
import type { Leadership } from "./leadership.js";
import type { Settler } from "./settler.js";

export interface AccountsOptions extends RestRules {
  readonly db: Database;
  readonly clock: Clock;
  readonly news: News;
  readonly rotation: Rotation;
  readonly settler: Pick<Settler, "exclusive">;
  readonly leadership: Pick<Leadership, "epoch" | "holds">;
  readonly reread: number;
  readonly resetSentToday: boolean;
  readonly hour: () => Hour;
  /** How to connect for an account: transport rules of the settings (contract §5). */
  readonly target: (account: SmtpAccount) => SessionTarget;
  /** Something may be sent again: accounts were read or have recovered. */
  readonly opened: () => void;
}

/** Keeps accounts, limits and usage as the database has them, and tells it their health. */
export class Accounts implements Service {
  readonly name = "accounts";
  private readonly known = new Map<number, { account: SmtpAccount; target: SessionTarget }>();
  private readonly loop: Loop;
  private readonly unprotected = new Set<string>();
  private readonly limited = new Map<number, string>();
  private loadedOnce = false;

  constructor(private readonly options: AccountsOptions) {
    this.loop = new Loop({
      name: this.name,
      clock: options.clock,
      tick: () => this.tick(),
      failed: (error) => this.failed(error),
    });
  }

  /** False until the accounts were read for the first time. */
  get loaded(): boolean {
    return this.loadedOnce;
  }

  get(id: number): { account: SmtpAccount; target: SessionTarget } | undefined {
    return this.known.get(id);
  }

  async start(): Promise<void> {
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
    await this.tellHealth().catch(() => undefined);
  }

  /** Reads them anew at once. */
  reload(): void {
    this.loop.nudge();
  }

  /** Takes in how a mail went, as far as it speaks of the account. */
  note(seat: Seat, verdict: Verdict): void {
    const { news, clock } = this.options;
    const { account } = seat;
    if (verdict.kind === "refused") this.fault(account, verdict);
    else if (verdict.kind === "accepted" || verdict.kind === "deferred" || verdict.kind === "rejected") {
      if (account.restsUntil(clock.now()) === 0 || verdict.kind === "accepted") this.sound(account, news);
      this.sayLimit(account);
    }
  }

  /** Says once an hour that an account has reached a limit. */
  private sayLimit({ facts, quota }: Account): void {
    const { hour, news } = this.options;
    const now = hour();
    const limit = quota.reached(now);
    const edge = limit && `${limit} ${now.date} ${limit === "hourly" ? now.hour : ""}`;
    if (!edge || this.limited.get(facts.id) === edge) return;
    this.limited.set(facts.id, edge);
    news.emit("account:limited", {
      account: facts.id,
      email: facts.email,
      limit,
      used: quota.used(limit === "hourly" ? "hour" : "day"),
    });
  }

  /** Says once a server that its accounts send without login. */
  anonymous(target: SessionTarget): void {
    const host = `${target.host}:${target.port}`;
    if (this.unprotected.has(host)) return;
    this.unprotected.add(host);
    this.options.news.emit("account:unprotected", {
      host,
      text: "the server offers no login (AUTH); its accounts send without",
    });
  }

  private sound(account: Account, news: News): void {
    if (!account.succeeded()) return;
    news.emit("account:recovered", { account: account.facts.id, email: account.facts.email });
    this.options.opened();
  }

  private fault(account: Account, verdict: Extract<Verdict, { kind: "refused" }>): void {
    const { clock, news } = this.options;
    const before = account.restsUntil(clock.now());
    // Mails that were already on their way tell the same fault again; one rest is enough.
    if (before !== 0 && !verdict.lasting) return;
    const rest = account.faulted(verdict.class, verdict.lasting, verdict.reply, clock.now(), this.options);
    const facts = {
      account: account.facts.id,
      email: account.facts.email,
      class: verdict.class,
      seconds: Math.round(rest / 1000),
      reply: verdict.reply,
    };
    if (before === 0) news.emit(account.health === "suspended" ? "account:suspended" : "account:rested", facts);
    if (account.health === "suspended") this.loop.nudge();
  }

  private async tick(): Promise<number> {
    const { db, rotation, settler, hour, news, target, opened } = this.options;
    await this.tellHealth();
    const accounts = await readAccounts(db);
    await settler.exclusive(async () => {
      const now = hour();
      const usage = await readUsage(db, now.date, now.hour);
      rotation.load(accounts, usage);
    });
    this.known.clear();
    for (const account of accounts) this.known.set(account.id, { account, target: target(account) });
    this.loadedOnce = true;
    await this.newDay();
    const usable = rotation.all().filter((account) => account.restsUntil(this.options.clock.now()) === 0).length;
    news.emit("accounts:loaded", { accounts: accounts.length, usable });
    opened();
    return this.options.reread;
  }

  private async newDay(): Promise<void> {
    const { db, leadership, hour } = this.options;
    if (this.options.resetSentToday && leadership.holds()) await resetSentToday(db, leadership.epoch, hour().date);
  }

  private async tellHealth(): Promise<void> {
    const { db, rotation, clock, leadership } = this.options;
    if (!leadership.holds()) return;
    const changed = rotation.all().filter((account) => account.changed !== undefined);
    if (changed.length === 0) return;
    const told = changed.map((account) => ({ account, change: account.changed }));
    const notes = changed.map((account) => noteOf(account, clock.now()));
    for (const { account } of told) account.changed = undefined;
    try {
      await writeHealth(db, notes);
    } catch (error) {
      // Told at the next look, unless something newer is to be told by then.
      for (const { account, change } of told) account.changed ??= change;
      throw error;
    }
  }

  private failed(error: unknown): number {
    const { news } = this.options;
    if (!saidAlready(error))
      news.emit("campaign:troubled", { campaignId: 0, doing: "read the accounts", err: describe(error) });
    return 2000;
  }
}

function noteOf(account: Account, now: number): HealthNote {
  const change = account.changed;
  return {
    accountId: account.facts.id,
    owner: account.facts.owner,
    failures: account.failures,
    health: account.health,
    suspendSeconds: Math.max(0, Math.ceil((account.suspendedUntil - now) / 1000)),
    succeeded: change?.succeeded ?? false,
    failed: change?.failed ?? false,
    errorType: change?.errorType ?? null,
    errorText: change?.errorText ?? null,
  };
}
