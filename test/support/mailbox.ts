import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import { after } from "../../src/clock.js";

/** A mail that the SMTP server accepted; a line of JSON in the mailbox file. */
export interface Mail {
  /** When its final dot arrived, milliseconds since 1970 UTC. */
  readonly at: number;
  /** The Message-ID header as written, with its angle brackets; "" without one. */
  readonly messageId: string;
  readonly from: string;
  readonly to: readonly string[];
  /** The login; "" where none was asked for. */
  readonly user: string;
  readonly port: "plain" | "starttls" | "tls";
  /** Bytes. */
  readonly size: number;
  /** The source as received, one character a byte (latin1). */
  readonly raw: string;
}

export interface Mailbox {
  readonly file: string;
  keep(mail: Mail): void;
  count(): number;
  /** Ends when every kept mail is in the file. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** How long a mail may be missing from the file; one write takes all mails of that time. Milliseconds. */
const WRITE_EVERY = 20;

/** Opens the file of accepted mails for appending. */
export async function openMailbox(file: string): Promise<Mailbox> {
  const handle = await open(file, "a", 0o600);
  let lines: string[] = [];
  let kept = 0;
  let writing = Promise.resolve();

  const flush = (): Promise<void> => {
    const batch = lines;
    lines = [];
    if (batch.length > 0) writing = writing.then(() => handle.appendFile(batch.join("")));
    return writing;
  };

  return {
    file,
    keep: (mail) => {
      kept += 1;
      if (lines.push(`${JSON.stringify(mail)}\n`) === 1) after(WRITE_EVERY, () => void flush());
    },
    count: () => kept,
    flush,
    close: async () => {
      await flush();
      await handle.close();
    },
  };
}

/** The mails of a mailbox file, oldest first. */
export async function readMailbox(file: string): Promise<Mail[]> {
  const mails: Mail[] = [];
  const lines = createInterface({ input: createReadStream(file, "utf8"), crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) {
    if (line !== "") mails.push(JSON.parse(line) as Mail);
  }
  return mails;
}
