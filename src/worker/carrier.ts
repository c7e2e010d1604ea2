import type { Campaign } from "../campaign/catalog.js";
import type { Clock } from "../clock.js";
import { CampaigndError, describe, saidAlready } from "../errors.js";
import type { News } from "../events.js";
import type { Rotation } from "../smtp/rotation.js";
import type { Accounts } from "./accounts.js";
import type { Claim } from "./batch.js";
import type { Conditions } from "./conditions.js";
import { type Delivered, type DeliveryOptions, deliver, type ReadAhead } from "./delivery.js";
import { judge, type RetryRules } from "./judge.js";
import type { Leadership } from "./leadership.js";
import { type Ending, settlementOf, tell } from "./outcomes.js";
import type { Settler } from "./settler.js";

/** The campaign that a mail travels for. */
export interface Trip {
  readonly campaign: Campaign;
  /** Aborted when the campaign is not running any more. */
  readonly abort: AbortSignal;
  /** The claim's outcome is stored. */
  landed(claim: Claim, ending: Ending): void;
  /** A mail came back because of us, not of a server: the next claim waits a little, or it would come back at once. */
  stumbled(): void;
  /** The account may have room again, or gives mails back. */
  roomChanged(): void;
}

export interface CarrierOptions {
  readonly news: News;
  readonly clock: Clock;
  readonly rotation: Rotation;
  readonly accounts: Pick<Accounts, "note">;
  readonly settler: Pick<Settler, "add">;
  readonly leadership: Pick<Leadership, "holds">;
  readonly conditions: Conditions;
  readonly inFlight: Map<number, Claim>;
  readonly delivery: DeliveryOptions;
  readonly retry: RetryRules;
  readAhead(campaign: Campaign, claims: readonly Claim[]): Promise<ReadAhead>;
}

/** Carries claimed mails to their stored outcomes: verdict, account, outcome, settlement, news. */
export class Carrier {
  constructor(private readonly options: CarrierOptions) {}

  /** Starts all mails of a claim; each promise ends when its outcome is stored, and none rejects. */
  carryAll(claims: readonly Claim[], trip: Trip): Promise<void>[] {
    const ahead = this.options.readAhead(trip.campaign, claims);
    // Heard here, so that a failed read is no unhandled rejection; each delivery hears it too and releases its mail.
    ahead.catch((error: unknown) => this.troubled(trip, "read recipients ahead", error));
    return claims.map((claim) => this.carry(claim, trip, ahead));
  }

  private async carry(claim: Claim, trip: Trip, ahead: Promise<ReadAhead>): Promise<void> {
    const { clock, retry } = this.options;
    const from = clock.monotonic();
    const delivered = await this.deliver(claim, trip, ahead);
    this.noteSeat(claim, delivered, trip);
    const ending = endingOf(delivered, claim, retry);
    await this.settle(claim, ending, trip, clock.monotonic() - from);
  }

  /** What happens to us on the way becomes a release: the mail was not sent, and the next claim finds it. */
  private async deliver(claim: Claim, trip: Trip, ahead: Promise<ReadAhead>): Promise<Delivered> {
    try {
      const gate = () => this.gate(claim, trip);
      return await deliver(claim, trip.campaign, await ahead, gate, trip.abort, this.options.delivery);
    } catch (error) {
      if (!(error instanceof CampaigndError)) this.troubled(trip, "deliver a mail", error);
      trip.stumbled();
      return { kind: "withheld", reason: describe(error) };
    }
  }

  /** The last look before the dot: the lease, every stopper, the campaign itself, and the account's room in this hour. */
  private async gate(claim: Claim, trip: Trip): Promise<boolean> {
    const { leadership, conditions, rotation } = this.options;
    if (trip.abort.aborted || !leadership.holds() || conditions.blocked() !== undefined) return false;
    return rotation.pass(claim.seat);
  }

  /** What the mail did to its account: room used or given back, health. */
  private noteSeat(claim: Claim, delivered: Delivered, trip: Trip): void {
    const { accounts, rotation } = this.options;
    const counts = delivered.kind === "accepted" || delivered.kind === "unknown";
    if (counts) rotation.used(claim.seat);
    else rotation.giveBack(claim.seat);
    if (delivered.kind !== "suppressed" && delivered.kind !== "unsendable") accounts.note(claim.seat, delivered);
    if (claim.seat.account.backlog === 0 || !counts) trip.roomChanged();
  }

  private settle(claim: Claim, ending: Ending, trip: Trip, ms: number): Promise<void> {
    const { settler, inFlight, news } = this.options;
    return new Promise((resolve) => {
      settler.add({
        claim,
        settlement: settlementOf(claim, ending),
        counts: ending.kind === "sent" || ending.kind === "unknown",
        stored: () => {
          claim.batch.finish();
          inFlight.delete(claim.mailId);
          tell(news, claim, ending, ms);
          trip.landed(claim, ending);
          resolve();
        },
      });
    });
  }

  private troubled(trip: Trip, doing: string, error: unknown): void {
    const { news } = this.options;
    if (!saidAlready(error))
      news.emit("campaign:troubled", { campaignId: trip.campaign.id, doing, err: describe(error) });
  }
}

/** What we found ourselves ends a mail as a server's refusal of it would. */
function endingOf(delivered: Delivered, claim: Claim, retry: RetryRules): Ending {
  if (delivered.kind === "suppressed") return delivered;
  const verdict = delivered.kind === "unsendable" ? ({ ...delivered, kind: "rejected" } as const) : delivered;
  return judge(verdict, claim.attempts, claim.failingFor, retry);
}
