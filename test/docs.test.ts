import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { pages } from "../scripts/pages.js";

test.each(pages)("$file says what the code says; npm run docs writes it anew", ({ file, render }) => {
  expect(readFileSync(file, "utf8")).toBe(render());
});
