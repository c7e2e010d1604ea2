import { describe, expect, test } from "vitest";
import { classify, type Failure } from "../../src/smtp/classify.js";
import type { FaultClass, MailClass, Phase, Verdict } from "../../src/smtp/verdict.js";

const refused = (fault: FaultClass, lasting = false) => ({ kind: "refused", class: fault, lasting });
const deferred = (about: MailClass) => ({ kind: "deferred", class: about });
const rejected = (about: MailClass) => ({ kind: "rejected", class: about });
const unknown = { kind: "unknown" };

/** A failure as nodemailer tells it: its code, the reply when there was one, and the step that it met. */
const failure = (code: string, response?: string, command = "CONN"): Failure => ({
  message: response === undefined ? code : `failed: ${response}`,
  code,
  command,
  ...(response === undefined ? {} : { response, responseCode: Number.parseInt(response, 10) }),
});

const said = (message: string, code: string, command = "CONN"): Failure => ({ message, code, command });

type Row = readonly [what: string, phase: Phase, failure: Failure, verdict: object];

const CONNECTING: readonly Row[] = [
  ["a closed port", "connect", said("connect ECONNREFUSED", "ESOCKET"), refused("connect")],
  ["an unknown host", "connect", said("getaddrinfo ENOTFOUND", "EDNS"), refused("dns")],
  ["no greeting", "connect", said("Greeting never received", "ETIMEDOUT"), refused("timeout")],
  ["a close before the greeting", "connect", said("Connection closed", "ECONNECTION"), refused("connect")],
  ["a failure without any code", "connect", { message: "something" }, refused("connect")],
  ["greeting 554", "connect", failure("EPROTOCOL", "554 5.7.1 Blocked"), refused("protocol", true)],
  ["greeting 450", "connect", failure("EPROTOCOL", "450 4.3.2 Busy"), refused("protocol")],
  ["greeting 421", "connect", failure("EPROTOCOL", "421 4.7.0 Too many"), refused("rate")],
  ["a greeting that is no SMTP", "connect", said("Unexpected Response", "EPROTOCOL"), refused("protocol")],
  ["STARTTLS missing", "connect", said("Server does not support STARTTLS", "ETLS"), refused("tls")],
  ["STARTTLS 454", "connect", failure("ETLS", "454 4.7.0 TLS not available", "STARTTLS"), refused("tls")],
  ["STARTTLS 500", "connect", failure("ETLS", "500 5.5.1 What?", "STARTTLS"), refused("tls", true)],
  ["a TLS alert", "connect", said("ssl3_read_bytes: SSL routines: alert", "ESOCKET"), refused("tls", true)],
  ["TLS to a plain port", "connect", said("write EPROTO: wrong version number", "ESOCKET"), refused("tls", true)],
];

const CERTIFICATES = [
  "self-signed certificate",
  "self signed certificate in certificate chain",
  "unable to verify the first certificate",
  "certificate has expired",
  "Hostname/IP does not match certificate's altnames: Host: mx.example. is not in the cert's altnames",
].map((text): Row => [`a certificate: ${text}`, "connect", said(text, "ESOCKET"), refused("tls", true)]);

const LOGIN: readonly Row[] = [
  ["AUTH 535", "login", failure("EAUTH", "535 5.7.8 Bad login", "AUTH PLAIN"), refused("auth", true)],
  ["AUTH 454", "login", failure("EAUTH", "454 4.7.0 Try later", "AUTH PLAIN"), refused("auth")],
  ["AUTH 421", "login", failure("EAUTH", "421 4.7.0 Bye", "AUTH PLAIN"), refused("rate")],
  ["AUTH 503", "login", failure("EAUTH", "503 5.5.1 Already", "AUTH PLAIN"), refused("auth", true)],
  ["no way to log in", "login", said("Missing credentials for PLAIN", "EAUTH", "API"), refused("auth", true)],
  ["a lost login", "login", said("Connection closed", "ECONNECTION"), refused("connect")],
  ["a silent login", "login", said("Timeout", "ETIMEDOUT"), refused("timeout")],
];

