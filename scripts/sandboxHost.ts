import { mkdir, rm, rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe } from "../src/errors.js";
import { type Sandbox, startSandbox } from "../test/support/sandbox.js";
import { createRecord, RECORD_FILE, replaceRecord } from "./sandboxRecord.js";

await host(resolve(process.argv[2] ?? ""));

/** Owns the servers of one folder from `sandbox up` to `sandbox down`; they end with it, however it ends. */
async function host(dir: string): Promise<void> {
  const orphaned = new Promise<"orphaned">((done) => process.once("disconnect", () => done("orphaned")));
  const kept = new Promise<"kept">((done) => process.once("message", () => done("kept")));
  const told = new Promise<void>((done) => process.once("SIGTERM", done));
  const madeFolder = (await mkdir(dir, { recursive: true, mode: 0o700 })) !== undefined;
  const forget = async () => {
    await rm(join(dir, RECORD_FILE), { force: true });
    if (madeFolder) await rmdir(dir).catch(() => undefined);
  };
  let sandbox: Sandbox;
  try {
    await createRecord(dir, { host: process.pid, pids: [], madeFolder });
    sandbox = await startSandbox({ dir }).catch(async (error: unknown) => {
      await forget();
      throw error;
    });
  } catch (error) {
    process.send?.(describe(error), undefined, undefined, () => process.disconnect?.());
    return;
  }

  const { emailId, crm, smtp } = sandbox;
  const pids = [emailId.pid, crm.pid, smtp.pid];
  await replaceRecord(dir, { host: process.pid, pids, madeFolder, env: sandbox.env() });
  process.send?.("ready", undefined, undefined, () => undefined);
  if ((await Promise.race([kept, orphaned])) === "orphaned") {
    await sandbox.stop();
    return forget();
  }
  process.disconnect?.();
  const alive = setInterval(() => undefined, 2 ** 30); // a promise alone keeps no process alive
  await told;
  clearInterval(alive);
  await sandbox.stop({ keepFiles: true }); // `sandbox down` removes them when every process is gone
}
