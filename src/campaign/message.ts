import { domainToASCII } from "node:url";
import { lookup, type RecipientFields } from "./fields.js";
import { addressHeader, dateHeader, mailboxHeader, safeAddress, textHeader, tokenHeader } from "./headers.js";
import { dataImages, embedImages, type InlineImage } from "./images.js";
import { fillTemplate, headerValue, parseTemplate, type Template } from "./merge.js";
import { type Attachment, mimeTree, writeMime } from "./mime.js";
import { readableText } from "./text.js";
import { htmlChunk, isText, plainChunk, renderText, type TextChunk } from "./textChunk.js";
import { type Unsubscribe, unsubscribeHeaders } from "./unsubscribe.js";

/** All that the mails of a campaign have in common, files already read; texts with their `[[Field]]` places. */
export interface MessageSource {
  readonly subject: string;
  /** The HTML body, or null for a plain campaign. */
  readonly html: string | null;
  /** The plain body; with HTML beside it, null means: made from the HTML. */
  readonly text: string | null;
  readonly images: readonly InlineImage[];
  readonly attachments: readonly Attachment[];
  readonly listUnsubscribe?: Unsubscribe | undefined;
}

/** All that differs from mail to mail. */
export interface Mail {
  readonly to: string;
  readonly fields: RecipientFields;
  readonly from: { readonly name: string; readonly address: string };
  readonly replyTo?: string | undefined;
  /** As messageId() makes it, with angle brackets. */
  readonly messageId: string;
  /** Milliseconds since 1970 UTC. */
  readonly date: number;
}

/** A campaign's mail with everything constant already encoded: only places and envelope headers are left to write. */
export interface CompiledMessage {
  readonly subject: Template;
  /** The whole header line where the subject has no place, else null. */
  readonly subjectLine: string | null;
  readonly unsubscribe: Unsubscribe | undefined;
  readonly chunks: readonly (string | Buffer | TextChunk)[];
}

/** Encodes what all mails of a campaign share (contract §6); pure, and slow enough to be called once a campaign. */
export function compile(source: MessageSource): CompiledMessage {
  const subject = parseTemplate(source.subject);
  const images = source.html === null ? [] : [...source.images, ...dataImages(source.html)];
  const html = source.html === null ? null : embedImages(source.html, images);
  const plain = source.text ?? (source.html === null ? "" : readableText(source.html));
  const texts = {
    plain: plain === "" && html !== null ? null : plainChunk(plain),
    html: html === null ? null : htmlChunk(html),
  };
  const written = writeMime(
    mimeTree(texts, usedImages(html, images), source.attachments),
    `${source.subject}${plain}${html}`,
  );
  return {
    subject,
    subjectLine: subject.places.length === 0 ? textHeader("Subject", source.subject) : null,
    unsubscribe: source.listUnsubscribe,
    chunks: joinConstants(written),
  };
}

/**
 * One mail as the bytes that follow DATA, not dot-stuffed, ending in CRLF. No value can add a header, a part or markup;
 * never throws on any content of the fields.
 */
export function render(compiled: CompiledMessage, mail: Mail): Buffer {
  const done: Buffer[] = [];
  let text = headersOf(compiled, mail);
  for (const chunk of compiled.chunks) {
    if (typeof chunk === "string") text += chunk;
    else if (Buffer.isBuffer(chunk)) {
      done.push(Buffer.from(text, "utf8"), chunk);
      text = "";
    } else text += renderText(chunk, mail.fields);
  }
  if (text !== "") done.push(Buffer.from(text, "utf8"));
  return done.length === 1 && done[0] ? done[0] : Buffer.concat(done);
}

/** Whether any mail of the campaign depends on its recipient's row: without a place, no row has to be read. */
export function needsRecipient(compiled: CompiledMessage): boolean {
  return (
    compiled.subject.places.length > 0 || compiled.chunks.some((chunk) => isText(chunk) && chunk.places.length > 0)
  );
}

/** Why a body cannot be sent, in words for the hold's reason, or null: shorter than ten characters, or an error text. */
export function bodyProblem(source: Pick<MessageSource, "html" | "text">): string | null {
  const body = (source.html ?? source.text ?? "").trim();
  if (body === "") return "the mail has no body";
  if (body.length < 10) return `the body is only ${body.length} characters long ("${body}")`;
  if (/^(?:\[\[|\{\{)ERROR/.test(body)) return `the body is an error text (${body.slice(0, 60)})`;
  return null;
}

/** `<c{campaign}.m{row}@{domain}>` with the domain of the sending account: the left part is the same on every attempt (contract §6). */
export function messageId(campaignId: number | string, mailId: number | string, accountEmail: string): string {
  const domain = domainToASCII(safeAddress(accountEmail.slice(accountEmail.lastIndexOf("@") + 1)));
  return `<c${campaignId}.m${mailId}@${domain || "localhost"}>`;
}

function headersOf(compiled: CompiledMessage, mail: Mail): string {
  return (
    mailboxHeader("From", mail.from.name, mail.from.address) +
    addressHeader("To", mail.to) +
    (mail.replyTo ? addressHeader("Reply-To", mail.replyTo) : "") +
    (compiled.subjectLine ?? textHeader("Subject", subjectOf(compiled.subject, mail.fields))) +
    tokenHeader("Message-ID", mail.messageId) +
    dateHeader(mail.date) +
    (compiled.unsubscribe ? unsubscribeHeaders(compiled.unsubscribe, mail.to, mail.messageId) : "") +
    "MIME-Version: 1.0\r\n"
  );
}

function subjectOf(subject: Template, fields: RecipientFields): string {
  return fillTemplate(subject, (field) => headerValue(lookup(fields, field)));
}

/** An image that the HTML does not show would stand as a stray file in the reader's list. */
function usedImages(html: string | null, images: readonly InlineImage[]): InlineImage[] {
  const used = images.filter(({ cid }) => html?.includes(`cid:${cid}`));
  return [...new Map(used.map((image) => [image.cid, image])).values()];
}

/** Neighbouring constants become one; only large binaries stay bytes, since they would be copied twice as text. */
function joinConstants(written: readonly (string | Buffer | TextChunk)[]): (string | Buffer | TextChunk)[] {
  const chunks: (string | Buffer | TextChunk)[] = [];
  for (const piece of written.map(constantOf)) {
    const last = chunks.at(-1);
    if (typeof piece === "string" && typeof last === "string") chunks[chunks.length - 1] = last + piece;
    else if (Buffer.isBuffer(piece) && Buffer.isBuffer(last)) chunks[chunks.length - 1] = Buffer.concat([last, piece]);
    else chunks.push(piece);
  }
  const constant = chunks.filter((chunk): chunk is string | Buffer => !isText(chunk));
  return constant.length === chunks.length ? [Buffer.concat(constant.map(bytesOf))] : chunks;
}

function constantOf(piece: string | Buffer | TextChunk): string | Buffer | TextChunk {
  return isText(piece) && piece.places.length === 0 ? (piece.constants[0]?.text ?? "") : piece;
}

function bytesOf(constant: string | Buffer): Buffer {
  return typeof constant === "string" ? Buffer.from(constant, "utf8") : constant;
}
