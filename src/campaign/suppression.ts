import { ReadThrough } from "../cache/readThrough.js";
import type { Database } from "../db/database.js";
import { bounced, excludedAccounts, excludedDomains, unsubscribed } from "../db/suppression.js";

export interface SuppressionOptions {
  readonly db: Database;
  /** Oldest answer that is still believed, milliseconds (contract §3). */
  readonly maxAge: number;
  /** Whether bounced_emails counts; that table also holds mailer-daemons. */
  readonly bounced: boolean;
}

interface Excluded {
  readonly domains: ReadonlySet<string>;
  readonly accounts: ReadonlySet<string>;
}

/** Who must not be written to: unsubscribers by address, excluded domains and local parts from a snapshot. */
export class Suppression {
  private readonly excluded: ReadThrough<"all", Excluded>;

  constructor(private readonly options: SuppressionOptions) {
    const { db, maxAge } = options;
    // Half the age, so that an answer given from the snapshot is still young enough when its last mail goes out.
    this.excluded = new ReadThrough<"all", Excluded>({
      ttl: maxAge / 2,
      max: 1,
      load: async () => ({ domains: await excludedDomains(db), accounts: await excludedAccounts(db) }),
    });
  }

  /** The reason for each of these addresses that is suppressed, keyed in lower case; one statement for many mails. */
  async ask(addresses: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const { db } = this.options;
    const { domains, accounts } = await this.excluded.get("all");
    const gone = await unsubscribed(db, addresses);
    const back = this.options.bounced ? await bounced(db, addresses) : new Set<string>();
    const reasons = new Map<string, string>();
    for (const address of addresses) {
      const reason = reasonFor(address.trim().toLowerCase(), gone, back, domains, accounts);
      if (reason !== undefined) reasons.set(address.trim().toLowerCase(), reason);
    }
    return reasons;
  }
}

function reasonFor(
  address: string,
  gone: ReadonlySet<string>,
  back: ReadonlySet<string>,
  domains: ReadonlySet<string>,
  accounts: ReadonlySet<string>,
): string | undefined {
  const at = address.lastIndexOf("@");
  if (gone.has(address)) return "unsubscribed";
  if (domains.has(address.slice(at + 1))) return "excluded domain";
  if (accounts.has(address.slice(0, at))) return "excluded account";
  return back.has(address) ? "bounced before" : undefined;
}

/** How a suppressed row reads in mail_blaster. */
export const suppressedText = (reason: string): string => `[SUPPRESSED] ${reason}`;
