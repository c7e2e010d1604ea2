import type { SeededAccount } from "./accounts.js";
import type { Expectation, Fate } from "./expectation.js";
import { addressKey, settleFate } from "./expectation.js";
import { type Databases, insertRows, moment } from "./rows.js";

interface Queue {
  readonly campaignId: number;
  readonly listId: number;
  readonly userId: number;
  /** As given to expectQueue(). */
  readonly addresses: readonly string[];
  readonly accounts: readonly SeededAccount[];
  readonly now: number;
}

type State = readonly [
  name: "pending" | "zeroDates" | "blank" | "null" | "success" | "retryable" | "blankRefused" | "final" | "stale",
  rows: number,
];

/** Of every thirty rows, how many are in which state that production has. */
const STATES: readonly State[] = [
  ["pending", 10],
  ["zeroDates", 4],
  ["blank", 4],
  ["null", 2],
  ["success", 5],
  ["retryable", 2],
  ["blankRefused", 1],
  ["final", 1],
  ["stale", 1],
];

const CYCLE = STATES.flatMap(([name, rows]) => Array.from({ length: rows }, () => name));

const COLUMNS = [
  "campaign_id",
  "to_mail",
  "csv_list_id",
  "user_id",
  "status",
  "attempt_count",
  "error_message",
  "smtpid",
  "smtp_account_id",
  "smtp_email",
  "delivery_date",
  "delivery_time",
  "updated_at",
];

/** Makes the queue's status nullable and the session lenient, as they are where the legacy system has run for years. */
export async function loosenQueue({ s2 }: Databases): Promise<void> {
  await s2.query("SET SESSION sql_mode = ''");
  const states = "ENUM('pending','success','failed','processing')";
  await s2.query(`ALTER TABLE mail_blaster MODIFY status ${states} NULL DEFAULT 'pending'`);
}

/** Says what must become of the addresses whose rows seedQueue() will queue, and of a few that no list holds. */
export function expectQueue(expectation: Expectation, addresses: readonly string[]): void {
  for (const [i, address] of addresses.entries()) {
    const fate = FATE_BY_STATE[stateOf(i)];
    if (fate !== undefined) settleFate(expectation, address, fate);
  }
  for (const address of FORMER) expectation.delivered.add(addressKey(address));
  expectation.invalid.add(addressKey(TWO_ADDRESSES));
}

/** Queues rows of the campaign in every state that legacy runs leave behind. */
export async function seedQueue(db: Databases, queue: Queue): Promise<void> {
  const rows = queue.addresses.map((address, i) => row(queue, address, stateOf(i), i));
  rows.push(row(queue, TWO_ADDRESSES, "pending", 0));
  // Left from the list that the campaign had before: queued, so still to be sent.
  rows.push(...FORMER.map((address, i) => row({ ...queue, listId: queue.listId + 1000 }, address, "pending", i)));
  await insertRows(db.s2, "mail_blaster", COLUMNS, rows);
}

const FORMER = Array.from({ length: 5 }, (_, i) => `former.list${i}@odd.example`);
const TWO_ADDRESSES = "queued@odd.example, twice@odd.example";

/** The states in which it is decided already what becomes of a row, whatever its address. */
const FATE_BY_STATE: Readonly<Partial<Record<State[0], Fate>>> = {
  success: "alreadySent",
  blankRefused: "refusedBefore",
  final: "refusedBefore",
  stale: "unknown",
};

function stateOf(i: number): State[0] {
  return CYCLE[i % CYCLE.length] ?? "pending";
}

function row(queue: Queue, address: string, state: State[0], i: number): unknown[] {
  const yesterday = moment(queue.now - 26 * 3_600_000);
  const account = queue.accounts[i % queue.accounts.length];
  const by = [account?.id ?? 0, account?.id ?? 0, account?.email ?? ""];
  const nobody = [0, 0, ""];
  const at = [yesterday, yesterday, yesterday];
  const zero = ["0000-00-00", "00:00:00", yesterday];
  const head = [queue.campaignId, address, queue.listId, queue.userId];
  switch (state) {
    case "pending":
      return [...head, "pending", 0, null, ...nobody, ...at];
    case "zeroDates":
      return [...head, "pending", 0, null, 0, null, null, ...zero];
    case "blank":
      return [...head, "", 1, "[Attempt 1] SMTP Error: Could not connect to SMTP host.", ...by, ...at];
    case "null":
      return [...head, null, null, null, 0, null, null, ...zero];
    case "success":
      return [...head, "success", 1, null, ...by, ...at];
    case "retryable":
      return [...head, "failed", 1, "[Attempt 1] SMTP Error: data not accepted: 451 try again later", ...by, ...at];
    case "blankRefused":
      return [...head, "", 1, `[Attempt 1] SMTP Error: recipients failed: ${address}: 550 5.1.1 unknown`, ...by, ...at];
    case "final":
      return [...head, "failed", 5, "[Attempt 5] SMTP Error: data not accepted", ...by, ...at];
    case "stale":
      // Between claim and result a legacy worker keeps the id of the server, not of the account.
      return [
        ...head,
        "processing",
        0,
        null,
        account?.serverId ?? 0,
        0,
        "",
        yesterday,
        yesterday,
        moment(queue.now - 5 * 3_600_000),
      ];
    default:
      return state satisfies never;
  }
}
