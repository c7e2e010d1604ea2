/**
 * Where in a mail a placeholder stands, which decides how its value is written: plain text, HTML text or a quoted
 * attribute, an attribute without quotes, the start of a quoted link.
 */
export type Context = "text" | "html" | "attribute" | "link";

/** One `[[Field]]` of a template; `at` is its offset in the source, `end` the offset behind it. */
export interface Place {
  readonly field: string;
  readonly at: number;
  readonly end: number;
}

/** A text split once: constants[0] places[0] constants[1] … places[n-1] constants[n]. */
export interface Template {
  readonly constants: readonly string[];
  readonly places: readonly Place[];
}

/**
 * Splits a text at its placeholders: two brackets, any run of characters other than "]", two brackets (contract §6).
 * One scan in linear time, however many brackets stay open.
 */
export function parseTemplate(source: string): Template {
  const constants: string[] = [];
  const places: Place[] = [];
  let from = 0;
  for (const place of findPlaces(source)) {
    constants.push(source.slice(from, place.at));
    places.push(place);
    from = place.end;
  }
  constants.push(source.slice(from));
  return { constants, places };
}

/** The fields that a template asks for, in order of first use, without regard to case. */
export function fieldsOf(template: Template): string[] {
  const seen = new Map<string, string>();
  for (const { field } of template.places) if (!seen.has(field.toLowerCase())) seen.set(field.toLowerCase(), field);
  return [...seen.values()];
}

/** Fills every place in one pass; what a value brings along ("[[x]]", "$&") stays as it is. */
export function fillTemplate(template: Template, answer: (field: string) => string): string {
  let text = template.constants[0] ?? "";
  for (let i = 0; i < template.places.length; i++) {
    const place = template.places[i];
    if (place) text += answer(place.field) + (template.constants[i + 1] ?? "");
  }
  return text;
}

/** A value as its context may hold it: never markup, never a link that runs code, never a control character. */
export function valueFor(context: Context, value: string): string {
  const plain = plainValue(value);
  switch (context) {
    case "text":
      return plain;
    case "html":
      return escapeHtml(plain);
    case "attribute":
      return escapeUnquoted(harmlessLink(plain));
    case "link":
      return escapeHtml(harmlessLink(plain));
    default:
      return context satisfies never;
  }
}

/** Escapes a value for HTML text and quoted attributes; both kinds of quotes too. */
export function escapeHtml(value: string): string {
  return /[&<>"']/.test(value) ? value.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char) : value;
}

/** A value without control characters; tabs and line breaks stay, for an address of several lines reads as such. */
export function plainValue(value: string): string {
  return CONTROL.test(value) ? value.replace(CONTROLS, "") : value;
}

/** A value for a header: each run of line breaks and tabs is one blank, other control characters are removed. */
export function headerValue(value: string): string {
  return plainValue(value)
    .replace(/[\t\r\n]+/g, " ")
    .trim();
}

function* findPlaces(source: string): Generator<Place> {
  let at = source.indexOf("[[");
  while (at >= 0) {
    const close = source.indexOf("]", at + 2);
    if (close < 0) return;
    const found = source[close + 1] === "]";
    if (found) yield { field: source.slice(at + 2, close), at, end: close + 2 };
    at = source.indexOf("[[", close + (found ? 2 : 1));
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Outside quotes a blank would end the attribute, and what follows it would begin another one. */
function escapeUnquoted(value: string): string {
  return escapeHtml(value).replace(/[\s=`/]/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** A value at the start of a link decides its scheme; one that would run code or carry a document is dropped. */
function harmlessLink(value: string): string {
  return /^(?:javascript|vbscript|data):/i.test(value.replace(/\s+/g, "")) ? "" : value;
}

const CONTROL = /[^\P{Cc}\t\n\r]/u;
const CONTROLS = /[^\P{Cc}\t\n\r]/gu;