const SENDER: readonly Row[] = [
  ["MAIL 421", "envelope", failure("EENVELOPE", "421 4.3.2 Bye", "MAIL FROM"), refused("rate")],
  ["MAIL 450", "envelope", failure("EENVELOPE", "450 4.7.1 Too many", "MAIL FROM"), refused("rate")],
  ["MAIL 452", "envelope", failure("EENVELOPE", "452 4.3.1 No room", "MAIL FROM"), refused("rate")],
  ["MAIL 503", "envelope", failure("EENVELOPE", "503 5.5.1 Sequence", "MAIL FROM"), refused("protocol")],
  ["MAIL 530", "envelope", failure("EENVELOPE", "530 5.7.0 Login first", "MAIL FROM"), refused("auth", true)],
  ["MAIL 550", "envelope", failure("EENVELOPE", "550 5.7.1 Not you", "MAIL FROM"), refused("sender", true)],
  ["MAIL 554", "envelope", failure("EENVELOPE", "554 5.7.1 Suspended", "MAIL FROM"), refused("sender", true)],
  ["MAIL 552 of a quota", "envelope", failure("EENVELOPE", "552 5.7.0 Quota", "MAIL FROM"), refused("sender", true)],
  ["MAIL 552", "envelope", failure("EENVELOPE", "552 Message too big", "MAIL FROM"), rejected("size")],
  ["MAIL 552 5.3.4", "envelope", failure("EENVELOPE", "552 5.3.4 Too big", "MAIL FROM"), rejected("size")],
  ["MAIL 554 5.2.3", "envelope", failure("EENVELOPE", "554 5.2.3 Too long", "MAIL FROM"), rejected("size")],
  ["more than SIZE", "envelope", said("Message size larger than allowed", "EMESSAGE", "MAIL FROM"), rejected("size")],
  [
    "a sender that cannot be written",
    "envelope",
    said("Invalid sender <>", "EENVELOPE", "API"),
    refused("sender", true),
  ],
];

const RECIPIENT: readonly Row[] = [
  ["RCPT 421", "envelope", failure("ECONNECTION", "421 4.3.2 Bye"), refused("rate")],
  ["RCPT 450", "envelope", failure("EENVELOPE", "450 4.2.1 Busy", "RCPT TO"), deferred("temporary")],
  ["RCPT 451 greylisted", "envelope", failure("EENVELOPE", "451 4.7.1 Greylisted", "RCPT TO"), deferred("greylist")],
  ["RCPT 450 gray-listed", "envelope", failure("EENVELOPE", "450 gray-listing", "RCPT TO"), deferred("greylist")],
  ["RCPT 452", "envelope", failure("EENVELOPE", "452 4.2.2 Full", "RCPT TO"), deferred("mailbox")],
  ["RCPT 450 4.2.2", "envelope", failure("EENVELOPE", "450 4.2.2 Full", "RCPT TO"), deferred("mailbox")],
  ["RCPT 503", "envelope", failure("EENVELOPE", "503 5.5.1 Sequence", "RCPT TO"), refused("protocol")],
  ["RCPT 530", "envelope", failure("EENVELOPE", "530 5.7.0 Login first", "RCPT TO"), refused("auth", true)],
  ["RCPT 550", "envelope", failure("EENVELOPE", "550 5.1.1 No such user", "RCPT TO"), rejected("recipient")],
  ["RCPT 501", "envelope", failure("EENVELOPE", "501 5.1.3 Bad address", "RCPT TO"), rejected("recipient")],
  ["RCPT 552", "envelope", failure("EENVELOPE", "552 5.2.2 Full", "RCPT TO"), rejected("mailbox")],
  ["RCPT 554", "envelope", failure("EENVELOPE", "554 5.7.1 Refused", "RCPT TO"), rejected("recipient")],
  [
    "a recipient that cannot be written",
    "envelope",
    said("Invalid recipient", "EENVELOPE", "API"),
    rejected("address"),
  ],
  ["RCPT 354", "envelope", failure("EENVELOPE", "354 Go on", "RCPT TO"), refused("protocol")],
  [
    "garbage to RCPT",
    "envelope",
    { ...failure("EENVELOPE", "hm", "RCPT TO"), responseCode: undefined },
    refused("protocol"),
  ],
  ["a lost envelope", "envelope", said("Connection closed", "ECONNECTION"), refused("connect")],
  ["a reset envelope", "envelope", said("read ECONNRESET", "ESOCKET"), refused("connect")],
  ["a silent envelope", "envelope", said("Timeout", "ETIMEDOUT"), refused("timeout")],
];

const BODY: readonly Row[] = [
  ["DATA 421", "envelope", failure("EENVELOPE", "421 4.3.2 Bye", "DATA"), refused("rate")],
  ["DATA 451", "envelope", failure("EENVELOPE", "451 4.3.0 Later", "DATA"), deferred("temporary")],
  ["DATA 502", "envelope", failure("EENVELOPE", "502 5.5.1 What?", "DATA"), refused("protocol")],
  ["DATA 554", "envelope", failure("EENVELOPE", "554 5.7.1 No", "DATA"), rejected("recipient")],
  ["a lost body", "body", said("Connection closed", "ECONNECTION"), refused("connect")],
  ["a reset body", "body", said("write EPIPE", "ESOCKET"), refused("connect")],
  ["a body that stalls", "body", said("Timeout", "ETIMEDOUT"), refused("timeout")],
  ["a refusal in mid-body", "body", failure("EMESSAGE", "552 5.3.4 Too big", "DATA"), rejected("size")],
];

