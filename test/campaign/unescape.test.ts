import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { unescapeStored } from "../../src/campaign/unescape.js";

describe("unescapeStored", () => {
  test.each([
    ["a quote", String.raw`Don\'t wait`, "Don't wait"],
    ["attributes", String.raw`<a href=\"x\">y</a>`, '<a href="x">y</a>'],
    ["line breaks", String.raw`one\r\ntwo`, "one\r\ntwo"],
    ["a backslash beside a quote", String.raw`It\'s in C:\\new`, String.raw`It's in C:\new`],
    ["a text escaped twice", String.raw`Don\\\'t`, "Don't"],
    ["a text escaped five times", `Don${"\\".repeat(31)}'t`, "Don't"],
    ["no clean text", String.raw`C:\new\readme costs $5 "today"`, String.raw`C:\new\readme costs $5 "today"`],
    ["no clean HTML", `<p class="a">it's</p>\r\n`, `<p class="a">it's</p>\r\n`],
  ])("undoes %s", (_, stored, expected) => {
    expect(unescapeStored(stored)).toBe(expected);
  });

  test("changes nothing the second time", () => {
    const text = fc.string({ unit: fc.constantFrom("\\", "\\", "'", '"', "r", "n", "a") });
    fc.assert(
      fc.property(text, (stored) => {
        expect(unescapeStored(unescapeStored(stored))).toBe(unescapeStored(stored));
      }),
    );
  });

  test("undoes what the form does to any text with a quote in it", () => {
    const asStored = (text: string) =>
      text
        .replace(/[\\'"]/g, "\\$&")
        .replaceAll("\r", "\\r")
        .replaceAll("\n", "\\n");
    const text = fc.string({ unit: fc.constantFrom("'", '"', "<", "p", ">", " ", "\r\n", "é") });
    fc.assert(
      fc.property(text, (t) => {
        expect(unescapeStored(asStored(asStored(`'${t}`)))).toBe(`'${t}`);
      }),
    );
  });
});
