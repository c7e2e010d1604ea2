import type { Account } from "./account.js";
import type { Hour } from "./quota.js";

/** A campaign that looks for accounts: those of its owner, or all when it has none; only some servers when it is distributed. */
export interface Seeker {
  readonly campaignId: number;
  readonly owner: number | undefined;
  readonly servers: ReadonlySet<number> | undefined;
}

/** A reserved place for one mail at one account. */
export interface Seat {
  readonly account: Account;
  readonly campaignId: number;
  /** The hour it counts in, once the mail passed the gate. */
  passed: Hour | undefined;
  done: boolean;
}
