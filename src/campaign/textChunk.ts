import { lookup, type RecipientFields } from "./fields.js";
import { startTags } from "./htmlTags.js";
import { type Context, type Place, parseTemplate, valueFor } from "./merge.js";
import { type Encoded, encodeQuotedPrintable, QuotedPrintableText } from "./quotedPrintable.js";

/** A text part split at its places: constants[0] places[0] … constants[n], the constants encoded. */
export interface TextChunk {
  readonly constants: readonly Encoded[];
  readonly places: readonly { readonly field: string; readonly context: Context }[];
}

/** A plain text, ready to be filled. */
export function plainChunk(source: string): TextChunk {
  return textChunk(source, () => "text");
}

/** An HTML text, ready to be filled: each place knows where in the markup it stands. */
export function htmlChunk(source: string): TextChunk {
  return textChunk(source, contextsOf(source));
}

/** One recipient's text in quoted-printable: only the values are encoded, the rest was at compile. */
export function renderText(chunk: TextChunk, fields: RecipientFields): string {
  const text = new QuotedPrintableText();
  for (let i = 0; i < chunk.constants.length; i++) {
    const constant = chunk.constants[i];
    const place = chunk.places[i];
    if (constant) text.add(constant);
    if (place) text.add(encodeQuotedPrintable(valueFor(place.context, lookup(fields, place.field))));
  }
  return text.text;
}

/** Tells a text with places from what is constant in a mail. */
export function isText(chunk: string | Buffer | TextChunk): chunk is TextChunk {
  return typeof chunk !== "string" && !Buffer.isBuffer(chunk);
}

function textChunk(source: string, contextOf: (place: Place) => Context): TextChunk {
  const { constants, places } = parseTemplate(source);
  return {
    constants: constants.map(encodeQuotedPrintable),
    places: places.map((place) => ({ field: place.field.toLowerCase(), context: contextOf(place) })),
  };
}

/** Tells where in the markup a place stands: in an attribute, unquoted values and the start of links need more care. */
function contextsOf(html: string): (place: Place) => Context {
  const tags = [...startTags(html)];
  let next = 0;
  return ({ at }) => {
    while ((tags[next]?.end ?? Number.POSITIVE_INFINITY) <= at) next += 1;
    const tag = tags[next];
    if (!tag || at < tag.at) return "html";
    const inside = tag.attributes.find((attribute) => attribute.at <= at && at < attribute.end);
    if (!inside?.quoted) return "attribute";
    return LINKS.has(inside.name) && html.slice(inside.at, at).trim() === "" ? "link" : "html";
  };
}

const LINKS: ReadonlySet<string> = new Set(["href", "src", "action", "formaction", "background", "xlink:href"]);
