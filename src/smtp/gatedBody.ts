import { Readable } from "node:stream";

/** The last check before a mail can no longer be called back: resolves true to let the dot out. */
export type Gate = () => Promise<boolean>;

const TAIL = 16 * 1024;

/**
 * A mail body whose last piece waits for the gate.
 * nodemailer asks for the first byte only after the server's 354, so nothing flows before; what is held back is the end of the
 * body, without which no server can accept the mail.
 */
export class GatedBody extends Readable {
  private sent = 0;
  private asked = false;

  constructor(
    private readonly bytes: Buffer,
    private readonly gate: Gate,
    /** Called just before the last piece goes out: from here on the server may have the mail. */
    private readonly opened: () => void,
  ) {
    super();
  }

  override _read(): void {
    const hold = Math.max(0, this.bytes.length - TAIL);
    if (this.sent < hold) {
      const piece = this.bytes.subarray(this.sent, Math.min(hold, this.sent + 64 * 1024));
      this.sent += piece.length;
      this.push(piece);
      return;
    }
    if (this.asked) return;
    this.asked = true;
    this.gate().then(
      (open) => (open ? this.finish() : this.destroy(new Error("withheld"))),
      (error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))),
    );
  }

  private finish(): void {
    if (this.destroyed) return;
    this.opened();
    this.push(this.bytes.subarray(this.sent));
    this.push(null);
  }
}
