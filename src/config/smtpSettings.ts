import { optional, section, setting } from "./setting.js";
import { allOrIds, count, duration, flag, id, listOf, path, word } from "./settingKind.js";

/** The settings of sending: connections, waits, encryption. */
export const smtp = section("How mails are sent.", {
  maxConnectionsPerAccount: setting(count(1, 50), 2, "Most connections of one account at once."),
  maxMessagesPerConnection: setting(count(1, 10_000), 100, "After so many mails a connection is replaced."),
  heloName: optional(word, "mail.example.org", "Name that we give in EHLO; the host's own when absent."),
  idleLimit: setting(duration(), "30s", "A connection idle for longer is closed."),
  timeouts: section("Longest waits, step by step (RFC 5321 §4.5.3.2).", {
    dns: setting(duration(), "10s", "For the address of the server."),
    connect: setting(duration(), "10s", "For the TCP connection and the TLS handshake."),
    greeting: setting(duration(), "15s", "For the server's greeting."),
    command: setting(duration(), "30s", "For the reply to a command."),
    body: setting(duration(), "60s", "For the mail to be taken, without progress."),
    afterDot: setting(
      duration(),
      "5m",
      "For the reply after the final dot; too short a wait leaves mails whose outcome is unknown.",
    ),
  }),
  tls: section("Encryption towards SMTP servers.", {
    verify: setting(flag, true, "Check the servers' certificates and names."),
    caFile: optional(path, "/etc/campaignd/ca.pem", "PEM file of the authority to trust instead of the system's list."),
    insecure: setting(listOf(id, "ids", "[3, 7]"), [], "SMTP server ids whose certificate is not checked."),
  }),
  clearLogin: setting(
    allOrIds,
    [],
    "SMTP server ids that may be given a password in clear; loopback hosts always may.",
  ),
});
