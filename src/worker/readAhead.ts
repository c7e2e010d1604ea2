import type { Campaign, Catalog } from "../campaign/catalog.js";
import type { Suppression } from "../campaign/suppression.js";
import type { Clock } from "../clock.js";
import type { Claim } from "./batch.js";
import type { ReadAhead } from "./delivery.js";

export interface ReadAheadOptions {
  readonly catalog: Pick<Catalog, "recipients">;
  readonly suppression: Pick<Suppression, "ask">;
  readonly clock: Clock;
  /** Oldest suppression answer that is still believed, milliseconds. */
  readonly maxAge: number;
}

/** Reads recipients' data and suppression for all mails of a claim at once; a mail that waits too long makes the whole claim ask again. */
export async function readAhead(
  campaign: Campaign,
  claims: readonly Claim[],
  options: ReadAheadOptions,
): Promise<ReadAhead> {
  const { catalog, suppression, clock, maxAge } = options;
  const addresses = claims.map((claim) => claim.to);
  const ask = () => ({ at: clock.monotonic(), reasons: suppression.ask(addresses) });
  let answer = ask();
  const [fields] = await Promise.all([catalog.recipients(campaign, addresses), answer.reasons]);
  return {
    fields,
    suppressed: async (address) => {
      // The snapshot of excluded domains may already have been half of maxAge old when it answered.
      if (clock.monotonic() - answer.at > maxAge / 2) answer = ask();
      return (await answer.reasons).get(address.trim().toLowerCase());
    },
  };
}
