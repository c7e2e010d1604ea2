import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { connect } from "node:net";
import { after } from "../clock.js";

/** What a running daemon says of itself. */
export interface Instance {
  readonly pid: number;
  /** Degraded: it runs, but something that it cannot mend itself holds sending back. */
  readonly state: "ok" | "degraded";
  readonly reasons: readonly string[];
}

const ANSWER_WITHIN = 1000;

/** The abstract unix socket that is stateDir's lock: the kernel frees it at death, so it is never stale. */
export function lockName(stateDir: string): string {
  const digest = createHash("sha256").update(realpathSync(stateDir)).digest("hex").slice(0, 32);
  return `\0campaignd-${digest}`;
}

/** Asks the daemon that uses this stateDir; undefined when none runs, never longer than a second. */
export function askInstance(stateDir: string): Promise<Instance | undefined> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(nameOf(stateDir));
    const cancel = after(ANSWER_WITHIN, () => socket.destroy());
    socket.setEncoding("utf8");
    socket.on("data", (piece: string) => {
      text += piece;
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      cancel();
      resolve(parse(text));
    });
  });
}

/** A folder that is not there has no daemon; its lock's name cannot be known, so none answers. */
function nameOf(stateDir: string): string {
  try {
    return lockName(stateDir);
  } catch {
    return "\0campaignd-none";
  }
}

function parse(text: string): Instance | undefined {
  if (text === "") return undefined;
  try {
    return JSON.parse(text) as Instance;
  } catch {
    return { pid: 0, state: "degraded", reasons: ["the running daemon gives no answer"] };
  }
}
