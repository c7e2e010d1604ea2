import type { Before, Wanted } from "../../src/db/claims.js";
import type { Database } from "../../src/db/database.js";
import { takeLease } from "../../src/db/fence.js";
import { rowsById } from "../../src/db/mailBlaster.js";
import { CampaigndError, type ErrorKind } from "../../src/errors.js";
import { aMail, anAccount } from "../support/builders.js";
import { type Connected, connected } from "../support/connected.js";
import type { Sandbox } from "../support/sandbox.js";
import { until } from "../support/until.js";

/** Fresh, empty databases, reached as the daemon reaches them. */
export interface Setup extends Connected {
  readonly s1: Sandbox["s1"];
  readonly s2: Sandbox["s2"];
}

export async function setup(sandbox: Sandbox): Promise<Setup> {
  await sandbox.freshDatabases();
  return { ...connected(sandbox), s1: sandbox.s1, s2: sandbox.s2 };
}

/** Takes the lease for `owner` and returns the epoch; throws when somebody else leads. */
export async function lead(db: Database, owner = "tester", predecessor = owner): Promise<number> {
  const lease = await db.transaction("lease.takeOver", (run) => takeLease(run, owner, predecessor, 30_000));
  if (!lease) throw new Error("somebody else leads");
  return lease.epoch;
}

export interface QueueRow {
  readonly id: number;
  readonly status: string | null;
  readonly attempt_count: number | null;
  readonly error_message: string | null;
  readonly smtpid: number;
  readonly smtp_account_id: number | null;
  readonly smtp_email: string | null;
  readonly delivery_date: string;
  readonly sent_at: string | null;
  readonly updated_at: string;
}

/** The rows of mail_blaster in id order, all or these. */
export function queue({ s2 }: Pick<Setup, "s2">, ids?: readonly number[]): Promise<QueueRow[]> {
  const where = ids ? "WHERE id IN (?)" : "";
  return s2<QueueRow>(`SELECT * FROM mail_blaster ${where} ORDER BY id`, ids ? [ids] : []);
}

export type MailStates = Omit<Parameters<typeof aMail>[1], "campaign">;

/** Mails of one campaign, one for each state given; returns their ids. */
export async function mailsOf(t: Setup, campaign: number, states: readonly MailStates[]): Promise<number[]> {
  const ids: number[] = [];
  for (const state of states) ids.push(await aMail(t, { campaign, ...state }));
  return ids;
}

/** An account without limits, and the rows as a claim for it wants them. */
export async function wanted(t: Setup, ids: readonly number[]): Promise<{ accountId: number; rows: Wanted[] }> {
  const accountEmail = `sales.${ids[0]}@sender.example`;
  const accountId = await anAccount(t, { server: { port: 25 }, email: accountEmail, userId: 7 });
  const found = new Map((await rowsById(t.crm, ids)).map((row) => [row.mailId, row]));
  const rows = ids.flatMap((id) => {
    const row = found.get(id);
    return row ? [{ ...asBefore(row), attempts: row.attempts, accountId, accountEmail }] : [];
  });
  return { accountId, rows };
}

export function asBefore({ mailId, status, updatedAt }: Before): Before {
  return { mailId, status, updatedAt };
}

/** Runs the work and returns the kind of its failure; undefined when it did not fail. */
export async function failure(work: Promise<unknown>): Promise<ErrorKind | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof CampaigndError) return error.kind;
    throw error;
  }
}

/** A transaction of somebody else's on Server 2, begun with these statements; taken back unless `work` ends it. */
export async function beside(
  sandbox: Sandbox,
  statements: string,
  work: (query: (sql: string) => Promise<unknown>) => Promise<void>,
): Promise<void> {
  const other = await sandbox.crm.root();
  try {
    await other.query(`USE CRM; START TRANSACTION; ${statements}`);
    await work((sql) => other.query(sql));
  } finally {
    await other.end();
  }
}

/** Ends when a statement of this name waits for somebody's lock. INNODB_TRX would not do: it is a copy that looking keeps old. */
export async function waitsForLock({ s2 }: Pick<Setup, "s2">, name: string): Promise<void> {
  await until(`${name} to wait for a lock`, async () => {
    const [status] = await s2<{ Status: string }>("SHOW ENGINE INNODB STATUS");
    const transactions = status?.Status.split("---TRANSACTION") ?? [];
    return transactions.some((said) => said.includes("LOCK WAIT") && said.includes(`/* ${name} */`));
  });
}
