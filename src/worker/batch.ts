import type { Before } from "../db/claims.js";
import type { Seat } from "../smtp/seat.js";

/** One claimed mail; only a Claim can be settled. */
export interface Claim {
  readonly mailId: number;
  readonly campaignId: number;
  readonly to: string;
  /** Attempts before this one. */
  readonly attempts: number;
  /** Milliseconds since its first failure; 0 for a first attempt. */
  readonly failingFor: number;
  /** Whether campaignd_retry has an entry for it. */
  readonly hasEntry: boolean;
  readonly before: Before & { readonly attempts: number | null };
  readonly seat: Seat;
  readonly batch: Batch;
  /** Place in the claim record. */
  readonly index: number;
}

/**
 * The mails of one claim record and its released mark: a row may reach a connection only when the record says so, and the mark
 * runs ahead of need, so that no mail waits for Server 2 (released window).
 */
export class Batch {
  readonly claims: Claim[] = [];
  private started = 0;
  private wanted = 0;
  private unfinished = 0;
  private marking: Promise<void> | undefined;

  constructor(
    readonly id: string,
    private released: number,
    private readonly window: () => number,
    /** Stores a new mark; retries until it stands, throws when the claim is no longer ours. */
    private readonly mark: (batch: string, released: number) => Promise<void>,
  ) {}

  add(claim: Claim): void {
    this.claims.push(claim);
    this.unfinished += 1;
  }

  get releasedMark(): number {
    return this.released;
  }

  /** Ends when the claim may reach a connection; throws when it never may. */
  async release(claim: Claim): Promise<void> {
    this.wanted = Math.max(this.wanted, claim.index + 1);
    while (claim.index >= this.released) await this.advance();
    this.started += 1;
    // Not awaited: the mark for later rows travels while this one is sent. Who needs it awaits it above and sees its error.
    if (this.released < this.claims.length && this.released - this.started < this.window())
      this.advance().catch(() => undefined);
  }

  /** Rows whose outcome is not stored yet; the record goes with the last one. */
  get left(): number {
    return this.unfinished;
  }

  /** One row has its outcome stored. */
  finish(): void {
    this.unfinished -= 1;
  }

  private advance(): Promise<void> {
    this.marking ??= this.moveMark().finally(() => {
      this.marking = undefined;
    });
    return this.marking;
  }

  private async moveMark(): Promise<void> {
    const next = Math.min(this.claims.length, Math.max(this.wanted, this.released + this.window()));
    await this.mark(this.id, next);
    this.released = next;
  }
}
