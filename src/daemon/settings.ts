import type { CatalogOptions } from "../campaign/catalog.js";
import type { Clock } from "../clock.js";
import type { Config } from "../config/config.js";
import type { SmtpAccount } from "../db/smtpAccounts.js";
import type { SessionTarget } from "../smtp/connection.js";
import type { SessionsOptions } from "../smtp/sessions.js";
import { nextHour, nextMidnight, zonedDate, zonedStamp } from "../zone.js";

/** How to reach an account's server, by the transport rules of contract §5. */
export function targetFor(account: SmtpAccount, config: Config): SessionTarget {
  const { smtp } = config;
  const allowed = smtp.clearLogin === "all" || smtp.clearLogin.includes(account.serverId);
  return {
    host: account.host,
    port: account.port,
    encryption: account.encryption,
    user: account.email,
    password: account.password,
    clearLogin: allowed || isLoopback(account.host),
    verify: smtp.tls.verify && !smtp.tls.insecure.includes(account.serverId),
    caFile: smtp.tls.caFile,
    heloName: smtp.heloName,
    timeouts: smtp.timeouts,
  };
}

/** A password to this very machine crosses no wire. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** The clock and calendar of `legacyZone`: what smtp_usage, end_time and the limits go by. */
export function legacyTime({ legacyZone }: Config, clock: Clock) {
  return {
    stamp: () => zonedStamp(clock.now(), legacyZone),
    hourAt: (at: number) => ({
      date: zonedStamp(at, legacyZone).slice(0, 10),
      hour: zonedDate(at, legacyZone).hour,
    }),
    nextHour: (at: number) => nextHour(at, legacyZone),
    nextDay: (at: number) => nextMidnight(at, legacyZone),
  };
}

/** How campaigns are read and composed. */
export function catalogRules(config: Config): Omit<CatalogOptions, "db" | "now"> {
  const { files, unsubscribe } = config;
  return {
    zone: config.legacyZone,
    unescaping: config.compat.unescape,
    defaults: config.merge.defaults,
    allTenants: config.fill.allTenants,
    files: { ...files, maxBytes: files.maxFile },
    maxMail: files.maxMail,
    unsubscribe: unsubscribe.url || unsubscribe.mailto ? unsubscribe : undefined,
  };
}

export function sessionLimits({ smtp }: Config): Omit<SessionsOptions, "clock"> {
  return {
    perAccount: smtp.maxConnectionsPerAccount,
    maxMessages: smtp.maxMessagesPerConnection,
    idleLimit: smtp.idleLimit,
  };
}
