import { CampaigndError, isKind } from "../errors.js";

/** What may be bound to a statement: scalars, or a list of scalars for `IN (?)` and `VALUES ?`. */
export type Scalar = string | number | null;
export type Value = Scalar | readonly Scalar[] | readonly (readonly Scalar[])[];

/** A name and a text; the name rides as a leading comment, so that it shows in the process list and the slow log. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  /** Constant texts whose values are scalars only may be prepared once a connection. */
  readonly prepared: boolean;
}

export type Row = Readonly<Record<string, Scalar>>;

/** One statement and the values bound to it. */
export type Part = readonly [Statement, readonly Value[]];

export function statement(name: string, text: string, prepared = false): Statement {
  return { name, text: `/* ${name} */ ${text.replace(/\s+/g, " ").trim()}`, prepared };
}

/** Refuses anything but scalars and lists of them: the driver would expand an object or a nested list into SQL. */
export function checkValues(part: Part): void {
  for (const value of part[1]) {
    for (const scalar of [value].flat(2)) {
      const ok =
        scalar === null || typeof scalar === "string" || (typeof scalar === "number" && Number.isFinite(scalar));
      if (!ok) throw new CampaigndError("bug", `${part[0].name}: a ${typeof scalar} cannot be bound`);
    }
  }
}

/**
 * Asks about a list of texts; when one of them does not even compare with the column (error 1267, a character that its set
 * lacks), halves the list until that one is alone: it is in no row. `ask` throws CampaigndError.
 */
export async function askEach<T>(
  texts: readonly string[],
  ask: (some: readonly string[]) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  if (texts.length === 0) return [];
  try {
    return await ask(texts);
  } catch (error) {
    if (!isKind(error, "row")) throw error;
    if (texts.length === 1) return [];
    const half = Math.ceil(texts.length / 2);
    return [...(await askEach(texts.slice(0, half), ask)), ...(await askEach(texts.slice(half), ask))];
  }
}

/** Cuts a list into pieces of at most `size`. */
export function slices<T>(list: readonly T[], size: number): T[][] {
  const pieces: T[][] = [];
  for (let from = 0; from < list.length; from += size) pieces.push(list.slice(from, from + size));
  return pieces;
}

export function text(row: Row, column: string): string {
  const value = row[column];
  return value === null || value === undefined ? "" : String(value);
}

export function number(row: Row, column: string): number {
  const value = row[column];
  return value === null || value === undefined ? 0 : Number(value);
}

/** NULL, 0 and '' all mean "none" for the ids of the web application. */
export function idOrNone(row: Row, column: string): number | undefined {
  return number(row, column) || undefined;
}