const DOT: readonly Row[] = [
  ["421 after the dot", "dot", failure("EMESSAGE", "421 4.3.2 Bye", "DATA"), refused("rate")],
  ["450 after the dot", "dot", failure("EMESSAGE", "450 4.2.1 Later", "DATA"), deferred("temporary")],
  ["452 after the dot", "dot", failure("EMESSAGE", "452 4.3.1 No room", "DATA"), deferred("mailbox")],
  ["550 after the dot", "dot", failure("EMESSAGE", "550 5.7.1 Spam", "DATA"), rejected("content")],
  ["552 after the dot", "dot", failure("EMESSAGE", "552 5.2.2 Full", "DATA"), rejected("mailbox")],
  ["552 5.3.4 after the dot", "dot", failure("EMESSAGE", "552 5.3.4 Too big", "DATA"), rejected("size")],
  ["554 after the dot", "dot", failure("EMESSAGE", "554 5.7.1 No", "DATA"), rejected("content")],
  ["FIN after the dot", "dot", said("Connection closed", "ECONNECTION"), unknown],
  ["RST after the dot", "dot", said("read ECONNRESET", "ESOCKET"), unknown],
  ["silence after the dot", "dot", said("Timeout", "ETIMEDOUT"), unknown],
  ["our own end of the connection", "dot", said("aborted", "EABORT"), unknown],
  ["garbage after the dot", "dot", { ...failure("EMESSAGE", "what?", "DATA"), responseCode: undefined }, unknown],
  ["354 after the dot", "dot", failure("EMESSAGE", "354 Go on", "DATA"), unknown],
  ["600 after the dot", "dot", failure("EMESSAGE", "600 Never heard of", "DATA"), unknown],
  ["a certificate's words after the dot", "dot", said("certificate has expired", "ESOCKET"), unknown],
];

describe("a failure while connecting", () => table([...CONNECTING, ...CERTIFICATES]));
describe("a failure of the login", () => table(LOGIN));
describe("a failure at the sender", () => table(SENDER));
describe("a failure at the recipient", () => table(RECIPIENT));
describe("a failure before the final dot", () => table(BODY));
describe("a failure after the final dot", () => table(DOT));

describe("421", () => {
  const steps: readonly [Phase, string, string][] = [
    ["connect", "EPROTOCOL", "CONN"],
    ["connect", "ETLS", "STARTTLS"],
    ["login", "EAUTH", "AUTH LOGIN"],
    ["envelope", "EENVELOPE", "MAIL FROM"],
    ["envelope", "EENVELOPE", "RCPT TO"],
    ["envelope", "EENVELOPE", "DATA"],
    ["envelope", "ECONNECTION", "CONN"],
    ["body", "ECONNECTION", "CONN"],
    ["dot", "EMESSAGE", "DATA"],
  ];
  test.each(steps)("in phase %s as %s of %s is the server's, never the mail's", (phase, code, command) => {
    expect(classify(failure(code, "421 4.7.0 Later", command), phase)).toMatchObject(refused("rate"));
  });
});

describe("the text of a verdict", () => {
  test("is one line of bounded length, the server's own words where it said any", () => {
    const reply = `550-5.7.1 First\r\n550 5.7.1 ${"long ".repeat(200)}`;
    const verdict = classify(failure("EENVELOPE", reply, "RCPT TO"), "envelope") as Extract<Verdict, { reply: string }>;
    expect(verdict.reply).toMatch(/^550-5\.7\.1 First 550 5\.7\.1 long/);
    expect(verdict.reply).not.toMatch(/[\r\n]/);
    expect(verdict.reply.length).toBeLessThanOrEqual(300);
  });

  test.each([
    ["500 unrecognized: AUTH PLAIN AGZvb0BiYXIAc2VjcmV0", "AGZvb0BiYXIAc2VjcmV0"],
    ["501 5.5.2 cannot decode AGZvb0BiYXIAc2VjcmV0==", "AGZvb0BiYXIAc2VjcmV0"],
    ["535 no such user: LOGIN c2VjcmV0", "c2VjcmV0"],
  ])("shows no login that the server echoes: %s", (reply, secret) => {
    const verdict = classify(failure("EAUTH", reply, "AUTH PLAIN"), "login") as Extract<Verdict, { reply: string }>;
    expect(verdict).toMatchObject({ kind: "refused", class: "auth" });
    expect(verdict.reply).not.toContain(secret);
    expect(verdict.reply).toMatch(/^5\d\d .*\*{8}$/);
  });

  test("keeps words that look like a login when it is not about one", () => {
    const failed = failure("EENVELOPE", "550 5.1.1 recipient ABCDEFGHIJKLMNOPQRST unknown", "RCPT TO");
    expect(classify(failed, "envelope")).toMatchObject({ reply: failed.response });
  });
});

function table(rows: readonly Row[]): void {
  test.each(rows)("%s (%s) is classified", (_what, phase, failed, verdict) => {
    expect(classify(failed, phase)).toMatchObject(verdict);
  });
}
