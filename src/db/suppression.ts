import type { Database } from "./database.js";
import { askEach, statement, text } from "./statement.js";

const UNSUBSCRIBED = statement("suppression.unsubscribed", `SELECT email FROM unsubscribers WHERE email IN (?)`);
const BOUNCED = statement("suppression.bounced", `SELECT email FROM bounced_emails WHERE email IN (?)`);
const DOMAINS = statement("suppression.domains", `SELECT domain FROM exclude_domains`);
const ACCOUNTS = statement("suppression.accounts", `SELECT account FROM exclude_accounts`);

/** Which of these addresses asked not to be written to; compared in lower case (contract §3). */
export async function unsubscribed(db: Database, addresses: readonly string[]): Promise<Set<string>> {
  return lowered(await askEach(addresses, (some) => db.rows(UNSUBSCRIBED, [some])), "email");
}

/** Which of these addresses have bounced; asked only when `suppression.bounced` is on. */
export async function bounced(db: Database, addresses: readonly string[]): Promise<Set<string>> {
  return lowered(await askEach(addresses, (some) => db.rows(BOUNCED, [some])), "email");
}

export async function excludedDomains(db: Database): Promise<Set<string>> {
  return lowered(await db.rows(DOMAINS), "domain");
}

/** Excluded local parts. */
export async function excludedAccounts(db: Database): Promise<Set<string>> {
  return lowered(await db.rows(ACCOUNTS), "account");
}

function lowered(rows: Awaited<ReturnType<Database["rows"]>>, column: string): Set<string> {
  return new Set(rows.map((row) => text(row, column).trim().toLowerCase()));
}
