import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { aMail } from "../support/builders.js";
import { aListCampaign, anOwner, freshScene } from "../support/campaignScene.js";
import { startDaemon } from "../support/daemon.js";
import { projectRoot } from "../support/projectRoot.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";

let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await startSandbox();
});
afterAll(() => sandbox.stop());
beforeEach(async () => {
  await freshScene(sandbox);
});

async function health(): Promise<{ code: number; out: string }> {
  const program = join(projectRoot(), "dist/cli/main.js");
  const args = [program, "health", "--config", sandbox.configFile];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece) => (out += String(piece)));
  const [code] = await once(child, "close");
  return { code: code as number, out };
}

describe("campaignd health beside a running daemon", () => {
  it("says its process id and that it is well, and afterwards that none runs", async () => {
    const daemon = await startDaemon(sandbox);
    await daemon.news.next("lease:taken");
    const { code, out } = await health();
    expect(out).toContain(`campaignd is running (pid ${daemon.pid}), ok`);
    expect(code).toBe(0);
    expect((await daemon.term()).code).toBe(0);
    expect((await health()).out).toContain("campaignd is not running with this stateDir");
  });

  it("says why it is degraded and exits 1 while a legacy sender is alive, and 0 once it is gone", async () => {
    const { owner } = await anOwner(sandbox);
    const { campaign } = await aListCampaign(sandbox, { owner, addresses: [] });
    const row = await aMail(sandbox, { campaign, status: "processing" });
    const daemon = await startDaemon(sandbox, { takeover: { quietFor: "8s" } });
    await daemon.news.next("legacy:seen");
    const ill = await health();
    expect(ill.out).toContain(`campaignd is running (pid ${daemon.pid}), degraded`);
    expect(ill.out).toMatch(new RegExp(`a legacy sender is alive \\(mail ${row} turned processing \\d+ s ago`));
    expect(ill.code).toBe(1);
    await sandbox.s2("UPDATE mail_blaster SET status = 'success', attempt_count = 1 WHERE id = ?", [row]);
    await daemon.news.next("legacy:gone");
    const well = await health();
    expect(well.out).toContain(`campaignd is running (pid ${daemon.pid}), ok`);
    expect(well.code).toBe(0);
    expect((await daemon.term()).code).toBe(0);
  });
});
