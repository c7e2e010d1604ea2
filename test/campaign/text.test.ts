import { describe, expect, test } from "vitest";
import { looksLikeHtml, readableText } from "../../src/campaign/text.js";

describe("readableText", () => {
  test.each([
    ["paragraphs", "<p>One</p><p>Two<br>Three</p>", "One\n\nTwo\nThree"],
    ["entities", "<p>A &amp; B &lt;c&gt; &eacute;&#8364;</p>", "A & B <c> é€"],
    ["headings as written", "<h1>Big News</h1><p>x</p>", "Big News\n\nx"],
    ["lists", "<ul><li>One</li><li>Two</li></ul><ol><li>a</li><li>b</li></ol>", "- One\n- Two\n\n 1. a\n 2. b"],
    ["links", '<a href="https://x.example/?a=1&amp;b=2">our shop</a>', "our shop (https://x.example/?a=1&b=2)"],
    ["a link that names itself", '<a href="https://x.example">https://x.example</a>', "https://x.example"],
    ["a mail link", '<a href="mailto:a@b.c">write</a>', "write (a@b.c)"],
    ["tables", "<table><tr><td>Item</td><td>Price</td></tr><tr><td>A</td><td>5</td></tr></table>", "Item Price\nA 5"],
    ["pictures by their text", '<p>x<img src="a.png" alt="Logo"><img src="b.png"></p>', "xLogo"],
    [
      "no style, script or title",
      "<head><title>t</title><style>p{}</style></head><body><script>x</script>y</body>",
      "y",
    ],
    ["nothing hidden", '<div style="display:none">secret</div>shown', "shown"],
    ["places", "<h2>Dear [[Name]]</h2><b>[[Group  Name]]</b>", "Dear [[Name]]\n\n[[Group  Name]]"],
    ["a place in a link", '<a href="[[Link]]">here</a>', "here ([[Link]])"],
    ["a place in a table", "<table><tr><td>[[A]]</td><td>[[B]]</td></tr></table>", "[[A]] [[B]]"],
  ])("reads %s", (_, html, text) => {
    expect(readableText(html)).toBe(text);
  });

  test("does not fall over markup of any depth", () => {
    expect(readableText(`${"<div>".repeat(100)}kept`)).toBe("kept");
    expect(() => readableText(`${"<div>".repeat(20_000)}lost`)).not.toThrow();
  });
});

test.each([
  ["<p>x</p>", true],
  ["line<br/>line", true],
  ['<img src="x">', true],
  ["<!DOCTYPE html>", true],
  ["a < b and c > d", false],
  ["write to <bob@x.example>", false],
  ["Hello [[Name]]", false],
])("looksLikeHtml(%j) is %s", (body, expected) => {
  expect(looksLikeHtml(body)).toBe(expected);
});
