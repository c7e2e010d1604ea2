import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, seconds } from "../../src/clock.js";
import { readMailbox } from "./mailbox.js";
import { projectRoot } from "./projectRoot.js";
import type { SmtpServer, SmtpServerOptions } from "./smtpServer.js";
import type { FromChild } from "./smtpServerChild.js";

export type SpawnOptions = Omit<SmtpServerOptions, "password">;

/** Starts the SMTP server as a process of its own, so that it costs the measured process nothing; it ends with us. */
export async function spawnSmtpServer(options: SpawnOptions): Promise<SmtpServer> {
  const file = join(projectRoot(), "build/test/support/smtpServerChild.js");
  if (!existsSync(file)) throw new Error(`${file} is missing: npm run build:tools`);
  const child = fork(file, [JSON.stringify(options)], {
    detached: true, // a terminal's Ctrl-C is for the owner; the child ends when its channel to us closes
    execArgv: [],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const exited = once(child, "exit");
  const [first] = (await Promise.race([once(child, "message"), exited])) as [FromChild | number | null];
  if (typeof first !== "object" || first === null || !("facts" in first))
    throw new Error("the SMTP server did not start");
  letOwnerExit(child);

  const count = () => askCount(child);
  return {
    ...first.facts,
    count,
    mails: async () => {
      await count();
      return readMailbox(first.facts.mailbox);
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.ref();
      if (child.connected) child.disconnect();
      const giveUp = after(seconds(5), () => child.kill("SIGKILL"));
      await exited;
      giveUp();
    },
  };
}

/** The child writes what is still in its memory before it answers, so the file is complete then. */
async function askCount(child: ChildProcess): Promise<number> {
  if (!child.connected) throw new Error("the SMTP server has ended");
  child.channel?.ref();
  const heard = new Promise<number>((resolve, reject) => {
    const ended = () => reject(new Error("the SMTP server has ended"));
    child.once("disconnect", ended);
    child.once("message", (message: FromChild) => {
      child.off("disconnect", ended);
      if ("count" in message) resolve(message.count);
    });
  });
  child.send("count");
  return heard.finally(() => letOwnerExit(child));
}

function letOwnerExit(child: ChildProcess): void {
  child.unref();
  child.channel?.unref();
}
