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
  const reply = oneLine(failure.response || failure.message);
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
  if (code >= 500 && code < 600) return { kind: "rejected", class: code === 552 ? "mailbox" : "content", reply };
  return { kind: "unknown", why: `no reply after the final dot: ${reply}` };
}

function byStep(failure: Failure, code: number, reply: string): Verdict {
  const permanent = code >= 500;
  if (failure.code === "EAUTH" || code === 530 || code === 535) return refused("auth", permanent, reply);
  if (failure.code === "ETLS") return refused("tls", permanent, reply);
  if (failure.command === "RCPT TO" || failure.command === "DATA") return aboutMail(code, reply);
  if (failure.command === "MAIL FROM") return aboutSender(code, reply);
  return refused("protocol", permanent, reply);
}

function aboutMail(code: number, reply: string): Verdict {
  return { kind: code >= 500 ? "rejected" : "deferred", class: mailClass(code, reply), reply };
}

function aboutSender(code: number, reply: string): Verdict {
  if (code === 552 || code === 554) return { kind: "rejected", class: "size", reply };
  return code >= 500 ? refused("sender", true, reply) : refused("rate", false, reply);
}

function mailClass(code: number, reply: string): MailClass {
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
  // The envelope could not even be written: the address is at fault, before a byte went out.
  if (failure.code === "EENVELOPE") return { kind: "rejected", class: "address", reply };
  if (/certificate|self[- ]signed|altnames|SSL routines|wrong version number/i.test(reply))
    return refused("tls", true, reply);
  const fault = FAULT_BY_CODE[failure.code ?? ""] ?? (phase === "connect" ? "connect" : "protocol");
  return refused(fault, fault === "auth", reply);
}

function refused(fault: FaultClass, lasting: boolean, reply: string): Verdict {
  return { kind: "refused", class: fault, lasting, reply };
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim().slice(0, 300);
}
