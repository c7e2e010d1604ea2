/** Characters before the "=" of a soft break (RFC 2045 §6.7: 76 with it). */
const WIDTH = 75;
const SOFT = "=\r\n";

/** A quoted-printable text; `column` is where its last line ends, `starts` is true where it begins with a line break. */
export interface Encoded {
  readonly text: string;
  readonly column: number;
  readonly starts: boolean;
}

const NOTHING: Encoded = { text: "", column: 0, starts: false };

/** Appends encoded pieces to one another: a soft break goes between two that do not fit on one line, none inside either. */
export class QuotedPrintableText {
  text = "";
  private column = 0;

  /** Adds a piece that was encoded from column 0. */
  add(piece: Encoded): void {
    if (piece.text === "") return;
    const oneLine = piece.column === piece.text.length;
    if (this.column === 0 || piece.starts) this.text += piece.text;
    else if (oneLine && this.column + piece.column <= WIDTH) {
      this.text += piece.text;
      this.column += piece.column;
      return;
    } else this.text += SOFT + piece.text;
    this.column = piece.column;
  }
}

/** Encodes a text as UTF-8 from column 0 (RFC 2045 §6.7); every kind of line break becomes CRLF, lone surrogates U+FFFD. */
export function encodeQuotedPrintable(value: string): Encoded {
  if (value === "") return NOTHING;
  if (value.length <= WIDTH && isPlain(value)) return { text: value, column: value.length, starts: false };
  return encodeBytes(Buffer.from(value, "utf8"));
}

/** Printable ASCII without "=", and no blank at the end, where a relay may strip it. */
function isPlain(value: string): boolean {
  return /^[ -<>-~]*[!-<>-~]$/.test(value);
}

function encodeBytes(bytes: Buffer): Encoded {
  // Written into bytes and read back as one flat string: a string built of thousands of pieces would be flattened anew
  // for each mail that it is copied into. At worst every byte takes three, and every 25 a soft break.
  const out = Buffer.allocUnsafe(bytes.length * 4 + 8);
  let length = 0;
  let column = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === CR || byte === LF) {
      if (byte === CR && bytes[i + 1] === LF) i++;
      length += out.write("\r\n", length, "latin1");
      column = 0;
      continue;
    }
    const token = isLastBlank(bytes, i) ? hex(byte) : (TOKENS[byte] ?? "");
    if (column + token.length > WIDTH) {
      length += out.write(SOFT, length, "latin1");
      column = 0;
    }
    if (token.length === 1) out[length++] = byte;
    else length += out.write(token, length, "latin1");
    column += token.length;
  }
  const starts = bytes[0] === CR || bytes[0] === LF;
  return { text: out.toString("latin1", 0, length), column, starts };
}

/** A blank before a line break or the end: a relay may strip it, so it has to be encoded (RFC 2045 §6.7 rule 3). */
function isLastBlank(bytes: Buffer, i: number): boolean {
  if (bytes[i] !== SPACE && bytes[i] !== TAB) return false;
  const next = bytes[i + 1];
  return next === undefined || next === CR || next === LF;
}

const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;

const hex = (byte: number) => `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;

const TOKENS: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  (byte >= SPACE && byte < 127 && byte !== 61) || byte === TAB ? String.fromCharCode(byte) : hex(byte),
);
