import type { Expectation, Fate } from "./expectation.js";
import { addressKey, scriptedFate } from "./expectation.js";
import { mailDomain, person } from "./names.js";
import type { Random } from "./random.js";
import { type Databases, insertRows } from "./rows.js";

/** A domain and local parts on the lists of exclusions. */
export const EXCLUDED_DOMAIN = "rival-suppliers.example";
export const EXCLUDED_ACCOUNTS = ["noreply", "abuse"] as const;

/** What the seed remembers of the list: a slice that a legacy run has queued, and who unsubscribed or bounced. */
export interface ListNotes {
  /** Plain valid addresses from the top of the list. */
  readonly top: string[];
  readonly unsubscribed: string[];
  readonly bounced: string[];
}

interface Entry {
  readonly address: string;
  readonly domainStatus: 0 | 1 | 2;
  readonly validation: string | null;
}

const COLUMNS = [
  "raw_emailid",
  "sp_account",
  "sp_domain",
  "domain_verified",
  "domain_status",
  "validation_response",
  "domain_processed",
  "csv_list_id",
  "validation_status",
  "worker_id",
  "user_id",
];

/** Fills a CSV list as the upload and the validator leave it, and notes what must become of each address. */
export async function seedAddressList(
  { s1 }: Databases,
  random: Random,
  list: { id: number; userId: number; strangerId: number; size: number; queued: number },
  expectation: Expectation,
): Promise<ListNotes> {
  const notes: ListNotes = { top: [], unsubscribed: [], bounced: [] };
  const counted = { valid: 0 };
  function* rows(): Generator<readonly unknown[]> {
    let last: Entry | undefined;
    for (let i = 0; i < list.size; i += 1) {
      // Now and then the same line twice: an upload does not compare its lines.
      const entry: Entry = last !== undefined && i % 509 === 508 ? last : entryAt(i, random);
      if (entry.domainStatus === 1 && entry.validation === "valid") noteValid(entry.address, i);
      last = entry;
      yield row(entry, list.id, list.userId, i);
    }
    for (let i = 0; i < 5; i += 1) {
      const stray: Entry = { address: `stray${i}@other-tenant.example`, domainStatus: 1, validation: "valid" };
      yield row(stray, list.id, list.strangerId, i);
    }
  }
  function noteValid(address: string, i: number): void {
    const key = addressKey(address);
    const odd = ODD.find((entry) => entry.address === address);
    let fate: Fate = odd?.fate ?? scriptedFate(address);
    if (odd === undefined && fate === "delivered") {
      counted.valid += 1;
      if (counted.valid % 97 === 0) {
        notes.unsubscribed.push(i % 2 === 0 ? address.toUpperCase() : address);
        fate = "suppressed";
      } else if (counted.valid % 211 === 0) notes.bounced.push(address);
    }
    if (address.endsWith(`@${EXCLUDED_DOMAIN}`)) fate = "suppressed";
    if (notes.top.length < list.queued && odd === undefined && !notes.top.includes(address)) notes.top.push(address);
    // A repeated line keeps what the first one said.
    if (fate !== "suppressed") for (const set of Object.values(expectation)) if (set.has(key)) return;
    for (const set of Object.values(expectation)) set.delete(key);
    expectation[fate].add(key);
  }
  await insertRows(s1, "emails", COLUMNS, rows());
  return notes;
}

const LONG_DOMAIN = `${"purchase-department-of-a-long-named-company".slice(0, 40)}.${"head-office".repeat(4)}`;

/** Odd lines at the top of the list; the validator has called all of them valid. */
const ODD: readonly { readonly address: string; readonly fate: Fate }[] = [
  { address: "anita.rao@odd.example, b@odd.example", fate: "invalid" },
  { address: "two words@odd.example", fate: "invalid" },
  { address: "no-at-sign.odd.example", fate: "invalid" },
  { address: `${"l".repeat(70)}@odd.example`, fate: "invalid" },
  { address: "  padded@odd.example ", fate: "delivered" },
  { address: "ravi+diwali@odd.example", fate: "delivered" },
  { address: "o'brien@odd.example", fate: "delivered" },
  { address: `${"a.long.local.part.".repeat(3)}x@${LONG_DOMAIN}.example`, fate: "delivered" },
  { address: "info@xn--mnchen-3ya.example", fate: "delivered" },
  { address: "büro@odd.example", fate: "either" },
  { address: "vertrieb@köln.example", fate: "either" },
  { address: `${EXCLUDED_ACCOUNTS[0]}@odd.example`, fate: "suppressed" },
  { address: `${EXCLUDED_ACCOUNTS[1]}@odd.example`, fate: "suppressed" },
];

function entryAt(i: number, random: Random): Entry {
  const odd = ODD[i];
  if (odd !== undefined) return { address: odd.address, domainStatus: 1, validation: "valid" };
  const plain = plainAddress(i, random);
  const u = random.next();
  if (u < 0.015) return { address: `550.${plain}`, domainStatus: 1, validation: "valid" };
  if (u < 0.025) return { address: `greylist-1.${plain}`, domainStatus: 1, validation: "valid" };
  if (u < 0.028) return { address: `data-552.${plain}`, domainStatus: 1, validation: "valid" };
  if (u < 0.84) return { address: plain, domainStatus: 1, validation: "valid" };
  if (u < 0.88) return { address: plain, domainStatus: 1, validation: "catch-all" };
  if (u < 0.9) return { address: plain, domainStatus: 1, validation: "disposable" };
  if (u < 0.95) return { address: plain, domainStatus: 0, validation: "invalid" };
  if (u < 0.97) return { address: plain, domainStatus: 2, validation: "retryable" };
  if (u < 0.985) return { address: plain, domainStatus: 0, validation: "pending" };
  if (u < 0.99) return { address: plain, domainStatus: 0, validation: "valid" };
  return { address: plain, domainStatus: random.chance(0.5) ? 1 : 0, validation: null };
}

function plainAddress(i: number, random: Random): string {
  const { first, last } = person(random);
  const domain = random.chance(0.006) ? EXCLUDED_DOMAIN : mailDomain(random);
  const dot = random.pick([".", "_", ""]);
  return `${first}${dot}${last}${i}@${domain}`;
}

function row({ address, domainStatus, validation }: Entry, listId: number, userId: number, i: number): unknown[] {
  const at = address.lastIndexOf("@");
  const response = domainStatus === 1 ? "250 2.1.5 Ok" : "MX lookup failed";
  const [account, domain] = [address.slice(0, Math.max(at, 0)), address.slice(at + 1)];
  const processed = validation === "pending" ? 0 : 1;
  return [
    address,
    account,
    domain,
    domainStatus,
    domainStatus,
    response,
    processed,
    listId,
    validation,
    (i % 4) + 1,
    userId,
  ];
}
