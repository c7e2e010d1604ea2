import { Account, type AccountFacts, type RestRules } from "./account.js";
import type { Hour } from "./quota.js";
import type { Seat, Seeker } from "./seat.js";

export interface RotationOptions extends RestRules {
  readonly connections: number;
  readonly horizon: number;
  /** Wall-clock milliseconds. */
  readonly now: () => number;
  /** The calendar hour of `legacyZone` at a given time. */
  readonly hourAt: (epochMs: number) => Hour;
  readonly nextHour: (epochMs: number) => number;
  readonly nextDay: (epochMs: number) => number;
}

/**
 * Which account sends the next mail, and how many more can be sent soon.
 * Fairness comes from equal backlogs: every campaign that wants an account keeps the same number of mails claimed for it, and at
 * most its equal part of what the limits leave, so an account serves campaigns evenly however different their sizes are.
 */
export class Rotation {
  private readonly accounts = new Map<number, Account>();
  /** Not there at the last look; one that returns still has its mails in flight, which the database does not know yet. */
  private readonly gone = new Map<number, Account>();
  private readonly seekers = new Map<number, Seeker>();
  private turn = 0;

  constructor(private readonly options: RotationOptions) {}

  all(): readonly Account[] {
    return [...this.accounts.values()];
  }

  /** How many accounts have mail to send now, and how many mails a second they send together. */
  pace(): { busy: number; rate: number } {
    let [busy, rate] = [0, 0];
    for (const account of this.accounts.values()) {
      if (account.backlog === 0) continue;
      busy += 1;
      rate += account.rate;
    }
    return { busy, rate };
  }

  account(id: number): Account | undefined {
    return this.accounts.get(id);
  }

  /** Takes over the accounts as the database has them now; one that is gone gets no more mail. */
  load(facts: readonly AccountFacts[], usage: ReadonlyMap<number, { hour: number; day: number }>): void {
    const now = this.options.now();
    const hour = this.options.hourAt(now);
    const present = new Set(facts.map((f) => f.id));
    for (const [id, account] of this.accounts) {
      if (present.has(id)) continue;
      this.accounts.delete(id);
      this.gone.set(id, account);
    }
    for (const f of facts) {
      const known = this.accounts.get(f.id) ?? this.gone.get(f.id) ?? new Account(f, hour, now);
      this.gone.delete(f.id);
      known.facts = f;
      known.quota.load({ hourly: f.hourlyLimit, daily: f.dailyLimit }, usage.get(f.id) ?? { hour: 0, day: 0 }, hour);
      this.accounts.set(f.id, known);
    }
  }

  /** The campaign wants to send: it counts in the shares until it leaves. */
  enter(seeker: Seeker): void {
    this.seekers.set(seeker.campaignId, seeker);
  }

  leave(campaignId: number): void {
    this.seekers.delete(campaignId);
  }

  /** How many mails of this campaign can be claimed now. */
  room(seeker: Seeker): number {
    return this.open(seeker).reduce((sum, { free }) => sum + free, 0);
  }

  /** How many it could have waiting in all: the measure for a claim that is worth its statements. */
  capacity(seeker: Seeker): number {
    return this.offers(seeker).reduce((sum, { most }) => sum + most, 0);
  }

  /** Reserves up to n places, one account after the other, the least loaded first. */
  reserve(seeker: Seeker, n: number): Seat[] {
    const open = this.open(seeker);
    const rotated = [...open.slice(this.turn % (open.length || 1)), ...open.slice(0, this.turn % (open.length || 1))];
    rotated.sort((a, b) => a.account.backlog - b.account.backlog);
    this.turn += 1;
    const seats: Seat[] = [];
    for (let taken = -1; seats.length < n && taken !== seats.length; ) {
      taken = seats.length;
      for (const entry of rotated) {
        if (seats.length >= n || entry.free < 1) continue;
        entry.free -= 1;
        seats.push(this.seat(entry.account, seeker.campaignId));
      }
    }
    return seats;
  }

  /** At the gate: may this mail count in the present hour? */
  pass(seat: Seat): boolean {
    seat.passed = seat.account.quota.pass(this.options.hourAt(this.options.now()));
    return seat.passed !== undefined;
  }

