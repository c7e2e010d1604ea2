import { safeAddress } from "./headers.js";

/** Where a recipient can say no more: texts in which {email}, {campaign} and {mail} are filled for each mail. */
export interface Unsubscribe {
  readonly url?: string | undefined;
  readonly mailto?: string | undefined;
}

/** List-Unsubscribe, and List-Unsubscribe-Post where a URL takes the one click (RFC 2369 §3.2, RFC 8058 §3.1). */
export function unsubscribeHeaders(unsubscribe: Unsubscribe, to: string, messageId: string): string {
  const [, campaign = "", mail = ""] = /^<c([^.@]*)\.m([^@]*)@/.exec(messageId) ?? [];
  const filled = (template: string) => fillUri(template, { email: to, campaign, mail });
  const uris = [];
  if (unsubscribe.url) uris.push(filled(unsubscribe.url));
  if (unsubscribe.mailto) uris.push(filled(asMailto(unsubscribe.mailto)));
  if (uris.length === 0) return "";
  const post = unsubscribe.url ? "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" : "";
  return `List-Unsubscribe: ${uris.map((uri) => `<${uri}>`).join(",\r\n ")}\r\n${post}`;
}

/** Every filled value is percent-encoded, so that no address can change the link it stands in. */
function fillUri(template: string, values: Readonly<Record<"email" | "campaign" | "mail", string>>): string {
  const uri = template.replace(/\{(email|campaign|mail)\}/g, (_, key: keyof typeof values) =>
    percentEncode(key === "email" ? safeAddress(values.email) : values[key]),
  );
  return uri.replace(/[\s\p{Cc}<>,]+/gu, "").replace(/[^!-~]+/g, percentEncode);
}

/** By way of UTF-8, since encodeURIComponent throws on half a surrogate pair. */
function percentEncode(text: string): string {
  return encodeURIComponent(Buffer.from(text, "utf8").toString("utf8"));
}

function asMailto(address: string): string {
  return address.startsWith("mailto:") ? address : `mailto:${address}`;
}
