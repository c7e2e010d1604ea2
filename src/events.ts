import { EventEmitter } from "node:events";

/** What a line of news is worth: info = campaigns, debug = mails, warn = coped, error = a human should look. */
export type Level = "debug" | "info" | "warn" | "error";

type Scalar = string | number | boolean | null;

/** Which server a piece of news is about. */
export type ServerName = "emailId" | "crm";

/** Every piece of news, its facts as plain scalars. Nobody acts on news: it feeds logs, metrics, tests. */
export interface EventMap {
  "daemon:started": { version: string; pid: number; owner: string };
  "daemon:stopping": { reason: string };
  "daemon:awaiting": { service: string; ms: number };
  "daemon:stopped": { ms: number };
  "db:connected": { server: ServerName; ms: number; version: string };
  "db:waiting": { server: ServerName; err: string };
  "db:lost": { server: ServerName; kind: string; err: string };
  "db:recovered": { server: ServerName; ms: number };
  "db:warning": { server: ServerName; statement: string; code: number; text: string };
  "schema:missing": { server: ServerName; what: string; follows: string };
  "lease:standby": { holder: string; seconds: number };
  "lease:taken": { epoch: number; retaken: boolean };
  "lease:lost": { epoch: number; err: string };
  "lease:renewFailed": { epoch: number; err: string; leftMs: number };
  "recovery:done": { released: number; parked: number; records: number };
  "monitor:failed": { err: string; napMs: number };
  "campaign:seen": { campaignId: number; description: string; source: string; owner: number };
  "campaign:tallied": {
    campaignId: number;
    total: number;
    sent: number;
    failed: number;
    pending: number;
    healed: number;
    adopted: number;
  };
  "campaign:filled": {
    campaignId: number;
    inserted: number;
    present: number;
    suppressed: number;
    invalid: number;
    collisions: number;
  };
  "campaign:held": { campaignId: number; reason: string };
  "campaign:waiting": { campaignId: number; reason: string; seconds: number };
  "campaign:progress": {
    campaignId: number;
    total: number;
    sent: number;
    failed: number;
    pending: number;
    rate: number;
  };
  "campaign:completed": {
    campaignId: number;
    total: number;
    sent: number;
    failed: number;
    unknown: number;
    ms: number;
  };
  "campaign:left": { campaignId: number; due: number };
  "campaign:cutShort": { campaignId: number; due: number };
  "campaign:troubled": { campaignId: number; doing: string; err: string };
  "claim:made": { campaignId: number; batch: string; mails: number; ms: number };
  "claim:missed": { campaignId: number; batch: string; wanted: number; won: number };
  "mail:sent": { campaignId: number; mailId: number; account: number; attempt: number; ms: number; reply: string };
  "mail:deferred": {
    campaignId: number;
    mailId: number;
    account: number;
    attempt: number;
    class: string;
    dueInMs: number;
    reply: string;
  };
  "mail:discarded": {
    campaignId: number;
    mailId: number;
    account: number;
    attempt: number;
    class: string;
    reply: string;
  };
  "mail:suppressed": { campaignId: number; mailId: number; reason: string };
  "mail:released": { campaignId: number; mailId: number; account: number; reason: string };
  "mail:unknown": { campaignId: number; mailId: number; account: number; messageId: string; why: string };
  "settle:stored": { rows: number; ms: number; seq: number };
  "settle:failed": { rows: number; err: string; napMs: number };
  "settle:mismatch": { expected: number; changed: number; seq: number };
  "account:rested": { account: number; email: string; class: string; seconds: number; reply: string };
  "account:suspended": { account: number; email: string; class: string; seconds: number; reply: string };
  "account:recovered": { account: number; email: string };
  "account:limited": { account: number; email: string; limit: string; used: number };
  "account:unprotected": { host: string; text: string };
  "accounts:loaded": { accounts: number; usable: number };
  "legacy:seen": { evidence: string; campaignId: number };
  "legacy:gone": { quietMs: number };
  "foreign:parked": { campaignId: number; rows: number };
  "foreign:released": { campaignId: number; rows: number };
}

