/** What shows that a text was escaped for SQL and then stored as it was: quotes with a backslash, or literal \r\n. */
const ESCAPED = /\\['"]|\\r\\n/;

const MEANING: Readonly<Record<string, string>> = { r: "\r", n: "\n", "0": "", Z: "" };

/**
 * Undoes the escaping that the web form leaves in a stored subject or body (contract §6), once for every time it was
 * escaped: each edit adds one. A text without its patterns stays as it is, so "C:\new" and clean HTML never change.
 */
export function unescapeStored(stored: string): string {
  let text = stored;
  // Each pass takes at least one backslash, and halves a run of them.
  while (ESCAPED.test(text)) text = text.replace(/\\([\\'"rn0Z])/g, (_, char: string) => MEANING[char] ?? char);
  return text;
}