  /** The mail was provably not taken: its place is free again. */
  giveBack(seat: Seat): void {
    if (seat.passed) seat.account.quota.passedBack(seat.passed);
    else seat.account.quota.giveBack();
    this.leaveSeat(seat);
  }

  /** The mail was sent, or nobody knows: it counts. Called when it is certain; `stored` when the database has it. */
  used(seat: Seat): void {
    seat.account.done(this.options.now());
    this.leaveSeat(seat);
  }

  stored(seat: Seat): void {
    if (seat.passed) seat.account.quota.storedIn(seat.passed);
  }

  /** Why nothing can be sent now, and in how many milliseconds that ends; undefined when something can or no account exists. */
  nextOpening(seeker: Seeker): { inMs: number; why: string } | undefined {
    const now = this.options.now();
    let best: { inMs: number; why: string } | undefined;
    for (const account of this.serving(seeker)) {
      const opening = this.opening(account, now);
      if (best === undefined || opening.inMs < best.inMs) best = opening;
    }
    return best;
  }

  private opening(account: Account, now: number): { inMs: number; why: string } {
    const rest = account.restsUntil(now);
    const reached = account.quota.reached(this.options.hourAt(now));
    if (reached === undefined) return { inMs: Math.max(0, rest - now), why: rest ? "every account rests" : "" };
    const limit = reached === "daily" ? this.options.nextDay(now) : this.options.nextHour(now);
    return { inMs: Math.max(limit, rest) - now, why: `every account has reached its ${reached} limit or rests` };
  }

  private open(seeker: Seeker): { account: Account; free: number }[] {
    const offers = this.offers(seeker);
    return offers
      .map(({ account, most }) => ({ account, free: most - (account.waiting.get(seeker.campaignId) ?? 0) }))
      .filter(({ free }) => free >= 1);
  }

  /** For each account that may send: the most mails of this campaign to keep claimed for it. */
  private offers(seeker: Seeker): { account: Account; most: number }[] {
    const now = this.options.now();
    const hour = this.options.hourAt(now);
    return this.eligible(seeker, now, hour).map((account) => ({
      account,
      most: this.most(account, seeker.campaignId, hour),
    }));
  }

  private most(account: Account, campaignId: number, hour: Hour): number {
    const room = account.quota.room(hour);
    // An account whose suspension has just ended is tried with one mail.
    if (account.health === "suspended") return account.backlog === 0 ? Math.min(1, room) : 0;
    const mine = account.waiting.get(campaignId) ?? 0;
    const free = Math.min(room, Math.max(0, this.share(account, room) - mine));
    return Math.min(account.depth(this.options.connections, this.options.horizon), mine + free);
  }

  /** Each campaign's equal part of what the limits leave and of what is claimed for the account by those that want it. */
  private share(account: Account, room: number): number {
    if (room === Number.POSITIVE_INFINITY) return room;
    let wanting = 0;
    let claimed = 0;
    for (const seeker of this.seekers.values()) {
      if (!this.serves(account, seeker)) continue;
      wanting += 1;
      claimed += account.waiting.get(seeker.campaignId) ?? 0;
    }
    return Math.ceil((room + claimed) / Math.max(1, wanting));
  }

  /** Degraded accounts serve only while no sound one can: all others rest or have reached a limit. */
  private eligible(seeker: Seeker, now: number, hour: Hour): Account[] {
    const awake = this.serving(seeker).filter((account) => account.restsUntil(now) === 0);
    const sound = (account: Account) =>
      account.health === "healthy" && (account.backlog > 0 || account.quota.room(hour) > 0);
    return awake.some(sound) ? awake.filter((account) => account.health !== "degraded") : awake;
  }

  private serving(seeker: Seeker): Account[] {
    return this.all().filter((account) => this.serves(account, seeker));
  }

  private serves(account: Account, seeker: Seeker): boolean {
    if (seeker.owner !== undefined && account.facts.owner !== seeker.owner) return false;
    return seeker.servers === undefined || seeker.servers.has(account.facts.serverId);
  }

  private seat(account: Account, campaignId: number): Seat {
    account.quota.reserve();
    account.enqueue(campaignId, this.options.now());
    return { account, campaignId, passed: undefined, done: false };
  }

  private leaveSeat(seat: Seat): void {
    if (seat.done) return;
    seat.done = true;
    seat.account.dequeue(seat.campaignId);
  }
}
