import { days, hours, seconds } from "../clock.js";
import { server } from "./serverSettings.js";
import { optional, section, setting } from "./setting.js";
import {
  count,
  duration,
  flag,
  httpsUrl,
  listOf,
  oneOf,
  path,
  ratio,
  size,
  tableOf,
  text,
  wholeSeconds,
  word,
  zone,
} from "./settingKind.js";
import { smtp } from "./smtpSettings.js";

const MB = 1024 * 1024;

/** Every setting once, with its kind, default and one sentence; the order is that of the example file. */
export const settings = {
  servers: section("The two MariaDB servers.", {
    emailId: server("emailId", "Server 1: campaigns, lists and templates.", "email_id", { byDefault: 3, min: 2 }),
    crm: server("crm", "Server 2: the queue and the SMTP accounts.", "CRM", { byDefault: 20, min: 4 }),
  }),
  stateDir: setting(path, "/var/lib/campaignd", "Folder of the lock and everything that must outlive the process."),
  legacyZone: setting(
    zone,
    "Asia/Kolkata",
    "Zone of the times that the web application writes and of the hourly and daily limits.",
  ),
  pool: section("How connections to the servers are lent.", {
    connectTimeout: setting(duration(), "5s", "Longest wait for a new connection."),
    statementTimeout: setting(
      duration(),
      "10s",
      "Longest wait for the answer to a statement; the connection is then given up.",
    ),
    acquireTimeout: setting(duration(), "5s", "Longest wait for a free connection."),
    pingIdle: setting(duration(), "5s", "A connection idle for longer is pinged before it is lent."),
    pingTimeout: setting(duration(), "2s", "Longest wait for the answer to a ping."),
    healthEvery: setting(duration(), "30s", "How often idle connections are looked after."),
    idleLimit: setting(
      duration(),
      "45s",
      "A connection idle for longer is closed; below sessionTimeout, or the server closes it first.",
    ),
    ageLimit: setting(duration(), "1h", "A connection older than this is replaced."),
    drain: setting(duration(), "10s", "Longest wait for lent connections at shutdown."),
    tries: setting(count(1, 10), 3, "How often a statement that met bad weather is tried in all."),
    backoffFirst: setting(duration(), "100ms", "Wait after the first failed try; it doubles."),
    backoffMax: setting(duration(), "2s", "Longest wait between tries."),
    lockWait: setting(wholeSeconds(), "5s", "Longest wait for a row lock."),
    sessionTimeout: setting(wholeSeconds(), "60s", "After this idle time the server ends a session."),
    netTimeout: setting(wholeSeconds(), "10s", "Longest wait of the server for our network."),
  }),
  monitor: section("How often the campaigns are looked at.", {
    far: setting(duration(), "20s", "Between looks while no campaign runs or none is near its end."),
    middle: setting(duration(), "15s", "Between looks when a campaign is past its middle."),
    near: setting(duration(), "10s", "Between looks when a campaign is near its end."),
    end: setting(duration(), "5s", "Between looks when a campaign is about to end."),
    blind: setting(
      duration(),
      "60s",
      "After so long without an answer of Server 1 nothing more is sent, since a pause would go unseen.",
    ),
  }),
  lease: section("The right to send, held by one daemon at a time.", {
    ttl: setting(duration(seconds(1)), "30s", "How long the lease holds without renewal."),
    renew: setting(duration(), "5s", "How often it is renewed."),
    timeout: setting(duration(), "3s", "Longest wait for one renewal."),
  }),
  claim: section("How mails are taken from the queue.", {
    batch: setting(count(1, 2000), 500, "Most mails of one claim."),
    horizon: setting(duration(), "2s", "A claim takes what the accounts can send in this time."),
    gap: setting(duration(0), "500ms", "Shortest time between two claims of a campaign."),
  }),
  settle: section("How results are written.", {
    every: setting(duration(), "200ms", "Longest time that a result waits for others to be written with it."),
    batch: setting(count(1, 2000), 500, "Most results of one write."),
  }),
  smtp,
  accounts: section("The SMTP accounts.", {
    reread: setting(duration(), "30s", "How often the accounts are read again."),
    resetSentToday: setting(flag, true, "Zero smtp_accounts.sent_today once a day of legacyZone."),
    restAfterFault: setting(duration(), "1m", "How long an account rests after a fault of its connection."),
    suspendFor: setting(
      duration(),
      "30m",
      "How long an account whose login or TLS was refused is suspended before one probe.",
    ),
  }),
  retry: section("Mails that were deferred.", {
    backoff: setting(
      listOf(duration(), "durations", "[5m, 15m]", 1, 4),
      ["5m", "15m", "45m", "2h"],
      "Waits before the second, third, fourth and fifth attempt; the last one repeats.",
    ),
    jitter: setting(
      ratio(0.5),
      0.2,
      "Share by which each wait is drawn longer or shorter, so that mails do not come back as a herd.",
    ),
    giveUpAfter: setting(
      duration(seconds(1), days(365)),
      "5d",
      "A mail still deferred so long after its first failure fails for good.",
    ),
  }),
  fill: section("How the recipients of a campaign enter the queue.", {
    page: setting(count(1, 10_000), 1000, "Recipients of one page."),
    pause: setting(duration(0), "50ms", "Pause between pages, for the web application's sake."),
    allTenants: setting(
      flag,
      false,
      "Without list and batch take every user's valid addresses, as the old system did, not the owner's alone.",
    ),
    guardWithoutUniqueKey: setting(
      flag,
      false,
      "Fill, guarded, although mail_blaster has no unique key on campaign and address.",
    ),
  }),
  suppression: section("Addresses that get nothing.", {
    maxAge: setting(duration(), "60s", "Oldest answer about an address that is still believed at send."),
    bounced: setting(flag, false, "Leave out addresses of bounced_emails too."),
  }),
  files: section("Attachments and inline images.", {
    roots: setting(
      listOf(path, "absolute paths", "[/srv/files]"),
      [],
      "Folders that files may come from; nothing else is ever read.",
    ),
    prefixes: setting(
      tableOf(path, "URL prefixes and absolute paths"),
      {},
      "Stored URL prefixes and the folder that each stands for.",
    ),
    maxFile: setting(size(1, 1024 * MB), "25MB", "Largest file."),
    maxMail: setting(size(1024, 1024 * MB), "35MB", "Largest mail, encoded."),
  }),
  merge: section("Merge fields.", {
    defaults: setting(tableOf(text, "field names and texts"), {}, "Values of fields that a recipient lacks."),
  }),
  compat: section("Ways of the old system.", {
    unescape: setting(
      flag,
      true,
      "Undo doubled escaping in stored subjects and bodies where its patterns are present.",
    ),
  }),
  unsubscribe: section("The List-Unsubscribe headers (RFC 8058); absent without url and mailto.", {
    url: optional(
      httpsUrl,
      "https://example.org/unsubscribe?to=[[Email]]",
      "HTTPS address of the one-click form; merge fields allowed.",
    ),
    mailto: optional(word, "unsubscribe@example.org", "Address that takes requests by mail."),
  }),
  takeover: section("Beside the old senders.", {
    staleProcessing: setting(
      oneOf("park", "release"),
      "park",
      "What becomes of mails that an old sender left in processing: park as unknown, or release to be sent (again).",
    ),
    staleAfter: setting(duration(seconds(1)), "15m", "A foreign processing mail untouched for so long is stale."),
    quietFor: setting(duration(), "5m", "After so long without sign of an old sender we send."),
    force: setting(flag, false, "Send although an old sender is seen; both may then send the same mail."),
  }),
  shutdown: section("The end.", {
    drain: setting(
      duration(0, hours(1)),
      "310s",
      "Longest wait for mails in flight; longer than smtp.timeouts.afterDot, or their outcome stays unknown.",
    ),
  }),
  log: section("The log.", {
    level: setting(
      oneOf("trace", "debug", "info", "warn", "error", "fatal"),
      "info",
      "Least important line that is written: info is campaigns, debug is mails.",
    ),
    file: optional(path, "/var/log/campaignd.log", "File to write to; standard output when absent."),
    addresses: setting(oneOf("masked", "full"), "masked", "Whether recipients' addresses are shown in full."),
  }),
};
