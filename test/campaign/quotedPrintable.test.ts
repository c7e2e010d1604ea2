import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeQuotedPrintable, QuotedPrintableText } from "../../src/campaign/quotedPrintable.js";

/** RFC 2045 §6.7 read literally: trailing blanks are lost, soft breaks join, the rest are octets. */
function decode(text: string): string {
  const octets = text
    .replace(/[ \t]+(?=\r\n|$)/g, "")
    .replace(/=\r\n/g, "")
    .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(octets, "latin1").toString("utf8");
}

const asSent = (text: string) => Buffer.from(text.replace(/\r\n|\r|\n/g, "\r\n"), "utf8").toString("utf8");

/** Pieces as campaigns have them: short and long, with blanks and breaks at their edges. */
const pieces = fc.array(
  fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom(" ", "\t", "\n", "\r\n", "=", "a", "é", "😀", "."), maxLength: 200 }),
    fc.constantFrom("", " ", "\n", "x".repeat(75), "x".repeat(76), "x".repeat(300)),
  ),
);

describe("quoted-printable", () => {
  test("joins pieces encoded alone to the same text, in lines of at most 76 printable characters", () => {
    fc.assert(
      fc.property(pieces, (texts) => {
        const joined = new QuotedPrintableText();
        for (const text of texts) joined.add(encodeQuotedPrintable(text));
        expect(decode(joined.text)).toBe(texts.map(asSent).join(""));
        for (const line of joined.text.split("\r\n")) expect(line).toMatch(/^[\t -~]{0,76}$/);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each([
    ["a = b", "a =3D b"],
    ["é", "=C3=A9"],
    ["blank ", "blank=20"],
    ["a \nb", "a=20\r\nb"],
    ["a\rb\nc\r\nd", "a\r\nb\r\nc\r\nd"],
    ["\ud800", "=EF=BF=BD"],
    ["x".repeat(76), `${"x".repeat(75)}=\r\nx`],
  ])("writes %j as %j", (text, encoded) => {
    expect(encodeQuotedPrintable(text).text).toBe(encoded);
  });

  test("breaks no line that need not be broken", () => {
    const joined = new QuotedPrintableText();
    for (const text of ["Dear ", "Bob"]) joined.add(encodeQuotedPrintable(text));
    expect(joined.text).toBe("Dear=20Bob");
  });
});
