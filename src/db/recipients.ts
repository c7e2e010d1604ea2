import type { Database } from "./database.js";
import { number, type Row, type Scalar, type Statement, statement, text } from "./statement.js";

/** Where a campaign's recipients come from, in the order of contract §3. */
export type Source =
  | { readonly kind: "import"; readonly batchId: string }
  | { readonly kind: "list"; readonly listId: number }
  | { readonly kind: "all" };

export interface SourceRow {
  readonly id: number;
  readonly address: string;
}

const IMPORT = `SELECT id, Emails AS address FROM imported_recipients
  WHERE import_batch_id = ? AND is_active = 1 AND id > ?`;
const LIST = `SELECT id, raw_emailid AS address FROM emails
  WHERE csv_list_id = ? AND domain_status = 1 AND validation_status = 'valid' AND id > ?`;
const ALL = `SELECT id, raw_emailid AS address FROM emails FORCE INDEX (PRIMARY)
  WHERE id > ? AND id <= ? AND domain_status = 1 AND validation_status = 'valid'`;
const OWNED = ` AND user_id = ?`;
const PAGE = ` ORDER BY id LIMIT ?`;

const STATEMENTS = {
  import: statement("recipients.import", IMPORT + PAGE),
  importOwned: statement("recipients.importOwned", IMPORT + OWNED + PAGE),
  list: statement("recipients.list", LIST + PAGE),
  listOwned: statement("recipients.listOwned", LIST + OWNED + PAGE),
  all: statement("recipients.all", ALL + PAGE),
  allOwned: statement("recipients.allOwned", ALL + OWNED + PAGE),
};
const HIGHEST = statement("recipients.highest", `SELECT MAX(id) AS id FROM emails`);

/** One page of a source in id order, and the cursor for the next one; undefined cursor: the source has ended. */
export async function recipientPage(
  db: Database,
  source: Source,
  owner: number | undefined,
  cursor: number,
  limit: number,
): Promise<{ rows: SourceRow[]; cursor: number | undefined }> {
  if (source.kind === "all") return allPage(db, owner, cursor, limit);
  const key = source.kind === "import" ? source.batchId : source.listId;
  const chosen = choose(source.kind, owner);
  const rows = (await db.rows(chosen, [key, cursor, ...(owner === undefined ? [] : [owner]), limit])).map(sourceRow);
  return { rows, cursor: rows.length < limit ? undefined : rows.at(-1)?.id };
}

const choose = (kind: "import" | "list", owner: number | undefined): Statement =>
  owner === undefined ? STATEMENTS[kind] : STATEMENTS[`${kind}Owned` as const];

/** Every valid address: windows over the primary key, because no index gives them in id order. */
async function allPage(db: Database, owner: number | undefined, cursor: number, limit: number) {
  const highest = number((await db.rows(HIGHEST))[0] ?? {}, "id");
  const upTo = cursor + limit * 10;
  const chosen = owner === undefined ? STATEMENTS.all : STATEMENTS.allOwned;
  const values: Scalar[] = [cursor, upTo, ...(owner === undefined ? [] : [owner]), limit];
  const rows = (await db.rows(chosen, values)).map(sourceRow);
  const next = rows.length < limit ? upTo : (rows.at(-1)?.id ?? upTo);
  return { rows, cursor: next >= highest ? undefined : next };
}

const sourceRow = (row: Row): SourceRow => ({ id: number(row, "id"), address: text(row, "address") });

const IMPORTED = statement(
  "recipients.imported",
  `SELECT * FROM imported_recipients WHERE import_batch_id = ? AND is_active = 1 AND Emails IN (?) ORDER BY id`,
);
const LISTED = statement(
  "recipients.listed",
  `SELECT id, raw_emailid, sp_account, sp_domain, csv_list_id, user_id FROM emails WHERE csv_list_id = ? AND raw_emailid IN (?) ORDER BY id`,
);
const ANYWHERE = statement(
  "recipients.anywhere",
  `SELECT id, raw_emailid, sp_account, sp_domain, csv_list_id, user_id FROM emails WHERE raw_emailid IN (?) ORDER BY id`,
);

/** What is known of these recipients, the first row of an address first; one statement for many mails. */
export async function recipientRows(
  db: Database,
  source: Source,
  addresses: readonly string[],
): Promise<{ address: string; row: Row }[]> {
  if (addresses.length === 0) return [];
  if (source.kind === "import") {
    const rows = await db.rows(IMPORTED, [source.batchId, addresses]);
    return rows.map((row) => ({ address: text(row, "Emails"), row }));
  }
  const rows =
    source.kind === "list" ? await db.rows(LISTED, [source.listId, addresses]) : await db.rows(ANYWHERE, [addresses]);
  return rows.map((row) => ({ address: text(row, "raw_emailid"), row }));
}
