import type { Database } from "./database.js";
import { SIDE_ROWS, SIDE_TABLES } from "./sideTables.js";
import { statement } from "./statement.js";

/** The DDL that `schema apply` runs, in order; every statement may run twice. */
export function plan(absent: readonly string[]): string[] {
  const tables = absent.flatMap((table) => SIDE_TABLES.get(table) ?? []);
  return [...tables, ...SIDE_ROWS];
}

/** Creates campaignd's own tables and their single rows on Server 2; never touches a table of the web application. */
export async function apply(db: Database, absent: readonly string[]): Promise<void> {
  for (const ddl of plan(absent)) await db.run(statement("schema.apply", ddl));
}

const ADVICE: readonly {
  readonly when: (probe: { pendingIndex: boolean; uniqueRecipient: boolean }) => boolean;
  readonly ddl: string;
}[] = [
  {
    when: (probe) => !probe.uniqueRecipient,
    ddl: "ALTER TABLE mail_blaster ADD UNIQUE KEY unique_campaign_email (campaign_id, to_mail(191))",
  },
  {
    when: (probe) => !probe.pendingIndex,
    ddl: "ALTER TABLE mail_blaster ADD KEY idx_campaign_pending (campaign_id, status, attempt_count, id)",
  },
];

/** Index DDL that would help on Server 2; printed as advice, applied only by a person. */
export function advice(probe: { pendingIndex: boolean; uniqueRecipient: boolean }): string[] {
  return ADVICE.filter(({ when }) => when(probe)).map(({ ddl }) => ddl);
}