/** How each piece of news reads in the log and in docs/events.md. */
export const EVENTS: { readonly [K in keyof EventMap]: { readonly level: Level; readonly says: string } } = {
  "daemon:started": { level: "info", says: "The daemon is up." },
  "daemon:stopping": { level: "info", says: "No new claims; what is in flight lands." },
  "daemon:awaiting": { level: "warn", says: "Shutdown still waits for this service." },
  "daemon:stopped": { level: "info", says: "Everything is settled and closed." },
  "db:connected": { level: "info", says: "A database server answered for the first time." },
  "db:waiting": { level: "warn", says: "A database server cannot be reached at start; campaignd waits for it." },
  "db:lost": { level: "error", says: "A database server stopped answering; claims and sends stop until it is back." },
  "db:recovered": { level: "info", says: "A database server answers again." },
  "db:warning": { level: "warn", says: "A server warned about a write; said once a statement and code." },
  "schema:missing": { level: "warn", says: "Something optional is missing in a database; what follows from it." },
  "lease:standby": { level: "warn", says: "Another daemon leads this queue; this one stands by." },
  "lease:taken": { level: "info", says: "This daemon leads the queue." },
  "lease:lost": { level: "error", says: "This daemon no longer leads the queue; no dot goes out." },
  "lease:renewFailed": { level: "warn", says: "The lease could not be renewed this time." },
  "recovery:done": { level: "info", says: "What a dead predecessor had claimed is put right." },
  "monitor:failed": { level: "warn", says: "A look at the campaigns failed; the next one retries." },
  "campaign:seen": { level: "info", says: "A running campaign is taken up." },
  "campaign:tallied": { level: "info", says: "The campaign's rows are counted and odd ones healed." },
  "campaign:filled": { level: "info", says: "Every recipient of the campaign is in the queue." },
  "campaign:held": {
    level: "error",
    says: "The campaign is paused before its first mail because something is missing.",
  },
  "campaign:waiting": { level: "warn", says: "Nothing can be sent for now; the campaign goes on by itself." },
  "campaign:progress": { level: "info", says: "New counters are written." },
  "campaign:completed": { level: "info", says: "Every row of the campaign has its final state." },
  "campaign:left": { level: "info", says: "The campaign is not running any more; its unsent mails went back." },
  "campaign:cutShort": { level: "error", says: "Somebody else completed the campaign while mails were still due." },
  "campaign:troubled": { level: "warn", says: "A step of a campaign failed; it is tried again." },
  "claim:made": { level: "debug", says: "A batch of mails is claimed." },
  "claim:missed": { level: "warn", says: "Another writer took rows of this batch first; nothing was claimed." },
  "mail:sent": { level: "debug", says: "The server took the mail." },
  "mail:deferred": { level: "debug", says: "The server refused the mail for now; it is tried again." },
  "mail:discarded": { level: "debug", says: "The mail has failed for good." },
  "mail:suppressed": { level: "debug", says: "The recipient asked not to be written to." },
  "mail:released": { level: "debug", says: "The mail went back to the queue unsent, with its attempt." },
  "mail:unknown": { level: "error", says: "Nobody can know whether the mail arrived; it is held and listed." },
  "settle:stored": { level: "debug", says: "A batch of outcomes is stored." },
  "settle:failed": { level: "warn", says: "Outcomes could not be stored; they wait and are tried again." },
  "settle:mismatch": { level: "error", says: "Another writer changed rows that this daemon had claimed." },
  "account:rested": { level: "warn", says: "An account rests after a fault that is not the mail's." },
  "account:suspended": { level: "error", says: "An account is suspended after a lasting refusal or many faults." },
  "account:recovered": { level: "info", says: "An account works again." },
  "account:limited": { level: "info", says: "An account has reached a limit; it opens by itself." },
  "account:unprotected": {
    level: "warn",
    says: "A server offers no login, so its accounts send without one; said once.",
  },
  "accounts:loaded": { level: "debug", says: "Accounts, limits and usage are re-read." },
  "legacy:seen": { level: "error", says: "A legacy sender is alive; every campaign rests until it is quiet." },
  "legacy:gone": { level: "info", says: "No legacy sender was seen for long enough; campaigns go on." },
  "foreign:parked": { level: "error", says: "Rows that somebody else left in processing are parked as unknown." },
  "foreign:released": { level: "warn", says: "Rows that somebody else left in processing are released." },
};

export type EventName = keyof EventMap;
type Listener = (name: EventName, facts: Readonly<Record<string, Scalar>>) => void;

/** The spine of the daemon: emit never throws, whatever a listener does. */
export class News {
  private readonly emitter = new EventEmitter();

  emit<K extends EventName>(name: K, facts: EventMap[K]): void {
    for (const listener of this.emitter.listeners("news") as Listener[]) {
      try {
        listener(name, facts);
      } catch {
        // A subscriber that fails costs its own line, never a mail.
      }
    }
  }

  /** Calls `listener` with every piece of news until the returned function is called. */
  subscribe(listener: Listener): () => void {
    this.emitter.on("news", listener);
    return () => this.emitter.off("news", listener);
  }
}
