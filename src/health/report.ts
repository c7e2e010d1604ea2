import type { Config } from "../config/config.js";
import type { ServerFindings } from "./checks.js";
import type { Instance } from "./instance.js";

export type Mark = "ok" | "warning" | "bad";

export interface Line {
  readonly mark: Mark;
  readonly text: string;
}

export interface HealthReport {
  /** The six lines that operators know, in their order (contract §9). */
  readonly lines: readonly Line[];
  /** What is wrong or worth knowing, in words. */
  readonly words: readonly string[];
  /** 2 when Server 2 or both cannot be reached, 1 when anything else is bad or the daemon is degraded, else 0. */
  readonly exitCode: 0 | 1 | 2;
}

export interface Findings {
  readonly emailId: ServerFindings;
  readonly crm: ServerFindings;
  readonly cache: { readonly ms: number } | { readonly fault: string };
  readonly instance: Instance | undefined;
  readonly leader: { readonly owner: string; readonly seconds: number } | undefined;
}

const SLOW_CONNECT = 1000;
const SLOW_LOOK = 500;
const CLOCK_TOLERANCE = 2000;

/** Turns what was measured into lines, words and an exit code; pure. */
export function report(found: Findings, config: Config): HealthReport {
  const servers = [
    { title: "Server 1 (email_id)", findings: found.emailId },
    { title: "Server 2 (CRM)", findings: found.crm },
  ];
  const words: string[] = [];
  const lines = [
    ...servers.map(({ title, findings }) => connected(title, findings, words)),
    poolLine(servers, words),
    cacheLine(found, words),
    lookLine(servers, words),
    limitsLine(servers, config, words),
  ];
  clocks(servers, config, words);
  const degraded = daemon(found, words);
  return { lines, words, exitCode: exitCode(found, lines, degraded) };
}

type Titled = readonly { readonly title: string; readonly findings: ServerFindings }[];

function connected(title: string, { connectedMs, fault }: ServerFindings, words: string[]): Line {
  if (connectedMs === undefined) {
    words.push(`${title}: ${fault ?? "not asked"}`);
    return { mark: "bad", text: `${title} not connected` };
  }
  if (connectedMs > SLOW_CONNECT) words.push(`${title} is slow to connect: look at the network between`);
  return { mark: connectedMs > SLOW_CONNECT ? "warning" : "ok", text: `${title} connected in ${seconds(connectedMs)}` };
}

function poolLine(servers: Titled, words: string[]): Line {
  const lent = servers.flatMap(({ findings }) => findings.pool ?? []);
  const good = lent.filter((pool) => pool.created === 1 && pool.inUse === 0);
  if (good.length < lent.length) words.push("a connection was not given back or not used again");
  const ms = lent.reduce((sum, pool) => sum + pool.ms, 0);
  const figure = `(lent and returned 3 times on each of ${lent.length} servers in ${seconds(ms)})`;
  return lineOf(lent.length, servers.length, good.length === lent.length, `Connection pool working ${figure}`);
}

function cacheLine({ cache }: Findings, words: string[]): Line {
  if ("ms" in cache)
    return { mark: "ok", text: `Cache system working (an entry was kept, and expired after ${seconds(cache.ms)})` };
  words.push(`cache: ${cache.fault}`);
  return { mark: "bad", text: "Cache system not working" };
}

function lookLine(servers: Titled, words: string[]): Line {
  const looks = servers.filter(({ findings }) => findings.lookMs !== undefined);
  const slow = looks.filter(({ findings }) => (findings.lookMs ?? 0) > SLOW_LOOK);
  for (const { title, findings } of slow) {
    words.push(`${title} took ${seconds(findings.lookMs ?? 0)} for a small look: it is loaded, or an index is missing`);
  }
  const figures = looks.map(({ title, findings }) => `${title} ${seconds(findings.lookMs ?? 0)}`).join(", ");
  const line = lineOf(looks.length, servers.length, true, `Query performance acceptable (${figures})`);
  return slow.length > 0 && line.mark === "ok" ? { ...line, mark: "warning" } : line;
}

function limitsLine(servers: Titled, { pool }: Config, words: string[]): Line {
  const wanted = [pool.lockWait, pool.sessionTimeout, pool.netTimeout, pool.netTimeout].map((ms) => ms / 1000);
  const read = servers.filter(({ findings }) => findings.limits !== undefined);
  let right = true;
  for (const { title, findings } of read) {
    const { lockWait = 0, wait = 0, netRead = 0, netWrite = 0 } = findings.limits ?? {};
    if ([lockWait, wait, netRead, netWrite].every((value, i) => value === wanted[i])) continue;
    right = false;
    words.push(
      `${title} has lock/wait/net time-outs ${lockWait}/${wait}/${netRead}/${netWrite} s instead of ${wanted.join("/")} s`,
    );
  }
  return lineOf(read.length, servers.length, right, `Lock timeouts configured correctly (lock wait ${wanted[0]}s)`);
}

/** A line over both servers: bad when it is wrong or nothing was measured, a warning when one server was not. */
function lineOf(measured: number, all: number, right: boolean, text: string): Line {
  if (measured === 0) return { mark: "bad", text: `${text.split(" (")[0]}: not measured` };
  return { mark: right ? (measured < all ? "warning" : "ok") : "bad", text };
}

function clocks(servers: Titled, { legacyZone }: Config, words: string[]): void {
  for (const { title, findings } of servers) {
    if (!findings.clock) continue;
    const { differenceMs, zone, offsetMinutes } = findings.clock;
    if (Math.abs(differenceMs) > CLOCK_TOLERANCE) {
      words.push(`${title}: its clock differs from this host's by ${seconds(differenceMs)}; synchronise both (NTP)`);
    }
    words.push(
      `${title}: zone ${zone} (UTC${offset(offsetMinutes)}); times for the web application are written in ${legacyZone}`,
    );
  }
}

function offset(minutes: number): string {
  const abs = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${String(Math.floor(abs / 60)).padStart(2, "0")}:${String(abs % 60).padStart(2, "0")}`;
}

function daemon({ instance, leader }: Findings, words: string[]): boolean {
  if (!instance) words.push("campaignd is not running with this stateDir");
  else words.push(`campaignd is running (pid ${instance.pid}), ${instance.state}`, ...instance.reasons);
  if (!instance && leader && leader.seconds > 0) {
    words.push(`the queue is led by ${leader.owner} for another ${leader.seconds} s`);
  }
  return instance?.state === "degraded";
}

function exitCode(found: Findings, lines: readonly Line[], degraded: boolean): 0 | 1 | 2 {
  if (found.crm.connectedMs === undefined) return 2;
  return degraded || lines.some((line) => line.mark === "bad") ? 1 : 0;
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(3)}s`;
