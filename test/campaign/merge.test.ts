import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { escapeHtml, fieldsOf, fillTemplate, headerValue, parseTemplate, valueFor } from "../../src/campaign/merge.js";

describe("parseTemplate", () => {
  test.each([
    ["Hello [[Name]]!", ["Name"]],
    ["[[Name]]", ["Name"]],
    ["[[Group Name]] [[ Name ]]", ["Group Name", " Name "]],
    ["[[a]][[b]]", ["a", "b"]],
    ["no places", []],
    ["[Name] [[Name] [[Name", []],
    ["[[Name] and [[Phone]]", ["Phone"]],
    ["[[[x]]]", ["[x"]],
    ["[[two\nlines]]", ["two\nlines"]],
    ["[[]]", [""]],
    ["{{Name}}", []],
  ])("finds the places of %j", (source, fields) => {
    expect(parseTemplate(source).places.map(({ field }) => field)).toEqual(fields);
  });

  test("finds what the pattern of the web application finds, and loses no character", () => {
    const brackets = fc.string({ unit: fc.constantFrom("[", "[", "]", "]", "a", " ", "\n") });
    fc.assert(
      fc.property(brackets, (source) => {
        const { constants, places } = parseTemplate(source);
        expect(places.map(({ field }) => field)).toEqual([...source.matchAll(/\[\[([^\]]*)\]\]/g)].map((m) => m[1]));
        expect(constants.map((c, i) => c + source.slice(places[i]?.at, places[i]?.end ?? 0)).join("")).toBe(source);
      }),
    );
  });

  test("names each field once, whatever its case", () => {
    expect(fieldsOf(parseTemplate("[[Name]] [[NAME]] [[Phone]]"))).toEqual(["Name", "Phone"]);
  });
});

describe("fillTemplate", () => {
  test.each(["[[Name]]", "$&", "$1", "__proto__", "\\1", "<b>", "]]", "[["])(
    "leaves the value %j as it is",
    (value) => {
      expect(fillTemplate(parseTemplate("a [[Name]] b"), () => value)).toBe(`a ${value} b`);
    },
  );
});

describe("a value in its context", () => {
  test.each([
    ["text", "A & <B>", "A & <B>"],
    ["text", "line 1\r\nline 2\u0000\u0007\u009f", "line 1\r\nline 2"],
    ["html", `<b a="x" b='y'>&`, "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;"],
    ["html", "&amp;", "&amp;amp;"],
    ["attribute", "x onclick=alert`1`", "x&#32;onclick&#61;alert&#96;1&#96;"],
    ["link", "https://x.example/?a=1&b=2", "https://x.example/?a=1&amp;b=2"],
    ["link", "javascript:alert(1)", ""],
    ["link", " JaVa\tScript\u0000:alert(1)", ""],
    ["link", "data:text/html,x", ""],
    ["link", "database.example", "database.example"],
  ] as const)("%s: %j becomes %j", (context, value, expected) => {
    expect(valueFor(context, value)).toBe(expected);
  });

  test("never holds markup, quotes or, unquoted, a blank", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (value) => {
        expect(valueFor("html", value)).not.toMatch(/[<>"']/);
        expect(valueFor("attribute", value)).not.toMatch(/[<>"'\s=`]/);
        expect(valueFor("link", value)).not.toMatch(/[<>"']/);
      }),
    );
  });

  test("reads back as it was", () => {
    const decode = (html: string) =>
      html.replace(
        /&(amp|lt|gt|quot|#39);/g,
        (_, name: string) => ({ amp: "&", lt: "<", gt: ">", quot: '"' })[name] ?? "'",
      );
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (value) => {
        expect(decode(escapeHtml(value))).toBe(value);
      }),
    );
  });

  test("keeps a header on one line", () => {
    expect(headerValue(" a\r\nBcc: x\u0000\t b ")).toBe("a Bcc: x  b");
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (v) => {
        expect(headerValue(v)).not.toMatch(/\p{Cc}/u);
      }),
    );
  });
});
