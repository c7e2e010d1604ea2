import type { FaultClass, MailClass, Phase, Verdict } from "./verdict.js";

/** What nodemailer says of a failure. */
export interface Failure {
  readonly message: string;
  readonly code?: string | undefined;
  readonly responseCode?: number | undefined;
  readonly response?: string | undefined;
  readonly command?: string | undefined;
}

/** Turns a failure into a verdict by the phase it met, the reply's code and nodemailer's own code (reliability of SMTP phases). */
export function classify(failure: Failure, phase: Phase): Verdict {
  const said = oneLine(failure.response || failure.message);
  const reply = phase === "login" ? withoutLogin(said) : said;
  const code = failure.responseCode ?? 0;
  if (phase === "dot") return afterDot(code, reply);
  if (code === 421) return refused("rate", false, reply);
  if (code >= 400 && code < 600) return byStep(failure, code, reply);
  return withoutReply(failure, phase, reply);
}

/** Only a reply code settles what became of a mail whose final dot may be out. */
function afterDot(code: number, reply: string): Verdict {
  // 421 ends the session and says that the mail was not taken.
  if (code === 421) return refused("rate", false, reply);
  if (code >= 400 && code < 500) return { kind: "deferred", class: mailClass(code, reply), reply };
  if (code >= 500 && code < 600) return { kind: "rejected", class: contentClass(code, reply), reply };
  return { kind: "unknown", why: `no reply after the final dot: ${reply}` };
}

function contentClass(code: number, reply: string): MailClass {
  if (TOO_LONG.test(reply)) return "size";
  return code === 552 ? "mailbox" : "content";
}

function byStep(failure: Failure, code: number, reply: string): Verdict {
  const permanent = code >= 500;
  if (failure.code === "EAUTH" || code === 530 || code === 535) return refused("auth", permanent, reply);
  if (failure.code === "ETLS") return refused("tls", permanent, reply);
  // Out of step or unknown commands say nothing of this mail; failing it would fail a whole campaign, one mail after the other.
  if (code === 500 || code === 502 || code === 503) return refused("protocol", false, reply);
  if (failure.command === "RCPT TO" || failure.command === "DATA") return aboutMail(code, reply);
  if (failure.command === "MAIL FROM") return aboutSender(code, reply);
  return refused("protocol", permanent, reply);
}

function aboutMail(code: number, reply: string): Verdict {
  return { kind: code >= 500 ? "rejected" : "deferred", class: mailClass(code, reply), reply };
}

/** RFC 3463: message length exceeds a limit (x.2.3), message too big for system (x.3.4). */
const TOO_LONG = /\b[45]\.(2\.3|3\.4)\b/;
const STATUS = /\b[45]\.\d{1,3}\.\d{1,3}\b/;

/** MAIL FROM names the account and, with SIZE, the mail's length; without a status code 552 is the length. */
function aboutSender(code: number, reply: string): Verdict {
  if (code >= 500 && (TOO_LONG.test(reply) || (code === 552 && !STATUS.test(reply))))
    return { kind: "rejected", class: "size", reply };
  return code >= 500 ? refused("sender", true, reply) : refused("rate", false, reply);
}

function mailClass(code: number, reply: string): MailClass {
  if (TOO_LONG.test(reply)) return "size";
  if (code === 452 || code === 552 || /\b[45]\.2\.2\b/.test(reply)) return "mailbox";
  if (code >= 500) return "recipient";
  return /gr[ae]y[- ]?list|\b4\.7\.1\b/i.test(reply) ? "greylist" : "temporary";
}

const FAULT_BY_CODE: Readonly<Record<string, FaultClass>> = {
  EDNS: "dns",
  ETLS: "tls",
  EAUTH: "auth",
  ETIMEDOUT: "timeout",
  ECONNECTION: "connect",
  ESOCKET: "connect",
  EPROTOCOL: "protocol",
};

function withoutReply(failure: Failure, phase: Phase, reply: string): Verdict {
  if (failure.code === "EENVELOPE" && failure.command === "API") return unwritable(reply);
  // The server announced a SIZE that this mail exceeds; nothing was sent, and no rest of the account mends it.
  if (failure.code === "EMESSAGE" && failure.command === "MAIL FROM") return { kind: "rejected", class: "size", reply };
  if (/certificate|self[- ]signed|altnames|SSL routines|wrong version number/i.test(reply))
    return refused("tls", true, reply);
  const fault = FAULT_BY_CODE[failure.code ?? ""] ?? (phase === "connect" ? "connect" : "protocol");
  return refused(fault, fault === "auth", reply);
}

/** The envelope could not even be written, before a byte went out: the address is at fault. */
function unwritable(reply: string): Verdict {
  if (/^Invalid sender/.test(reply)) return refused("sender", true, reply);
  return { kind: "rejected", class: "address", reply };
}

function refused(fault: FaultClass, lasting: boolean, reply: string): Verdict {
  return { kind: "refused", class: fault, lasting, reply };
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim().slice(0, 300);
}

/** Some servers echo the command that they refuse, and with it the login in base64. */
function withoutLogin(text: string): string {
  return text
    .replace(/\b(AUTH\s+\S+|PASS|LOGIN)\s+\S+/gi, "$1 ********")
    .replace(/[A-Za-z0-9+/]{16,}={0,2}/g, "********");
}
