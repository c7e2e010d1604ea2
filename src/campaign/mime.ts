import { createHash } from "node:crypto";
import { buildHeaderValue, detectMimeType, foldLines } from "nodemailer/lib/mime-funcs";
import type { InlineImage } from "./images.js";

/** A file that travels with every mail of a campaign. */
export interface Attachment {
  readonly name: string;
  readonly contentType: string;
  readonly content: Buffer;
}

/** The leaves and branches of a mail; a text's content is written later, piece by piece. */
export type Part<Text> =
  | { readonly kind: "text"; readonly type: "text/plain" | "text/html"; readonly content: Text }
  | { readonly kind: "image"; readonly image: InlineImage }
  | { readonly kind: "attachment"; readonly attachment: Attachment }
  | { readonly kind: "multipart"; readonly type: string; readonly parts: readonly Part<Text>[] };

/**
 * The tree of a mail (RFC 2046 §5.1): mixed for attachments, alternative for text and HTML, related for the images of
 * the HTML; what would hold one part alone is that part.
 */
export function mimeTree<Text>(
  texts: { readonly plain: Text | null; readonly html: Text | null },
  images: readonly InlineImage[],
  attachments: readonly Attachment[],
): Part<Text> {
  const bodies: Part<Text>[] = [];
  if (texts.plain !== null) bodies.push({ kind: "text", type: "text/plain", content: texts.plain });
  if (texts.html !== null) {
    const html: Part<Text> = { kind: "text", type: "text/html", content: texts.html };
    bodies.push(
      group('multipart/related; type="text/html"', [
        html,
        ...images.map((image) => ({ kind: "image", image }) as const),
      ]),
    );
  }
  const body = group("multipart/alternative", bodies);
  return group("multipart/mixed", [
    body,
    ...attachments.map((attachment) => ({ kind: "attachment", attachment }) as const),
  ]);
}

/**
 * Writes a tree as headers and bodies, a blank line between them, each line ended by CRLF. No boundary can occur in a
 * body: "=_" is neither quoted-printable nor base64 (RFC 2045 §6.7, §6.8). The same content gets the same boundaries.
 */
export function writeMime<Text>(root: Part<Text>, seed: string): (string | Buffer | Text)[] {
  const hash = createHash("sha256").update(seed).digest("hex").slice(0, 24);
  let branches = 0;
  const write = (part: Part<Text>): (string | Buffer | Text)[] => {
    switch (part.kind) {
      case "text":
        return [
          `${header("Content-Type", part.type, { charset: "utf-8" })}${QUOTED_PRINTABLE}\r\n`,
          part.content,
          "\r\n",
        ];
      case "image":
        return writeBinary(part.image, "inline", `Content-ID: <${part.image.cid}>\r\n`);
      case "attachment":
        return writeBinary(part.attachment, "attachment", "");
      case "multipart": {
        branches += 1;
        const boundary = `=_${branches}_${hash}`;
        const parts = part.parts.flatMap((inner) => [`--${boundary}\r\n`, ...write(inner)]);
        return [`Content-Type: ${part.type};\r\n boundary="${boundary}"\r\n\r\n`, ...parts, `--${boundary}--\r\n`];
      }
      default:
        return part satisfies never;
    }
  };
  return write(root);
}

/** The media type that a file's name promises, application/octet-stream where it promises none. */
export function contentTypeOf(name: string): string {
  return detectMimeType(name.includes(".") ? name.slice(name.lastIndexOf(".") + 1).toLowerCase() : "");
}

const QUOTED_PRINTABLE = "Content-Transfer-Encoding: quoted-printable\r\n";

function group<Text>(type: string, parts: readonly Part<Text>[]): Part<Text> {
  const only = parts.length === 1 ? parts[0] : undefined;
  return only ?? { kind: "multipart", type, parts };
}

function writeBinary(file: Attachment, disposition: string, contentId: string): (string | Buffer)[] {
  const head =
    header("Content-Type", mediaType(file.contentType), { name: file.name }) +
    "Content-Transfer-Encoding: base64\r\n" +
    contentId +
    header("Content-Disposition", disposition, { filename: file.name });
  return [`${head}\r\n`, base64Lines(file.content)];
}

/** Names of any script by RFC 2231; no control character comes through. */
function header(name: string, value: string, params: Record<string, string>): string {
  const clean = Object.fromEntries(Object.entries(params).map(([key, text]) => [key, text.replace(/\p{Cc}+/gu, " ")]));
  return `${foldLines(`${name}: ${buildHeaderValue({ value, params: clean })}`, 76)}\r\n`;
}

/** Composite types may not be base64 (RFC 2046 §5.2.1), and a type that is none would break the header. */
function mediaType(type: string): string {
  const token = /^[a-z0-9][a-z0-9!#$&^_.+-]*\/[a-z0-9][a-z0-9!#$&^_.+-]*$/i;
  return token.test(type) && !/^(?:message|multipart)\//i.test(type) ? type : "application/octet-stream";
}

/** Base64 in lines of 76, encoded once a campaign. */
function base64Lines(content: Buffer): Buffer {
  const BYTES_A_LINE = 57;
  const lines: string[] = [];
  for (let at = 0; at < content.length; at += BYTES_A_LINE)
    lines.push(content.toString("base64", at, at + BYTES_A_LINE));
  return Buffer.from(lines.length === 0 ? "" : `${lines.join("\r\n")}\r\n`, "latin1");
}
