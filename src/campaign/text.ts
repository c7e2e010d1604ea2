// oxlint-disable-next-line typescript/triple-slash-reference -- html-to-text ships no types; a reference brings ours to every program that compiles this file
/// <reference path="./html-to-text.d.ts" />
import { compile, type Formatter } from "html-to-text";
import { parseTemplate } from "./merge.js";

/**
 * The plain text that an HTML template reads as, its `[[Field]]` places intact: lists with marks, links as "text (url)",
 * table rows as lines, images by their alt text. Computed once a campaign; lines are as long as their paragraphs.
 */
export function readableText(html: string): string {
  const { constants, places } = parseTemplate(html.replace(/[\ue000\ue001]/g, ""));
  // A place would be torn by white space rules and entities; a number between two private marks passes through.
  const marked = constants
    .map((constant, i) => (i < places.length ? `${constant}\ue000${i}\ue001` : constant))
    .join("");
  const text = toText(marked).replace(/\ue000(\d+)\ue001/g, (_, i) => `[[${places[Number(i)]?.field ?? ""}]]`);
  return text
    .replace(/[ \t\u00a0]+$/gm, "")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

/** Whether a body is HTML rather than plain text: a tag that mails use, a doctype or an entity-bearing comment (contract §6). */
export function looksLikeHtml(body: string): boolean {
  return /<!doctype html|<\/?(?:html|head|body|p|br|div|span|a|b|i|u|em|strong|img|table|tbody|tr|td|th|ul|ol|li|h[1-6]|font|center|hr|style|blockquote|pre)(?:\s[^<]*)?\/?>/i.test(
    body,
  );
}

const alternativeText: Formatter = (image, _walk, builder) => {
  const alt = image.attribs?.alt?.trim();
  if (alt) builder.addInline(alt);
};

const cell: Formatter = (element, walk, builder) => {
  walk(element.children, builder);
  builder.addInline(" ");
};

const heading = (selector: string) => ({
  selector,
  options: { uppercase: false, leadingLineBreaks: 2, trailingLineBreaks: 2 },
});

const toText = compile({
  wordwrap: false,
  // Deeper markup is cut: walking it would exhaust the stack, and no mail client shows it either.
  limits: { maxDepth: 200, ellipsis: "" },
  formatters: { alternativeText, cell },
  selectors: [
    ...["h1", "h2", "h3", "h4", "h5", "h6"].map(heading),
    { selector: "a", options: { linkBrackets: ["(", ")"], hideLinkHrefIfSameAsText: true } },
    { selector: "img", format: "alternativeText" },
    { selector: "table", format: "block", options: { leadingLineBreaks: 1, trailingLineBreaks: 1 } },
    { selector: "tr", format: "block", options: { leadingLineBreaks: 1, trailingLineBreaks: 1 } },
    { selector: "td", format: "cell" },
    { selector: "th", format: "cell" },
    { selector: "hr", options: { length: 40 } },
    { selector: "ul", options: { itemPrefix: "- " } },
    ...["head", "style", "script", "title", "template"].map((selector) => ({ selector, format: "skip" })),
    ...['*[style*="display:none"]', '*[style*="display: none"]'].map((selector) => ({ selector, format: "skip" })),
  ],
});
