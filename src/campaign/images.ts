import { createHash } from "node:crypto";
import { startTags } from "./htmlTags.js";

/** A picture that travels inside the mail; `src` is the attribute value that it answers for, entities decoded. */
export interface InlineImage {
  readonly src: string;
  readonly cid: string;
  readonly name: string;
  readonly contentType: string;
  readonly content: Buffer;
}

/**
 * The distinct `<img src>` values that mean a local file (contract §6), in order: paths, and those URLs that start with
 * a stored prefix (files.prefixes). Other URLs stay remote; a value with a placeholder in it names no one file.
 */
export function imageSources(html: string, prefixes: Readonly<Record<string, string>> = {}): string[] {
  const known = Object.keys(prefixes);
  const isLocal = (src: string) =>
    src.trim() !== "" &&
    !src.includes("[[") &&
    (known.some((prefix) => prefix !== "" && src.startsWith(prefix)) ||
      !/^\s*(?:[a-z][a-z0-9+.-]*:|\/\/|#)/i.test(src));
  return [...new Set(sourcesOf(html).filter(isLocal))];
}

/**
 * The pictures that an HTML text carries as data: URIs, decoded: mail clients show an inline part where they drop a
 * data: URI. What does not decode stays as it is.
 */
export function dataImages(html: string): InlineImage[] {
  const sources = new Set(sourcesOf(html).filter((src) => src.startsWith("data:")));
  return [...sources].flatMap((src) => decodeDataImage(src) ?? []);
}

/** The same HTML with each `<img src>` that equals an image's source pointing to that image's part; no other byte changes. */
export function embedImages(html: string, images: readonly InlineImage[]): string {
  const cids = new Map(images.map(({ src, cid }) => [src, cid]));
  let result = "";
  let from = 0;
  for (const src of imageAttributes(html)) {
    const cid = cids.get(src.value);
    if (cid === undefined) continue;
    result += `${html.slice(from, src.at)}cid:${cid}`;
    from = src.end;
  }
  return result + html.slice(from);
}

function sourcesOf(html: string): string[] {
  return [...imageAttributes(html)].map(({ value }) => value);
}

function* imageAttributes(html: string) {
  for (const tag of startTags(html)) {
    const src = tag.name === "img" ? tag.attributes.find(({ name }) => name === "src") : undefined;
    if (src) yield src;
  }
}

function decodeDataImage(src: string): InlineImage | undefined {
  const [, type, data] = /^data:image\/(gif|jpe?g|png|webp)(?:;[^,;]*)*;base64,([a-z0-9+/=\s%]*)$/i.exec(src) ?? [];
  if (type === undefined || !data) return undefined;
  const content = Buffer.from(data.replaceAll("%2B", "+").replaceAll("%2F", "/").replaceAll("%3D", "="), "base64");
  if (content.length === 0) return undefined;
  const extension = type.toLowerCase() === "jpeg" ? "jpg" : type.toLowerCase();
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 20);
  const contentType = `image/${extension === "jpg" ? "jpeg" : extension}`;
  return { src, cid: `${hash}@inline`, name: `${hash}.${extension}`, contentType, content };
}
