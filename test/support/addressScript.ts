/** What the SMTP server does with a mail to this recipient. */
export type Script =
  | { readonly kind: "accept" }
  | { readonly kind: "refuseAtRcpt"; readonly reply: Reply }
  | { readonly kind: "refuseAfterDot"; readonly reply: Reply }
  | { readonly kind: "greylist"; readonly times: number }
  | { readonly kind: "slow"; readonly ms: number }
  | { readonly kind: "dropInData" }
  | { readonly kind: "dropAfterDot" }
  | { readonly kind: "rstBefore250" }
  | { readonly kind: "lostAfterDot" }
  | { readonly kind: "muteAfterDot" };

export interface Reply {
  readonly code: number;
  /** The text behind the code, an enhanced status code first (RFC 3463). */
  readonly text: string;
}

interface Rule {
  readonly word: RegExp;
  readonly says: string;
  readonly script: (word: RegExpExecArray) => Script;
}

/**
 * The grammar of recipients: the local part up to the first "+" or "." is the word, so that `550.anna12@` and
 * `550+b@` are two addresses with one script. Any word that is not here, `ok` above all, is accepted.
 */
export const RECIPIENT_RULES: readonly Rule[] = [
  {
    word: /^([45]\d\d)$/,
    says: "that reply to RCPT; 421 also closes the connection",
    script: ([, code]) => ({ kind: "refuseAtRcpt", reply: replyAtRcpt(Number(code)) }),
  },
  {
    word: /^data-([45]\d\d)$/,
    says: "that reply after the final dot; nothing is kept",
    script: ([, code]) => ({ kind: "refuseAfterDot", reply: replyAfterDot(Number(code)) }),
  },
  {
    word: /^greylist-(\d+)$/,
    says: "451 4.7.1 to the first N RCPTs for this address in the server's life, then accepted",
    script: ([, times]) => ({ kind: "greylist", times: Number(times) }),
  },
  {
    word: /^slow-(\d+)(ms|s)$/,
    says: "kept and accepted, but the 250 after the dot comes N seconds or milliseconds late",
    script: ([, n, unit]) => ({ kind: "slow", ms: Number(n) * (unit === "s" ? 1000 : 1) }),
  },
  {
    word: /^drop-in-data$/,
    says: "the connection is destroyed at the first bytes of the body; nothing is kept",
    script: () => ({ kind: "dropInData" }),
  },
  {
    word: /^drop-after-dot$/,
    says: "kept, then the connection is closed (FIN) without a reply",
    script: () => ({ kind: "dropAfterDot" }),
  },
  {
    word: /^rst-before-250$/,
    says: "kept, then the connection is reset (RST) without a reply",
    script: () => ({ kind: "rstBefore250" }),
  },
  {
    word: /^lost-after-dot$/,
    says: "the whole mail is received, not kept, and the connection is reset (RST)",
    script: () => ({ kind: "lostAfterDot" }),
  },
  {
    word: /^mute-after-dot$/,
    says: "kept, never answered; the connection stays open",
    script: () => ({ kind: "muteAfterDot" }),
  },
];

/** The script that a recipient's address spells. */
export function recipientScript(address: string): Script {
  const word = firstWord(address);
  for (const rule of RECIPIENT_RULES) {
    const match = rule.word.exec(word);
    if (match) return rule.script(match);
  }
  return { kind: "accept" };
}

/** The refusal of a login that its user name spells: `auth-fails@` (535) or `auth-temp@` (454). */
export function loginScript(user: string): Reply | undefined {
  const word = firstWord(user);
  if (word === "auth-fails") return { code: 535, text: "5.7.8 Authentication credentials invalid" };
  if (word === "auth-temp") return { code: 454, text: "4.7.0 Temporary authentication failure" };
  return undefined;
}

/** The reply to MAIL FROM that a sender's address spells, e.g. `mail-421@`, `mail-550.sales@`; 421 also closes. */
export function senderScript(address: string): Reply | undefined {
  const code = /^mail-([45]\d\d)$/.exec(firstWord(address))?.[1];
  return code === undefined
    ? undefined
    : { code: Number(code), text: SENDER_TEXTS[code] ?? `${code[0]}.0.0 Scripted reply` };
}

function firstWord(address: string): string {
  const local = address.slice(0, address.lastIndexOf("@")).toLowerCase();
  return local.split(/[+.]/, 1)[0] ?? "";
}

function replyAtRcpt(code: number): Reply {
  return { code, text: RCPT_TEXTS[code] ?? `${Math.floor(code / 100)}.0.0 Scripted reply` };
}

function replyAfterDot(code: number): Reply {
  return { code, text: DOT_TEXTS[code] ?? `${Math.floor(code / 100)}.0.0 Scripted reply` };
}

const SENDER_TEXTS: Readonly<Record<string, string>> = {
  421: "4.3.2 Service shutting down, closing the connection",
  450: "4.7.1 Too many messages from this sender, try again later",
  451: "4.7.1 Sending rate exceeded, try again later",
  452: "4.3.1 Insufficient system storage",
  550: "5.7.1 Sender refused",
  553: "5.7.1 Sender address not owned by this user",
  554: "5.7.1 Account suspended",
};

const RCPT_TEXTS: Readonly<Record<number, string>> = {
  421: "4.3.2 Service not available, closing the connection",
  450: "4.2.1 Mailbox busy, try again later",
  451: "4.3.0 Local error in processing",
  452: "4.2.2 Mailbox full, try again later",
  550: "5.1.1 No such user here",
  551: "5.1.6 User has moved",
  552: "5.2.2 Mailbox full",
  553: "5.1.3 Mailbox name not allowed",
  554: "5.7.1 Delivery refused",
};

const DOT_TEXTS: Readonly<Record<number, string>> = {
  421: "4.3.2 Service not available, closing the connection",
  450: "4.2.1 Mailbox busy, try again later",
  451: "4.3.0 Local error in processing",
  452: "4.3.1 Insufficient system storage",
  550: "5.7.1 Message refused as spam",
  552: "5.3.4 Message too big",
  554: "5.7.1 Message content refused",
};
