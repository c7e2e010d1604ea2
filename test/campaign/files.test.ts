import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attachmentList, type FileRoots, resolveFile } from "../../src/campaign/files.js";
import { contentTypeOf } from "../../src/campaign/mime.js";

let base: string;
let files: FileRoots;

beforeAll(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), "campaignd-files-")));
  for (const directory of ["one/sub", "two", "outside", "one-more"])
    mkdirSync(join(base, directory), { recursive: true });
  writeFileSync(join(base, "one/a.pdf"), "A");
  writeFileSync(join(base, "one/sub/günstig 1.png"), "G");
  writeFileSync(join(base, "two/b.pdf"), "B");
  writeFileSync(join(base, "two/big.bin"), Buffer.alloc(101));
  writeFileSync(join(base, "two/full.bin"), Buffer.alloc(100));
  writeFileSync(join(base, "two/empty.txt"), "");
  writeFileSync(join(base, "outside/secret"), "S");
  writeFileSync(join(base, "one-more/secret"), "S");
  symlinkSync(join(base, "outside/secret"), join(base, "one/link"));
  symlinkSync(join(base, "one/a.pdf"), join(base, "two/inner-link.pdf"));
  symlinkSync(join(base, "outside"), join(base, "two/way-out"));
  execFileSync("mkfifo", [join(base, "one/pipe")]);
  files = {
    roots: [join(base, "one"), join(base, "two"), join(base, "not-there")],
    prefixes: {
      "https://app.example/storage": join(base, "one"),
      "/old/": join(base, "two"),
      "/old/sub/": join(base, "one/sub"),
    },
    maxBytes: 100,
  };
});

afterAll(() => rmSync(base, { recursive: true, force: true }));

describe("resolveFile", () => {
  test.each([
    ["a relative path in the first root", "a.pdf", "A", "a.pdf"],
    ["a relative path in a later root", "b.pdf", "B", "b.pdf"],
    ["a path with percent signs", "sub/g%C3%BCnstig%201.png", "G", "günstig 1.png"],
    ["a URL with its query left out", "https://app.example/storage/a.pdf?v=2#x", "A", "a.pdf"],
    ["a stored path under its prefix", "/old/b.pdf", "B", "b.pdf"],
    ["the longest prefix", "/old/sub/günstig 1.png", "G", "günstig 1.png"],
    ["a way around inside a root", "sub/../a.pdf", "A", "a.pdf"],
    ["a link that stays inside the roots", "inner-link.pdf", "A", "inner-link.pdf"],
    ["an empty file", "empty.txt", "", "empty.txt"],
  ])("reads %s", async (_, stored, content, name) => {
    const file = await resolveFile(stored, files);
    expect(file.bytes.toString()).toBe(content);
    expect(file.name).toBe(name);
  });

  test("reads an absolute path inside a root, up to the last byte allowed", async () => {
    expect((await resolveFile(join(base, "two/full.bin"), files)).bytes).toHaveLength(100);
  });

  test.each([
    ["what is missing", "none.pdf", /"none\.pdf" was not found; tried .*one\/none\.pdf, .*two\/none\.pdf/],
    ["a way out of the roots", "../outside/secret", /outside files\.roots/],
    ["a sibling whose name begins like a root", "../one-more/secret", /outside files\.roots/],
    ["a link out of the roots", "link", /outside files\.roots/],
    ["a directory link out of the roots", "way-out/secret", /outside files\.roots/],
    ["an absolute path elsewhere", "/etc/passwd", /outside files\.roots/],
    ["a prefix used to climb", "/old/../outside/secret", /outside files\.roots/],
    ["a directory", "sub", /no regular file/],
    ["a pipe, without waiting for it", "pipe", /no regular file/],
    ["one byte too much", "big.bin", /101 bytes, files\.maxFile allows 100/],
    ["a URL that no prefix maps", "https://other.example/a.pdf", /files\.prefixes/],
    ["half a prefix", "https://app.example/storage-old/a.pdf", /files\.prefixes/],
    ["a NUL", "a\0.pdf", /NUL/],
    ["an encoded NUL", "a%00.pdf", /not found/],
  ])("refuses %s", async (_, stored, message) => {
    await expect(resolveFile(stored, files)).rejects.toMatchObject({
      kind: "files",
      message: expect.stringMatching(message),
    });
  });

  test("says which setting is missing where no root is named", async () => {
    await expect(resolveFile("a", { ...files, roots: [] })).rejects.toThrow(/files\.roots is empty/);
  });
});

test("attachmentList splits at commas and line breaks", () => {
  expect(attachmentList(" a.pdf, b c.pdf\r\n\nd.pdf,")).toEqual(["a.pdf", "b c.pdf", "d.pdf"]);
  expect(attachmentList(null)).toEqual([]);
});

test("contentTypeOf goes by the extension", () => {
  expect(contentTypeOf("a.PDF")).toBe("application/pdf");
  expect(contentTypeOf("b.png")).toBe("image/png");
  expect(contentTypeOf("noext")).toBe("application/octet-stream");
  expect(contentTypeOf("x.constructor")).toBe("application/octet-stream");
});
