import { readFile } from "node:fs/promises";
import { expect } from "vitest";
import { systemClock } from "../../src/clock.js";
import { expectBooksToAgree, rowsOf } from "../support/books.js";
import { aListCampaign, anOwner, freshScene, type Scene } from "../support/campaignScene.js";
import { type Daemon, startDaemon } from "../support/daemon.js";
import { type FaultProxy, startFaultProxy } from "../support/faultProxy.js";
import { watchHighest } from "../support/looks.js";
import { type Sandbox, type SandboxOptions, startSandbox } from "../support/sandbox.js";
import type { SandboxSettings } from "../support/sandboxConfig.js";
import { LOGIN } from "../support/sandboxDatabases.js";
import { until } from "../support/until.js";
import { timing } from "./timing.js";

/** Both servers behind fault proxies, for the tests of one file. */
export interface FaultBench {
  readonly sandbox: Sandbox;
  readonly emailId: FaultProxy;
  readonly crm: FaultProxy;
  stop(): Promise<void>;
}

export async function startFaultBench(options: SandboxOptions = {}): Promise<FaultBench> {
  const sandbox = await startSandbox(options);
  const [emailId, crm] = await Promise.all([startFaultProxy(sandbox.emailId), startFaultProxy(sandbox.crm)]);
  const stop = async () => {
    await Promise.all([emailId.stop(), crm.stop()]);
    await sandbox.stop();
  };
  return { sandbox, emailId, crm, stop };
}

export interface RunOptions {
  readonly addresses?: readonly string[] | number;
  readonly settings?: SandboxSettings;
  /** Done on the fresh databases before the daemon starts. */
  readonly before?: (scene: Scene) => Promise<unknown>;
  /** Most connections that each server may see of us. */
  readonly share?: { readonly emailId: number; readonly crm: number };
}

/** One campaign, one daemon, and what must be true of both at the end. */
export interface FaultRun {
  readonly campaign: number;
  readonly daemon: Daemon;
  /** Ends when mails go out: a few more than when it was called. */
  sending(): Promise<void>;
  /** Mails at the SMTP server since the start. */
  arrived(): Promise<number>;
  /** Call when the fault is over: ends when mails go out again or all are sent; fails when that takes too long. */
  recovers(): Promise<void>;
  /** Ends when the campaign is complete, and checks everything: each mail once, books, share, log, exit. */
  completes(expected?: { readonly failed?: number }): Promise<void>;
  /** Lines that say warning or error, by event. */
  complaints(): Record<string, number>;
  /** The daemon's resident memory, bytes. */
  memory(): Promise<number>;
}

/** Fresh databases, a campaign of mails that take a tenth of a second each, and the daemon behind the proxies. */
export async function startRun(bench: FaultBench, options: RunOptions = {}): Promise<FaultRun> {
  const { sandbox } = bench;
  const scene = await freshScene(sandbox);
  const { owner } = await anOwner(sandbox, { accounts: 4 });
  const { addresses = timing.mails } = options;
  const list = typeof addresses === "number" ? someAddresses(addresses) : addresses;
  const { campaign } = await aListCampaign(sandbox, { owner, addresses: list });
  await options.before?.(scene);
  const daemon = await startDaemon(sandbox, settingsOf(bench, options.settings));
  const share = options.share ?? { emailId: 3, crm: 20 };
  const highest = {
    emailId: watchHighest(() => threads(sandbox, "emailId")),
    crm: watchHighest(() => threads(sandbox, "crm")),
  };

  const patiently = (what: string, look: () => Promise<boolean>) =>
    until(what, look, timing.recovery).catch((error: Error) => {
      const said = daemon.news.lines.filter(({ level }) => level > 20).slice(-15);
      throw new Error(
        `${error.message}; the daemon said last:\n${said.map((line) => JSON.stringify(line)).join("\n")}`,
      );
    });
  const arrived = async () => (await scene.mails()).length;
  const sending = async () => {
    const enough = Math.min((await arrived()) + 20, list.length);
    await patiently("mails to go out", async () => (await arrived()) >= enough);
  };
  const complaints = () => {
    const counts: Record<string, number> = {};
    for (const { event, level } of daemon.news.lines) if (level >= 40) counts[event] = (counts[event] ?? 0) + 1;
    return counts;
  };
  return {
    campaign,
    daemon,
    sending,
    arrived,
    recovers: async () => {
      const [before, from] = [await arrived(), systemClock.monotonic()];
      const more = async () => {
        const now = await arrived();
        return now >= Math.min(before + 10, list.length) || now === list.length;
      };
      await patiently("mails to go out again", more);
      expect(systemClock.monotonic() - from).toBeLessThan(timing.recovery);
    },
    completes: async ({ failed = 0 } = {}) => {
      await daemon.news.next("campaign:completed", () => true, timing.test / 2);
      const rows = await rowsOf(sandbox, campaign);
      const sent = rows.filter((row) => row.status === "success");
      const parked = rows.filter((row) => /^\[UNKNOWN\]/.test(row.error_message ?? ""));
      expect({ rows: rows.length, sent: sent.length, parked: parked.length }).toEqual({
        rows: list.length,
        sent: list.length - failed,
        parked: 0,
      });
      const mails = await scene.mails();
      expect(new Set(mails.map(({ to }) => to[0])).size, "a mail for each address").toBe(mails.length);
      await expectBooksToAgree(sandbox, mails);
      const said = complaints();
      const words = Object.values(said).reduce((sum, count) => sum + count, 0);
      expect(words, `warnings and errors: ${JSON.stringify(said)}`).toBeLessThanOrEqual(
        WORDS * (1 + (said["db:lost"] ?? 0)),
      );
      const exit = await daemon.term();
      expect(exit).toMatchObject({ code: 0, stderr: "" });
      await daemon.assertCleanTermination();
      expect(await highest.emailId.end(), "connections to Server 1").toBeLessThanOrEqual(share.emailId);
      expect(await highest.crm.end(), "connections to Server 2").toBeLessThanOrEqual(share.crm);
    },
    complaints,
    memory: async () => {
      const status = await readFile(`/proc/${daemon.pid}/status`, "utf8");
      return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1024;
    },
  };
}

/** Lines of warning that an outage may cost, however long it lasts. */
const WORDS = 8;

/** A fault that lasts for an outage. */
export const outage = (): Promise<void> => systemClock.sleep(timing.outage);

function settingsOf({ emailId, crm }: FaultBench, more: SandboxSettings = {}): SandboxSettings {
  const servers = { emailId: { port: emailId.port }, crm: { port: crm.port } };
  const merged: Record<string, SandboxSettings[string]> = { ...timing.settings, servers };
  for (const [key, value] of Object.entries(more)) {
    const section = merged[key];
    merged[key] =
      typeof section === "object" && typeof value === "object" && !Array.isArray(value)
        ? { ...section, ...value }
        : value;
  }
  return merged;
}

/** Our threads on a server; the last answer while it cannot be asked. */
async function threads(sandbox: Sandbox, server: "emailId" | "crm"): Promise<number> {
  const ask = server === "crm" ? sandbox.s2 : sandbox.s1;
  const sql = "SELECT COUNT(*) AS n FROM information_schema.PROCESSLIST WHERE USER = ?";
  const rows = await ask<{ n: number }>(sql, [LOGIN]).catch(() => []);
  return Number(rows[0]?.n ?? 0);
}

let made = 0;

function someAddresses(count: number): string[] {
  return Array.from({ length: count }, () => `slow-100ms.${++made}@recipients.example`);
}
