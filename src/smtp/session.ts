import type SMTPConnection from "nodemailer/lib/smtp-connection";
import { after } from "../clock.js";
import { classify, type Failure } from "./classify.js";
import { openConnection, type SessionTarget } from "./connection.js";
import { type Gate, GatedBody } from "./gatedBody.js";
import type { Phase, Verdict } from "./verdict.js";

export interface Envelope {
  readonly from: string;
  readonly to: string;
}

type Outcome = { error: Failure } | { reply: string };

/**
 * One logged-in SMTP connection of one account: sends a mail at a time, phase by phase, and knows at every instant whether the
 * server may have the mail (RFC 5321 §4.5.3.2 for the deadlines; the one after the dot is long, because a short one doubles mail).
 */
export class Session {
  private alive = true;
  private sent = 0;
  /** No byte of the present mail's body has been asked for. */
  private untouched = true;
  private lost: ((error: Failure) => void) | undefined;

  private constructor(
    private readonly connection: SMTPConnection,
    private readonly target: SessionTarget,
    /** The server offers no AUTH and is used without login. */
    readonly anonymous: boolean,
    /** When it last had something to do, by the caller's clock. */
    public lastUsed: number,
  ) {
    connection.on("error", (error: Failure) => this.end(error));
    connection.on("end", () => {
      this.alive = false;
      // A 421 ends the connection before nodemailer hands its reply to the mail under way: the reply goes first.
      queueMicrotask(() => this.end({ message: "connection closed by the server", code: "ECONNECTION" }));
    });
  }

  /** Connects, encrypts and logs in; throws SessionRefused. */
  static async open(target: SessionTarget, now: number): Promise<Session> {
    const { connection, anonymous } = await openConnection(target);
    return new Session(connection, target, anonymous, now);
  }

  get usable(): boolean {
    return this.alive;
  }

  get messages(): number {
    return this.sent;
  }

  /** Whether the server takes addresses beyond ASCII (RFC 6531); nodemailer would send them raw to any server. */
  get takesUtf8(): boolean {
    return this.extensions.includes("SMTPUTF8");
  }

  /**
   * Sends one mail. The gate is asked after the 354, right before the end of the body; `abort` closes the connection when the
   * mail has not come that far, and does nothing afterwards: what is in flight lands.
   */
  async send(envelope: Envelope, mail: Buffer, gate: Gate, abort: AbortSignal): Promise<Verdict> {
    const at: { phase: Phase } = { phase: "envelope" };
    let withheld = false;
    let deadline = after(this.budget(), () => this.cut("no end of the mail within its time"));
    const guarded: Gate = async () => {
      at.phase = "body";
      this.untouched = false;
      // A gate that throws stays shut; a connection that is lost while it is asked is still the connection's fault.
      const open = !abort.aborted && (await gate().catch(() => false));
      withheld = !open;
      return open;
    };
    const body = new GatedBody(mail, guarded, () => {
      at.phase = "dot";
      deadline();
      deadline = after(this.target.timeouts.afterDot, () => this.cut("no reply after the final dot within its time"));
      this.socket?.setTimeout(this.target.timeouts.afterDot + 1000);
    });
    const aborted = () => {
      if (at.phase === "dot") return;
      withheld = true;
      this.cut("stopped before the final dot");
    };
    abort.addEventListener("abort", aborted, { once: true });
    this.sent += 1;
    this.untouched = true;
    const outcome = abort.aborted
      ? { error: { message: "stopped" } }
      : await this.transmit(envelope, body, mail.length);
    abort.removeEventListener("abort", aborted);
    deadline();
    if (abort.aborted && at.phase !== "dot") withheld = true;
    this.socket?.setTimeout(this.target.timeouts.command);
    if ("reply" in outcome && at.phase === "dot") return { kind: "accepted", reply: outcome.reply.slice(0, 300) };
    body.destroy();
    // A 250 to half a mail accepts nothing.
    const early = { message: "the server answered before the end of the mail", code: "EPROTOCOL" };
    return this.judge("error" in outcome ? outcome.error : early, at.phase, withheld);
  }

  /**
   * Did a kept session turn out to be dead before any of this mail's body went out? Then a fresh one may try the same mail:
   * servers close idle sessions, and that is nobody's fault.
   */
  wentStale(verdict: Verdict): boolean {
    const closed = verdict.kind === "refused" && (verdict.class === "connect" || verdict.class === "rate");
    return closed && this.sent > 1 && this.untouched;
  }

  /** Says QUIT when the connection still stands; never rejects. */
  async close(): Promise<void> {
    if (!this.alive) return;
    this.alive = false;
    const gone = new Promise<void>((resolve) => this.connection.once("end", resolve));
    this.connection.quit();
    const cancel = after(1000, () => this.connection.close());
    await gone;
    cancel();
  }

  private async judge(error: Failure, phase: Phase, withheld: boolean): Promise<Verdict> {
    if (withheld) {
      // DATA is open on this connection: only closing it keeps the mail unsent.
      this.cut("withheld");
      return { kind: "withheld", reason: "the gate is closed" };
    }
    const verdict = classify(error, phase);
    // In mid-body a command would only be more text of the mail.
    if (phase !== "body" && (verdict.kind === "deferred" || verdict.kind === "rejected")) await this.reset();
    else this.cut("after a fault");
    return verdict;
  }

  /** A refused recipient leaves the transaction open; RSET makes the connection fit for the next mail. */
  private async reset(): Promise<void> {
    if (!this.alive) return;
    const outcome = await this.race((done) =>
      this.connection.reset((error) => done(error ? { error } : { reply: "" })),
    );
    if ("error" in outcome) this.cut("RSET failed");
  }

  private transmit(envelope: Envelope, body: GatedBody, size: number): Promise<Outcome> {
    return this.race((done) =>
      this.connection.send({ from: envelope.from, to: [envelope.to], size }, body, (error, info) =>
        done(error ? { error } : { reply: info?.response ?? "" }),
      ),
    );
  }

  /** Ends with the answer or with the loss of the connection, whichever comes first. */
  private race(start: (done: (outcome: Outcome) => void) => void): Promise<Outcome> {
    return new Promise((resolve) => {
      if (!this.alive) return resolve({ error: { message: "connection is closed", code: "ECONNECTION" } });
      this.lost = (error) => resolve({ error });
      start(resolve);
    });
  }

  private budget(): number {
    const { command, body } = this.target.timeouts;
    return 4 * command + body;
  }

  private cut(why: string): void {
    this.end({ message: why, code: "ETIMEDOUT" });
    this.connection.close();
  }

  private end(error: Failure): void {
    this.alive = false;
    this.lost?.(error);
    this.lost = undefined;
  }

  private get socket() {
    return this.connection._socket || undefined;
  }

  private get extensions(): readonly string[] {
    return (this.connection as unknown as { _supportedExtensions?: string[] })._supportedExtensions ?? [];
  }
}
