/** One attribute of a start tag; `at` and `end` bound its raw value in the source, without quotes. */
export interface Attribute {
  readonly name: string;
  readonly value: string;
  readonly at: number;
  readonly end: number;
  readonly quoted: boolean;
}

/** One start tag with where it stands in the source; names are lower-case, values have their entities decoded. */
export interface Tag {
  readonly name: string;
  readonly at: number;
  readonly end: number;
  readonly attributes: readonly Attribute[];
}

/**
 * The start tags of an HTML text in order, by position, so that one attribute can be replaced and every other byte stays.
 * Comments are passed over, except conditional ones: Outlook reads the images in them. One scan, linear time.
 */
export function* startTags(html: string): Generator<Tag> {
  let at = html.indexOf("<");
  while (at >= 0) {
    const end = endOfComment(html, at);
    if (end !== undefined) {
      at = html.indexOf("<", end);
      continue;
    }
    const tag = tagAt(html, at);
    if (tag) yield tag;
    at = html.indexOf("<", tag ? behind(html, tag) : at + 1);
  }
}

/** Where a plain comment ends, or undefined where none begins; an open one swallows the rest, as browsers do it. */
function endOfComment(html: string, at: number): number | undefined {
  if (!html.startsWith("<!--", at) || html.startsWith("<!--[if", at)) return undefined;
  const close = html.indexOf("-->", at + 4);
  return close < 0 ? html.length : close + 3;
}

/** Where the text behind a tag goes on; what stands in script and style is no markup. */
function behind(html: string, tag: Tag): number {
  if (tag.name !== "script" && tag.name !== "style") return tag.end;
  const closing = tag.name === "script" ? /<\/script/gi : /<\/style/gi;
  closing.lastIndex = tag.end;
  return closing.exec(html)?.index ?? html.length;
}

const NAME = /<([a-z][^\s/>]*)/iy;
const ATTRIBUTE = /[\s/]*([^\s/>=][^\s/>=]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"'][^\s>]*)))?/dy;

function tagAt(html: string, at: number): Tag | undefined {
  NAME.lastIndex = at;
  const name = NAME.exec(html)?.[1]?.toLowerCase();
  if (name === undefined) return undefined;
  const attributes: Attribute[] = [];
  let end = NAME.lastIndex;
  for (;;) {
    ATTRIBUTE.lastIndex = end;
    const match = ATTRIBUTE.exec(html);
    if (!match) break;
    end = ATTRIBUTE.lastIndex;
    const attribute = attributeOf(match);
    if (attribute) attributes.push(attribute);
  }
  const close = html.indexOf(">", end);
  return close < 0 ? undefined : { name, at, end: close + 1, attributes };
}

function attributeOf(match: RegExpExecArray): Attribute | undefined {
  const name = match[1]?.toLowerCase();
  const group = [2, 3, 4].find((n) => match[n] !== undefined);
  const span = group === undefined ? undefined : match.indices?.[group];
  if (name === undefined || group === undefined || !span) return undefined;
  return { name, value: decodeEntities(match[group] ?? ""), at: span[0], end: span[1], quoted: group < 4 };
}

const NAMED: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** The entities that an address in an attribute needs; a name that is not known stays as it is. */
function decodeEntities(raw: string): string {
  if (!raw.includes("&")) return raw;
  return raw.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]+));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return NAMED[String(name).toLowerCase()] ?? whole;
    const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
