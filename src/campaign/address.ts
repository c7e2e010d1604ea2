import { domainToASCII } from "node:url";

export type ParsedAddress =
  /** `address` has its domain in lower case and ASCII; `ascii` is false where the local part needs SMTPUTF8 (RFC 6531). */
  | { readonly ok: true; readonly address: string; readonly ascii: boolean }
  | { readonly ok: false; readonly reason: string };

/** Reads exactly one plain address, local@domain (RFC 5321 §4.1.2 without quoted forms), or says what is wrong with it. */
export function parseAddress(raw: string): ParsedAddress {
  const text = raw.replace(/^[ \t\u00a0]+|[ \t\u00a0]+$/g, "");
  const unfit = characterProblem(text);
  if (unfit) return refused(unfit);
  const at = text.lastIndexOf("@");
  const local = text.slice(0, at);
  const domain = domainOf(text.slice(at + 1));
  const reason = localProblem(local) ?? domainProblem(domain);
  if (reason) return refused(reason);
  const address = `${local}@${domain}`;
  if (Buffer.byteLength(address) > 254) return refused("longer than 254 octets");
  return { ok: true, address, ascii: isAscii(address) };
}

function refused(reason: string): ParsedAddress {
  return { ok: false, reason };
}

function characterProblem(text: string): string | undefined {
  if (text === "") return "empty";
  // Measured first: the patterns below need not read a cell of megabytes.
  if (text.length > 254) return "longer than 254 octets";
  if (/[\r\n]/.test(text)) return "holds a line break";
  if (/\p{C}/u.test(text)) return "holds a control or invisible character";
  if (text.includes('"')) return "has a quoted part, which is not supported";
  if (/[\s\p{Z}]/u.test(text)) return "holds a space";
  if (/[,;]/.test(text)) return "holds more than one address, or a comma or semicolon";
  if (/[<>]/.test(text)) return "holds angle brackets";
  const signs = text.split("@").length - 1;
  if (signs !== 1) return signs === 0 ? "has no @" : "has more than one @";
  return undefined;
}

function localProblem(local: string): string | undefined {
  if (local === "") return "has nothing before the @";
  if (Buffer.byteLength(local) > 64) return "has more than 64 octets before the @";
  if (local.startsWith(".") || local.endsWith(".") || local.includes("..")) return "has a misplaced dot before the @";
  if (!/^[a-z0-9!#$%&'*+/=?^_`{|}~.\u0080-\u{10ffff}-]+$/iu.test(local))
    return "holds a character that no address may hold";
  return undefined;
}

/** The domain in ASCII, or '' where it has none; checked before the mapping, which would read "%2e" and "127.1" its own way. */
function domainOf(domain: string): string {
  return /^[a-z0-9.\u0080-\u{10ffff}-]+$/iu.test(domain) ? domainToASCII(domain).toLowerCase() : "";
}

function domainProblem(domain: string): string | undefined {
  const labels = domain.split(".");
  if (domain === "") return "has no valid domain";
  if (domain.length > 255) return "has a domain of more than 255 octets";
  if (labels.includes("")) return "has a misplaced dot in its domain";
  if (labels.length < 2) return "has a domain without a dot";
  if (labels.some((label) => label.length > 63)) return "has a part of more than 63 octets in its domain";
  if (!labels.every((label) => /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(label))) return "has no valid domain";
  if (/^\d+$/.test(labels.at(-1) ?? "")) return "has a number for a domain";
  return undefined;
}

function isAscii(text: string): boolean {
  return Buffer.byteLength(text) === text.length;
}
