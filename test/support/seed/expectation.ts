import { domainToASCII } from "node:url";

/** What must become of a campaign's recipients, as address keys: each address is in exactly one set. */
export interface Expectation {
  /** The SMTP server takes the mail in this run. */
  readonly delivered: Set<string>;
  /** Sent by an earlier run; must not be sent again. */
  readonly alreadySent: Set<string>;
  /** Unsubscribed or excluded; must not reach an SMTP server. */
  readonly suppressed: Set<string>;
  /** No address that a mail could be sent to. */
  readonly invalid: Set<string>;
  /** Addresses on which opinions differ: delivered or failed, both are right. */
  readonly either: Set<string>;
  /** The SMTP server says no for good in this run (550 at RCPT, 552 after the data). */
  readonly refused: Set<string>;
  /** Refused for good by an earlier run. */
  readonly refusedBefore: Set<string>;
  /** Left in `processing` by a legacy worker that is gone: held, never resent by itself. */
  readonly unknown: Set<string>;
}

export type Fate = keyof Expectation;

export const FATES: readonly Fate[] = [
  "delivered",
  "alreadySent",
  "suppressed",
  "invalid",
  "either",
  "refused",
  "refusedBefore",
  "unknown",
];

export function emptyExpectation(): Expectation {
  return {
    delivered: new Set(),
    alreadySent: new Set(),
    suppressed: new Set(),
    invalid: new Set(),
    either: new Set(),
    refused: new Set(),
    refusedBefore: new Set(),
    unknown: new Set(),
  };
}

/** Rows that the campaign has in the queue once it is complete. */
export function totalRows(expectation: Expectation): number {
  return FATES.reduce((sum, fate) => sum + expectation[fate].size, 0);
}

/** The form in which two spellings of one mailbox are equal: trimmed, lower case, domain in ASCII. */
export function addressKey(address: string): string {
  const plain = address.trim().toLowerCase();
  const at = plain.lastIndexOf("@");
  if (at < 0) return plain;
  const domain = plain.slice(at + 1);
  return `${plain.slice(0, at)}@${domainToASCII(domain) || domain}`;
}

/** What the SMTP server does with an address by its script, the word before the first dot or plus (550, data-552, greylist-1 …). */
export function scriptedFate(address: string): "delivered" | "refused" {
  const word = /^[^.+@]*/.exec(address.trim())?.[0] ?? "";
  return /^(data-)?5\d\d$/.test(word) ? "refused" : "delivered";
}

/** Moves an address to another fate. */
export function settleFate(expectation: Expectation, address: string, fate: Fate): void {
  const key = addressKey(address);
  for (const other of FATES) expectation[other].delete(key);
  expectation[fate].add(key);
}
