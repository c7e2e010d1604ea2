import type { Database } from "./database.js";
import { askEach, number, type Row, type Scalar, statement, text } from "./statement.js";

/** Where a campaign's recipients come from, in the order of contract §3. */
export type Source =
  | { readonly kind: "import"; readonly batchId: string }
  | { readonly kind: "list"; readonly listId: number }
  | { readonly kind: "all" };

export interface SourceRow {
  readonly id: number;
  readonly address: string;
}

/**
 * Pages are windows over the primary key: an index on the list would be read from the list's first row at every page, since the
 * optimizer takes it as a plain reference (at 200,000 addresses that was four fifths of what Server 1 had to do).
 */
const WINDOW = {
  import: `SELECT id, Emails AS address FROM imported_recipients FORCE INDEX (PRIMARY)
    WHERE id > ? AND id <= ? AND import_batch_id = ? AND is_active = 1`,
  list: `SELECT id, raw_emailid AS address FROM emails FORCE INDEX (PRIMARY)
    WHERE id > ? AND id <= ? AND csv_list_id = ? AND domain_status = 1 AND validation_status = 'valid'`,
  all: `SELECT id, raw_emailid AS address FROM emails FORCE INDEX (PRIMARY)
    WHERE id > ? AND id <= ? AND domain_status = 1 AND validation_status = 'valid'`,
};
const OWNED = ` AND user_id = ?`;
const PAGE = ` ORDER BY id LIMIT ?`;

const PAGES = {
  import: statement("recipients.import", WINDOW.import + PAGE),
  importOwned: statement("recipients.importOwned", WINDOW.import + OWNED + PAGE),
  list: statement("recipients.list", WINDOW.list + PAGE),
  listOwned: statement("recipients.listOwned", WINDOW.list + OWNED + PAGE),
  all: statement("recipients.all", WINDOW.all + PAGE),
  allOwned: statement("recipients.allOwned", WINDOW.all + OWNED + PAGE),
};
/** Where the source goes on behind a window: skips what belongs to others, and tells the end. */
const NEXT = {
  import: statement(
    "recipients.importNext",
    `SELECT MIN(id) AS id FROM imported_recipients WHERE import_batch_id = ? AND is_active = 1 AND id > ?`,
  ),
  list: statement(
    "recipients.listNext",
    `SELECT MIN(id) AS id FROM emails WHERE csv_list_id = ? AND domain_status = 1 AND validation_status = 'valid' AND id > ?`,
  ),
  all: statement("recipients.allNext", `SELECT MIN(id) AS id FROM emails WHERE id > ?`),
};

/** Ids of one window: ten for each recipient wanted, so that lists uploaded side by side still fill a page. */
const DENSITY = 10;

/**
 * One page of a source in id order, and the cursor for the next one; undefined cursor: the source has ended.
 * A page may be empty although more follow: each reads at most ten ids for each recipient wanted.
 */
export async function recipientPage(
  db: Database,
  source: Source,
  owner: number | undefined,
  cursor: number,
  limit: number,
): Promise<{ rows: SourceRow[]; cursor: number | undefined }> {
  const upTo = cursor + limit * DENSITY;
  const page = PAGES[owner === undefined ? source.kind : (`${source.kind}Owned` as const)];
  const bound: Scalar[] = [cursor, upTo, ...keyOf(source), ...(owner === undefined ? [] : [owner]), limit];
  const rows = (await db.rows(page, bound)).map(sourceRow);
  const last = rows.at(-1);
  if (rows.length >= limit && last) return { rows, cursor: last.id };
  const next = number((await db.rows(NEXT[source.kind], [...keyOf(source), upTo]))[0] ?? {}, "id");
  return { rows, cursor: next === 0 ? undefined : next - 1 };
}

function keyOf(source: Source): Scalar[] {
  if (source.kind === "all") return [];
  return [source.kind === "import" ? source.batchId : source.listId];
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
  const rows = await askEach(addresses, (some) => {
    if (source.kind === "import") return db.rows(IMPORTED, [source.batchId, some]);
    return source.kind === "list" ? db.rows(LISTED, [source.listId, some]) : db.rows(ANYWHERE, [some]);
  });
  const column = source.kind === "import" ? "Emails" : "raw_emailid";
  return rows.map((row) => ({ address: text(row, column), row }));
}
