import type { Config } from "../config.js";
import type { SmtpAccount } from "../db/smtpAccounts.js";
import type { SessionTarget } from "../smtp/session.js";

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
