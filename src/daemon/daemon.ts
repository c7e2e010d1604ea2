import { Catalog } from "../campaign/catalog.js";
import { Suppression } from "../campaign/suppression.js";
import type { Clock } from "../clock.js";
import type { Config } from "../config.js";
import type { Server } from "../db/connect.js";
import { Pulse } from "../db/pulse.js";
import type { Probe } from "../db/schema.js";
import type { News } from "../events.js";
import { Interlock } from "../monitor/interlock.js";
import { Monitor } from "../monitor/monitor.js";
import type { Service } from "../service.js";
import { Rotation } from "../smtp/rotation.js";
import { Sessions } from "../smtp/sessions.js";
import { Accounts } from "../worker/accounts.js";
import type { Claim } from "../worker/batch.js";
import { Claimer } from "../worker/claimer.js";
import type { Conditions } from "../worker/conditions.js";
import { DueFeed } from "../worker/dueFeed.js";
import { fill } from "../worker/filler.js";
import { Leadership } from "../worker/leadership.js";
import { readAhead } from "../worker/readAhead.js";
import { Settler } from "../worker/settler.js";
import { Supervisor } from "../worker/supervisor.js";
import { survey } from "../worker/survey.js";
import { Worker } from "../worker/worker.js";
import { nextHour, nextMidnight, zonedDate, zonedStamp } from "../zone.js";
import type { StateDir } from "./stateDir.js";
import { targetFor } from "./target.js";

export interface DaemonParts {
  readonly config: Config;
  readonly clock: Clock;
  readonly news: News;
  readonly conditions: Conditions;
  readonly emailId: Server;
  readonly crm: Server;
  readonly probe: Probe;
  readonly stateDir: StateDir;
  /** Another daemon has led meanwhile: nothing that this one holds is its own, it must end. */
  readonly usurped: () => void;
}

/** The object graph on one page, in start order; services stop in reverse (design: daemon/). */
export function assemble(parts: DaemonParts): { services: Service[]; monitor: Monitor } {
  const { config, clock, news, conditions, emailId, crm, probe, stateDir } = parts;
  const zone = config.legacyZone;
  const hour = (at = clock.now()) => {
    const { hour: h } = zonedDate(at, zone);
    return { date: zonedStamp(at, zone).slice(0, 10), hour: h };
  };
  const stamp = () => zonedStamp(clock.now(), zone);
  const inFlight = new Map<number, Claim>();

  const leadership = new Leadership({
    ...config.lease, ...stateDir, news, clock, conditions, db: crm.db, pool: crm.pool,
    hour: () => ({ ...hour(), stamp: stamp() }),
    usurped: parts.usurped,
  });
  const rotation = new Rotation({
    ...config.accounts, now: clock.now, hourAt: hour,
    connections: config.smtp.maxConnectionsPerAccount, horizon: config.claim.horizon,
    nextHour: (at) => nextHour(at, zone), nextDay: (at) => nextMidnight(at, zone),
  });
  const sessions = new Sessions({
    clock, perAccount: config.smtp.maxConnectionsPerAccount, maxMessages: config.smtp.maxMessagesPerConnection, idleLimit: config.smtp.idleLimit,
  });
  const settler = new Settler({ ...config.settle, db: crm.db, news, clock, leadership, rotation, inFlight, stamp });
  const accounts = new Accounts({
    ...config.accounts, db: crm.db, clock, news, rotation, settler, leadership, hour,
    target: (account) => targetFor(account, config),
    opened: () => supervisor.nudge(),
  });
  const suppression = new Suppression({ ...config.suppression, db: emailId.db });
  const catalog = new Catalog({
    db: emailId.db, zone, now: clock.now, unescape: config.compat.unescape, defaults: config.merge.defaults, allTenants: config.fill.allTenants,
    files: { ...config.files, maxBytes: config.files.maxFile }, maxMail: config.files.maxMail,
    unsubscribe: config.unsubscribe.url || config.unsubscribe.mailto ? config.unsubscribe : undefined,
  });
  const due = new DueFeed({
    db: crm.db, clock, news, inFlight, campaigns: () => supervisor.campaigns(), arrived: (id) => supervisor.worker(id)?.nudge(),
  });
  let batches = 0;
  const hire = (campaignId: number, owner: number | undefined) =>
    new Worker(campaignId, {
      ...config.claim, news, clock, rotation, accounts, settler, leadership, conditions, due, inFlight, retry: config.retry,
      claimer: new Claimer(campaignId, {
        db: crm.db, news, clock, rotation, leadership, due, inFlight, pendingIndex: probe.pendingIndex,
        batchName: () => `${leadership.epoch}.${++batches}`,
        window: () => Math.max(2 * config.smtp.maxConnectionsPerAccount * Math.max(1, rotation.all().length), 32),
      }),
      delivery: { sessions, now: clock.now, account: (id) => accounts.get(id), rests: (claim) => claim.seat.account.restsUntil(clock.now()) !== 0 },
      load: () => catalog.load(campaignId, owner),
      survey: () => survey(crm.db, () => leadership.epoch, campaignId),
      fill: (campaign, stopped, inserted) =>
        fill(campaign, {
          ...config.fill, emailId: emailId.db, crm: crm.db, clock, suppression, epoch: () => leadership.epoch, uniqueKey: probe.uniqueRecipient,
        }, stopped, inserted),
      readAhead: (campaign, claims) => readAhead(campaign, claims, { catalog, suppression, clock, maxAge: config.suppression.maxAge }),
      hold: (reason) => monitor.hold(campaignId, reason),
      idle: () => monitor.nudge(),
    });
  const supervisor: Supervisor = new Supervisor({
    news,
    hire: (running) => hire(running.campaignId, running.userId),
    left: (running, worker) => monitor.left(running, worker),
  });
  const interlock = new Interlock({
    ...config.takeover, db: crm.db, clock, news, conditions, inFlight, epoch: () => leadership.epoch,
    staleAfter: Math.ceil(config.takeover.staleAfter / 1000),
    changed: (campaignId, ids) => {
      for (const id of ids) supervisor.worker(campaignId)?.tally?.inserted(id, 0);
    },
  });
  const monitor: Monitor = new Monitor({
    emailId: emailId.db, crm: crm.db, clock, news, conditions, leadership, supervisor, settler, interlock,
    cadence: config.monitor, blind: config.monitor.blind, stamp,
  });
  const closing: Service = { name: "smtp sessions", start: async () => undefined, stop: () => sessions.close(config.pool.drain) };
  const services = [new Pulse(emailId.db, clock), new Pulse(crm.db, clock), leadership, closing, settler, accounts, due, monitor];
  return { services, monitor };
}
