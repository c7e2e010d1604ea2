import { zonedDate } from "../zone.js";
import { ALIASES, HIDDEN_COLUMNS } from "./aliases.js";
import { formatAmount, parseAmount } from "./amount.js";

/** What one recipient's placeholders can say: lower-cased column name to plain text, in column order, hidden columns left out. */
export type RecipientFields = ReadonlyMap<string, string>;

export interface FieldOptions {
  /** The setting merge.defaults: texts for columns that are empty or missing. */
  readonly defaults: Readonly<Record<string, string>>;
  /** The moment and zone that CurrentDate speaks of. */
  readonly now: { readonly epochMs: number; readonly zone: string };
}

/** No value is longer than this many UTF-16 units: one broken cell must not become a mail of megabytes. */
const MAX_VALUE = 10_000;
const TAX_PERCENT = 18;

/**
 * Builds the lookup of one recipient from its row (contract §6); `kind` tells imported_recipients ("import"), emails
 * ("email") and no row at all ("none") apart. Never throws: what cannot be read is empty.
 */
export function recipientFields(
  row: Readonly<Record<string, unknown>>,
  kind: "import" | "email" | "none",
  options: FieldOptions,
): RecipientFields {
  const fields = new Map<string, string>();
  if (kind !== "none") for (const column of Object.keys(row)) put(fields, column, row[column]);
  if (kind === "import") {
    overlayExtraData(fields, row.extra_data);
    nameTheRecipient(fields, row);
    compute(fields, row.id);
  }
  for (const column of Object.keys(options.defaults)) fill(fields, column, options.defaults[column]);
  fields.set("currentdate", currentDate(options.now.epochMs, options.now.zone));
  return fields;
}

/** The text for one placeholder: its column if not empty, else its aliases, else the first column of a similar name, else ''. */
export function lookup(fields: RecipientFields, placeholder: string): string {
  const name = placeholder.toLowerCase();
  const exact = fields.get(name);
  if (exact) return exact;
  for (const alias of ALIASES.get(name) ?? []) {
    const value = fields.get(alias);
    if (value) return value;
  }
  return name.trim() === "" ? "" : partialMatch(fields, name);
}

function partialMatch(fields: RecipientFields, name: string): string {
  for (const [column, value] of fields) {
    if (value && (column.includes(name) || (column.length > 3 && name.includes(column)))) return value;
  }
  return "";
}

function put(fields: Map<string, string>, column: string, value: unknown): void {
  const name = column.toLowerCase();
  if (!HIDDEN_COLUMNS.has(name)) fields.set(name, textOf(value));
}

function fill(fields: Map<string, string>, column: string, value: unknown): void {
  if (!fields.get(column.toLowerCase())) put(fields, column, value);
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value.length > MAX_VALUE ? cut(value) : value;
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return String(value);
  return Buffer.isBuffer(value) ? cut(value.toString("utf8")) : "";
}

function cut(value: string): string {
  const end = /[\ud800-\udbff]/.test(value.charAt(MAX_VALUE - 1)) ? MAX_VALUE - 1 : MAX_VALUE;
  return value.slice(0, end);
}

/** extra_data holds the sheet's unmapped columns as JSON; a broken text is as good as none, the other columns still count. */
function overlayExtraData(fields: Map<string, string>, extraData: unknown): void {
  const json = parseJson(extraData);
  if (typeof json !== "object" || json === null || Array.isArray(json)) return;
  for (const [column, value] of Object.entries(json)) put(fields, column, value);
}

function parseJson(text: unknown): unknown {
  if (typeof text !== "string" || text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Company falls back only where the column is NULL, not where it is '': an empty cell was left empty on purpose. */
function nameTheRecipient(fields: Map<string, string>, row: Readonly<Record<string, unknown>>): void {
  fields.set("email", fields.get("emails") ?? "");
  fields.set("name", fields.get("billedname") ?? "");
  const isNull = (column: string) => (row[column] ?? null) === null;
  const unset = isNull("Company") && !fields.get("company");
  if (unset) fields.set("company", fields.get(isNull("Group Name") ? "billedname" : "group name") ?? "");
}

/** What an import's row leaves empty and its other columns tell. */
function compute(fields: Map<string, string>, rowId: unknown): void {
  const get = (column: string) => fields.get(column) ?? "";
  fill(fields, "price", get("amount"));
  const price = parseAmount(get("price"));
  if (price !== null) fill(fields, "tax", formatAmount((price * TAX_PERCENT) / 100));
  const tax = parseAmount(get("tax"));
  if (price !== null && tax !== null) fill(fields, "netprice", formatAmount(price + tax));
  fill(fields, "district", get("region") || get("place"));
  fill(fields, "dealername", get("executivename"));
  fill(fields, "dealercell", get("executivecontact"));
  if (typeof rowId === "number" || typeof rowId === "string") {
    fill(fields, "customerid", `CUST${String(rowId).padStart(6, "0")}`);
  }
}

const MONTHS = "January February March April May June July August September October November December".split(" ");

/** "November 24th, 2026" */
function currentDate(epochMs: number, zone: string): string {
  const { year, month, day } = zonedDate(epochMs, zone);
  return `${MONTHS[month - 1] ?? ""} ${day}${ordinalSuffix(day)}, ${year}`;
}

function ordinalSuffix(day: number): string {
  if (day >= 11 && day <= 13) return "th";
  return ["th", "st", "nd", "rd"][day % 10] ?? "th";
}
