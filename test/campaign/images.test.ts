import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { startTags } from "../../src/campaign/htmlTags.js";
import { dataImages, embedImages, type InlineImage, imageSources } from "../../src/campaign/images.js";

const image = (src: string, cid: string): InlineImage => ({
  src,
  cid,
  name: "x.png",
  contentType: "image/png",
  content: Buffer.from("x"),
});

describe("imageSources", () => {
  test("names each local file once, in order", () => {
    const html = `<IMG SRC="b.png"><img alt="x>y" src='a.png'><img src=c.png/><img src="b.png">`;
    expect(imageSources(html)).toEqual(["b.png", "a.png", "c.png/"]);
  });

  test.each([
    '<img src="data:image/png;base64,AAAA">',
    '<img src="cid:x">',
    '<img src="https://x.example/a.png">',
    '<img src="//x.example/a.png">',
    '<img src="">',
    '<img data-src="a.png">',
    '<img src="[[Logo]]">',
    '<imgx src="a.png">',
    '<a title="<img src=x>">y</a>',
    '<!-- <img src="a.png"> -->',
    '<script>"<img src=a.png>"</script>',
    '<img src="a.png',
  ])("finds no local file in %s", (html) => {
    expect(imageSources(html)).toEqual([]);
  });

  test("takes a URL for a file where a prefix maps it", () => {
    const html = '<img src="https://app.example/storage/a.png"><img src="https://other.example/b.png">';
    expect(imageSources(html, { "https://app.example/storage/": "/srv" })).toEqual([
      "https://app.example/storage/a.png",
    ]);
  });

  test("reads what Outlook alone reads", () => {
    expect(imageSources('<!--[if mso]><img src="a.png"><![endif]-->')).toEqual(["a.png"]);
  });

  test("decodes entities as a browser does", () => {
    expect(imageSources('<img src="a&amp;b&#46;png">')).toEqual(["a&b.png"]);
  });
});

describe("embedImages", () => {
  test("replaces whole values of img tags and no other text", () => {
    const html = `<img src="a.png"> a.png <img src="xa.png"><img src='a.png' alt="a.png"><img src="a.png.b">`;
    expect(embedImages(html, [image("a.png", "1@x")])).toBe(
      `<img src="cid:1@x"> a.png <img src="xa.png"><img src='cid:1@x' alt="a.png"><img src="a.png.b">`,
    );
  });

  test("leaves any text without its images byte for byte", () => {
    const html = fc.string({ unit: fc.constantFrom("<", "img", " ", "src", "=", '"', "'", "a", ">", "!--", "/") });
    fc.assert(
      fc.property(html, (text) => {
        expect(embedImages(text, [image("none", "1@x")])).toBe(text);
      }),
    );
  });
});

test("dataImages decodes each picture once and leaves what is none", () => {
  const png = Buffer.from("picture").toString("base64");
  const html = `<img src="data:image/png;base64,${png}"><img src="data:image/png;base64,${png}"><img src="data:text/html;base64,AAAA">`;
  const images = dataImages(html);
  expect(images).toHaveLength(1);
  expect(images[0]).toMatchObject({ contentType: "image/png", content: Buffer.from("picture") });
});

test("startTags ends on any input and bounds its tags", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("<", "a", " ", "=", '"', "'", ">", "!--", "-->", "script", "&lt;") }),
      (html) => {
        for (const { at, end, attributes } of startTags(html)) {
          expect(html[at]).toBe("<");
          expect(end).toBeLessThanOrEqual(html.length);
          for (const attribute of attributes) expect(attribute.end).toBeLessThanOrEqual(end);
        }
      },
    ),
  );
});
