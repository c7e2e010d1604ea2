import { afterEach } from "vitest";
import { SessionRefused, type SessionTarget, type Timeouts } from "../../src/smtp/connection.js";
import type { Gate } from "../../src/smtp/gatedBody.js";
import { Session } from "../../src/smtp/session.js";
import type { Verdict } from "../../src/smtp/verdict.js";
import { deferred } from "./deferred.js";
import { type RawSmtpOptions, type RawSmtpServer, startRawSmtpServer } from "./rawSmtpServer.js";

export const PATIENT: Timeouts = {
  dns: 5000,
  connect: 5000,
  greeting: 5000,
  command: 5000,
  body: 5000,
  afterDot: 5000,
};
/** Deadlines that a test can wait for. */
export const HASTY: Timeouts = { dns: 200, connect: 200, greeting: 200, command: 200, body: 200, afterDot: 200 };

/** The login and the sender of every session here. */
export const user = "sender@sender.example";
export const small = Buffer.from("Subject: Hello\r\n\r\nHello.\r\n");
/** Longer than what is held back for the gate, so that its beginning is on the wire while the gate is asked. */
export const large = Buffer.from(`Subject: Hello\r\n\r\n${"0123456789abcdef\r\n".repeat(10_000)}The end.\r\n`);

export const open: Gate = async () => true;
export const envelope = (to: string) => ({ from: user, to });

export const send = (session: Session, to: string, mail = small, gate = open): Promise<Verdict> =>
  session.send(envelope(to), mail, gate, new AbortController().signal);

/** Sessions and raw servers of one test file; whatever it opens ends with the test. */
export function sessions(usualPort: () => number = () => 0) {
  const endings: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const end of endings.splice(0).reverse()) await end();
  });

  const target = (over: Partial<SessionTarget>): SessionTarget => {
    const usual = { host: "127.0.0.1", port: usualPort(), encryption: "", user, password: `pw-${user}` } as const;
    return { ...usual, clearLogin: true, verify: true, timeouts: PATIENT, ...over };
  };

  return {
    /** A session that is ready for mail. */
    login: async (over: Partial<SessionTarget> = {}): Promise<Session> => {
      const session = await Session.open(target(over), 0);
      endings.push(() => session.close());
      return session;
    },

    /** Why no session can be opened; throws when one can. */
    refusal: async (over: Partial<SessionTarget>): Promise<Verdict> => {
      const refused = await Session.open(target(over), 0).then(
        (session) => session.close(),
        (error: unknown) => error,
      );
      if (refused instanceof SessionRefused) return refused.verdict;
      throw new Error("the session was opened, or failed for another reason", { cause: refused });
    },

    serve: async (options: RawSmtpOptions = {}): Promise<RawSmtpServer> => {
      const raw = await startRawSmtpServer(options);
      endings.push(() => raw.stop());
      return raw;
    },

    /** A gate whose answer comes only when the test is over: what happens meanwhile happens before the dot. */
    shutUntilTheEnd: (): Gate => {
      const answer = deferred<boolean>();
      endings.push(async () => answer.resolve(false));
      return () => answer.promise;
    },
  };
}
