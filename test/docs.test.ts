import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { eventKeys } from "../scripts/eventsPage.js";
import { pages } from "../scripts/pages.js";
import { configurationPage } from "../src/config/reference.js";
import { EVENTS } from "../src/events.js";

const written = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
const texts = [...written, ...readdirSync("docs").map((name) => `docs/${name}`)]
  .filter((file) => file.endsWith(".md") && file !== "docs/contract.md")
  .map((file) => ({ file, text: readFileSync(file, "utf8") }));
/** What looks like a setting and is a method. */
const CALLS = ["monitor.tick"];
const settings = [...configurationPage().matchAll(/^\| `([\w.]+)` \|/gm)].map((match) => match[1] ?? "");
const sections = new Set(settings.map(sectionOf));

test.each(pages)("$file says what the code says; npm run docs writes it anew", ({ file, render }) => {
  expect(readFileSync(file, "utf8")).toBe(render());
});

test("every event has its keys in docs/events.md", () => {
  const keys = eventKeys();
  expect(new Set(keys.keys())).toEqual(new Set(Object.keys(EVENTS)));
  expect([...keys].filter(([, names]) => names.length === 0)).toEqual([]);
});

describe.each(texts)("$file", ({ file, text }) => {
  test("names only events that exist", () => {
    const named = [...text.matchAll(/`([a-z]+:[a-z][A-Za-z]+)`/g)].map((match) => match[1] ?? "");
    expect(named.filter((name) => !(name in EVENTS) && name !== "noun:pastVerb")).toEqual([]);
  });

  test("names only settings that exist", () => {
    const named = [...text.matchAll(/`([a-z]\w+(?:\.[a-z]\w+)+)(?:: [^`]*)?`/g)].map((match) => match[1] ?? "");
    const ours = named.filter((name) => sections.has(sectionOf(name)) && !CALLS.includes(name));
    expect(ours.filter((name) => !settings.includes(name))).toEqual([]);
  });

  test("links only to files that exist", () => {
    const links = [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? "");
    const local = links.filter((link) => !/^https?:/.test(link));
    expect(local.filter((link) => !existsSync(join(dirname(file), link)))).toEqual([]);
  });

  test("names only scripts that exist", () => {
    const { scripts } = JSON.parse(readFileSync("package.json", "utf8"));
    const files = [...text.matchAll(/\.\/scripts\/([\w-]+)/g)].map((match) => `scripts/${match[1]}`);
    const runs = [...text.matchAll(/npm run ([\w:]+)/g)].map((match) => match[1] ?? "");
    expect(files.filter((path) => !existsSync(path))).toEqual([]);
    expect(runs.filter((name) => !(name in scripts))).toEqual([]);
  });
});

function sectionOf(path: string): string {
  return path.split(".")[0] ?? "";
}
