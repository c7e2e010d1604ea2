import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import SMTPConnection from "nodemailer/lib/smtp-connection";
import { after } from "../clock.js";
import { describe } from "../errors.js";
import { classify, type Failure } from "./classify.js";
import { resolveHost } from "./resolve.js";
import type { Phase, Verdict } from "./verdict.js";

export interface Timeouts {
  readonly dns: number;
  readonly connect: number;
  readonly greeting: number;
  readonly command: number;
  readonly body: number;
  readonly afterDot: number;
}

/** How to reach and log in to one account's server. */
export interface SessionTarget {
  readonly host: string;
  readonly port: number;
  readonly encryption: "ssl" | "tls" | "";
  readonly user: string;
  readonly password: string;
  readonly clearLogin: boolean;
  readonly verify: boolean;
  readonly caFile?: string | undefined;
  readonly heloName?: string | undefined;
  readonly timeouts: Timeouts;
}

/** A failure to open a session, with its verdict. */
export class SessionRefused extends Error {
  constructor(readonly verdict: Verdict) {
    super(verdict.kind === "refused" ? verdict.reply : verdict.kind);
  }
}

/** A connection that is ready for mail: connected, encrypted as the account wants it, logged in where the server takes logins. */
export interface OpenConnection {
  readonly connection: SMTPConnection;
  /** The server offers no AUTH and is used without login. */
  readonly anonymous: boolean;
}

/** Opens one; throws SessionRefused with the verdict of whatever went wrong, and leaves no socket behind. */
export async function openConnection(target: SessionTarget): Promise<OpenConnection> {
  const connection = new SMTPConnection(optionsFor(target, await addressOf(target)));
  const { connect, greeting, command } = target.timeouts;
  let phase: Phase = "connect";
  let late: Failure | undefined;
  const cancel = after(connect + greeting + 4 * command, () => {
    late = { message: "no end of the handshake within its time", code: "ETIMEDOUT" };
    connection.close();
  });
  try {
    await answer((done) => connection.connect(done), connection);
    phase = "login";
    if (!connection.allowsAuth) return { connection, anonymous: true };
    if (!connection.secure && !target.clearLogin) throw clearLogin(target.host);
    await answer((done) => connection.login({ user: target.user, pass: target.password }, done), connection);
    return { connection, anonymous: false };
  } catch (error) {
    connection.on("error", () => undefined);
    connection.close();
    throw new SessionRefused(classify(late ?? (error as Failure), phase));
  } finally {
    cancel();
  }
}

function optionsFor(target: SessionTarget, address: string) {
  const { timeouts } = target;
  return {
    host: address,
    port: target.port,
    secure: target.encryption === "ssl",
    // '' encrypts when the server offers STARTTLS; a failed handshake is an error there too, never a fall-back (contract §5).
    requireTLS: target.encryption === "tls",
    ...(target.heloName ? { name: target.heloName } : {}),
    connectionTimeout: timeouts.connect,
    greetingTimeout: timeouts.greeting,
    socketTimeout: timeouts.command,
    socketCloseTimeout: 1000,
    maxResponseSize: 64 * 1024,
    tls: {
      minVersion: "TLSv1.2" as const,
      rejectUnauthorized: target.verify,
      ...(isIP(target.host) ? {} : { servername: target.host }),
      ...(target.caFile ? { ca: certificate(target.caFile) } : {}),
    },
  };
}

const certificates = new Map<string, string>();

function certificate(file: string): string {
  const known = certificates.get(file) ?? readFileSync(file, "utf8");
  certificates.set(file, known);
  return known;
}

function clearLogin(host: string): Failure {
  const message = `${host} offers no encryption and smtp.clearLogin does not allow a password in clear`;
  return { message, code: "EAUTH" };
}

async function addressOf(target: SessionTarget): Promise<string> {
  try {
    return await resolveHost(target.host, target.timeouts.dns);
  } catch (error) {
    const message = `${target.host} cannot be resolved: ${describe(error)}`;
    throw new SessionRefused(classify({ message, code: "EDNS" }, "connect"));
  }
}

/** Runs a step of the handshake; it fails too when the connection does. */
function answer(step: (done: (error?: Failure | null) => void) => void, connection: SMTPConnection): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Failure) => finish(() => reject(error));
    const gone = () => fail({ message: "connection closed during the handshake", code: "ECONNECTION" });
    const finish = (end: () => void) => {
      connection.removeListener("error", fail);
      connection.removeListener("end", gone);
      end();
    };
    connection.once("error", fail);
    connection.once("end", gone);
    step((error) => (error ? fail(error) : finish(resolve)));
  });
}
