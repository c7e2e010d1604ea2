import { headerValue } from "./merge.js";

/** RFC 5322 §2.1.1: lines of at most 78, here 76 to suit encoded words (RFC 2047 §2). */
const LINE = 76;
const ENCODED_WORD = 75;
/** No header value is longer: a line that servers refuse must not come from one broken cell. */
const MAX_VALUE = 900;

/** "Subject: …" as folded lines with a closing CRLF; whatever the text holds, it stays one header of ASCII. */
export function textHeader(name: string, value: string): string {
  const prefix = `${name}: `;
  const text = cap(headerValue(value));
  return `${prefix}${isFoldable(text) ? foldWords(text, prefix.length) : encodedWords(text, prefix.length)}\r\n`;
}

/** "From: Name <address>", the name quoted or encoded as it needs (RFC 5322 §3.4). */
export function mailboxHeader(header: string, name: string, address: string): string {
  const prefix = `${header}: `;
  const clean = cap(headerValue(name));
  const spec = safeAddress(address);
  if (clean === "") return `${prefix}${spec}\r\n`;
  const phrase = displayName(clean, prefix.length);
  const lastLine = phrase.length - (phrase.lastIndexOf("\n") + 1) + (phrase.includes("\n") ? 0 : prefix.length);
  return `${prefix}${phrase}${lastLine + spec.length + 3 > LINE ? "\r\n " : " "}<${spec}>\r\n`;
}

/** "To: address" */
export function addressHeader(header: string, address: string): string {
  return `${header}: ${safeAddress(address)}\r\n`;
}

/** RFC 5322 §3.3 in UTC: "Tue, 24 Nov 2026 10:00:00 +0000". */
export function dateHeader(epochMs: number): string {
  return `Date: ${new Date(epochMs).toUTCString().replace("GMT", "+0000")}\r\n`;
}

/** A header whose value we wrote ourselves except for an id: blanks and control characters cannot stand in it. */
export function tokenHeader(name: string, value: string): string {
  return `${name}: ${value.replace(/[\s\p{Cc}]+/gu, "")}\r\n`;
}

/** An address as it may stand in a header: what could end it, begin another one or another header is removed. */
export function safeAddress(address: string): string {
  return address.replace(/[\s\p{Cc}<>,;:()"\\[\]]+/gu, "");
}

/** Atoms stay, other ASCII is quoted, the rest is encoded. */
function displayName(name: string, column: number): string {
  if (!/^[ -~]*$/.test(name) || name.includes("=?") || name.length > LINE - column - 2)
    return encodedWords(name, column);
  return /^[A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]+$/.test(name) ? name : `"${name.replace(/["\\]/g, "\\$&")}"`;
}

/** Printable ASCII that nobody takes for an encoded word and whose words fit on lines; runs of blanks would fold into blank lines. */
function isFoldable(text: string): boolean {
  return /^[ -~]*$/.test(text) && !text.includes("=?") && !/[^ ]{61}/.test(text) && !text.includes("   ");
}

function foldWords(text: string, column: number): string {
  if (column + text.length <= LINE) return text;
  let folded = "";
  let width = column;
  for (const word of text.match(/ *[^ ]+/g) ?? []) {
    const fold = width + word.length > LINE && word.startsWith(" ");
    folded += fold ? `\r\n${word}` : word;
    width = fold ? word.length : width + word.length;
  }
  return folded;
}

/** RFC 2047 in base64: each word holds whole characters and at most 75 octets, words stand on lines of their own. */
function encodedWords(text: string, column: number): string {
  const words: string[] = [];
  let word = "";
  let octets = 0;
  let room = octetsThatFit(LINE - column);
  for (const char of text) {
    const size = Buffer.byteLength(char);
    if (octets + size > room && word !== "") {
      words.push(word);
      word = "";
      octets = 0;
      room = octetsThatFit(ENCODED_WORD);
    }
    word += char;
    octets += size;
  }
  return [...words, word].map((part) => `=?UTF-8?B?${Buffer.from(part, "utf8").toString("base64")}?=`).join("\r\n ");
}

function octetsThatFit(width: number): number {
  return Math.floor((Math.min(width, ENCODED_WORD) - "=?UTF-8?B??=".length) / 4) * 3;
}

function cap(text: string): string {
  if (text.length <= MAX_VALUE) return text;
  return text
    .slice(0, MAX_VALUE)
    .replace(/[\ud800-\udbff]$/, "")
    .trimEnd();
}
