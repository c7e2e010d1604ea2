import type { Clock } from "../clock.js";
import type { News } from "../events.js";
import type { Rotation } from "../smtp/rotation.js";
import type { Seeker } from "../smtp/seat.js";

export interface PaceOptions {
  readonly news: News;
  readonly clock: Clock;
  readonly rotation: Rotation;
  /** Most mails of one claim. */
  readonly batch: number;
  /** Shortest time between two small claims, milliseconds. */
  readonly gap: number;
}

/** How long to look away when no account may ever open. */
const NO_ACCOUNT = 15_000;
const SHORTEST = 50;
const STUMBLE = 1000;
const LONGEST_REST = 30_000;

/** When a campaign claims its next mails, and how many: what the accounts can send soon, in claims that are worth their statements. */
export class Pace {
  private lastClaim = Number.NEGATIVE_INFINITY;
  private waitingWhy = "";
  private stumbles = 0;
  private restsUntil = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: PaceOptions) {}

  /** Mails to claim now, or 0 and the milliseconds to wait; `open` counts the campaign's mails under way. */
  next(seeker: Seeker, open: number): { room: number; waitMs: number } {
    const { rotation, batch, gap, clock } = this.options;
    const rest = this.restsUntil - clock.monotonic();
    if (rest > 0) return { room: 0, waitMs: rest };
    const room = Math.min(rotation.room(seeker), batch);
    if (room < 1) return { room: 0, waitMs: this.untilOpening(seeker, open) };
    const since = clock.monotonic() - this.lastClaim;
    const wait = patience(room, Math.min(batch, rotation.capacity(seeker)), open, gap) - since;
    if (wait > 0) return { room: 0, waitMs: Math.min(wait, gap) };
    this.waitingWhy = "";
    return { room, waitMs: 0 };
  }

  claimed(): void {
    this.lastClaim = this.options.clock.monotonic();
  }

  /** A mail was carried to an answer: what made others come back is over. */
  went(): void {
    this.stumbles = 0;
  }

  /** A mail came back because of us: the next claim waits a second, and twice as long each time it happens again. */
  stumbled(): void {
    const now = this.options.clock.monotonic();
    if (now < this.restsUntil) return;
    this.restsUntil = now + Math.min(LONGEST_REST, STUMBLE * 2 ** this.stumbles);
    this.stumbles += 1;
  }

  /** A limit is a time, not a state: waits exactly until it ends, and says why once. */
  private untilOpening(seeker: Seeker, open: number): number {
    const { rotation, news, gap } = this.options;
    const opening = rotation.nextOpening(seeker);
    if (open > 0 && opening?.inMs === 0) return gap;
    const reason = opening?.why ?? "no active account belongs to the campaign's owner";
    const inMs = opening?.inMs ?? NO_ACCOUNT;
    if (reason !== this.waitingWhy && reason !== "") {
      news.emit("campaign:waiting", { campaignId: seeker.campaignId, reason, seconds: Math.ceil(inMs / 1000) });
    }
    this.waitingWhy = reason;
    return Math.max(inMs, SHORTEST);
  }
}

/** A claim of a few rows costs as many statements as one of many: wait until half of the room is free, but not for long. */
function patience(room: number, capacity: number, open: number, gap: number): number {
  if (room >= capacity / 2) return 0;
  return open === 0 ? gap : 4 * gap;
}
