import { Catalog } from "../campaign/catalog.js";
import { Suppression } from "../campaign/suppression.js";
import type { Clock } from "../clock.js";
import type { Config } from "../config/config.js";
import type { Running } from "../db/campaigns.js";
import type { Server } from "../db/connect.js";
import type { Probe } from "../db/schema.js";
import type { News } from "../events.js";
import { Interlock } from "../monitor/interlock.js";
import { Monitor } from "../monitor/monitor.js";
import { Reporter } from "../monitor/reporter.js";
import type { Service } from "../service.js";
import { Rotation } from "../smtp/rotation.js";
import { Sessions } from "../smtp/sessions.js";
import { Accounts } from "../worker/accounts.js";
import type { Claim } from "../worker/batch.js";
import { Carrier } from "../worker/carrier.js";
import { Claimer } from "../worker/claimer.js";
import type { Conditions } from "../worker/conditions.js";
import { DueFeed } from "../worker/dueFeed.js";
import { fill } from "../worker/filler.js";
import { Leadership } from "../worker/leadership.js";
import { Pace } from "../worker/pace.js";
import { readAhead } from "../worker/readAhead.js";
import { Settler } from "../worker/settler.js";
import { Supervisor } from "../worker/supervisor.js";
import { survey } from "../worker/survey.js";
import { Worker } from "../worker/worker.js";
import { catalogRules, legacyTime, sessionLimits, targetFor } from "./settings.js";
import type { StateDir } from "./stateDir.js";

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

/** The object graph on one page, in start order; services stop in reverse. */
export function assemble(parts: DaemonParts): { services: Service[]; monitor: Monitor } {
  const { config, clock, news, conditions, emailId, crm, probe, stateDir } = parts;
  const time = legacyTime(config, clock);
  const inFlight = new Map<number, Claim>();
  const base = { news, clock, conditions, inFlight, db: crm.db, crm: crm.db, emailId: emailId.db, stamp: time.stamp };
  const now = () => clock.now();

  const leadership = new Leadership({
    ...base,
    ...config.lease,
    ...stateDir,
    pool: crm.pool,
    hour: () => ({ ...time.hourAt(now()), stamp: time.stamp() }),
    usurped: parts.usurped,
  });
  const epoch = () => leadership.epoch;
  const connections = config.smtp.maxConnectionsPerAccount;
  const rotation = new Rotation({ ...config.accounts, ...time, now, connections, horizon: config.claim.horizon });
  const sessions = new Sessions({
    ...sessionLimits(config),
    clock,
    anonymous: (target) => accounts.anonymous(target),
  });
  const settler = new Settler({ ...base, ...config.settle, leadership, rotation });
  const accounts: Accounts = new Accounts({
    ...base,
    ...config.accounts,
    rotation,
    settler,
    leadership,
    hour: () => time.hourAt(now()),
    target: (account) => targetFor(account, config),
    opened: () => supervisor.nudge(),
  });
  const suppression = new Suppression({ ...config.suppression, db: emailId.db });
  const catalog = new Catalog({ ...catalogRules(config), db: emailId.db, now });
  const due = new DueFeed({
    ...base,
    campaigns: () => supervisor.campaigns(),
    arrived: (campaignId) => supervisor.worker(campaignId)?.nudge(),
  });
  const delivery = { sessions, now, account: (id: number) => accounts.get(id), rests };
  const ahead = { catalog, suppression, clock, maxAge: config.suppression.maxAge };
  const carrier = new Carrier({
    ...base,
    rotation,
    accounts,
    settler,
    leadership,
    delivery,
    retry: config.retry,
    readAhead: (campaign, claims) => readAhead(campaign, claims, ahead),
  });
  let batches = 0;
  const claims = {
    ...base,
    rotation,
    leadership,
    due,
    pendingIndex: probe.pendingIndex,
    batchName: () => `${leadership.epoch}.${++batches}`,
    window: (markMs: number) => {
      // As many as may start at once, or as are sent while a mark travels; every row more is one more to park after a kill.
      const { busy, rate } = rotation.pace();
      return Math.ceil(Math.max(2 * connections * busy, (1.5 * rate * markMs) / 1000, SMALLEST_WINDOW));
    },
  };
  const { uniqueRecipient: uniqueKey, wideAddresses } = probe;
  const filling = { ...base, ...config.fill, suppression, epoch, uniqueKey, wideAddresses };
  const hire = ({ campaignId, userId }: Running) =>
    new Worker(campaignId, {
      ...base,
      rotation,
      accounts,
      due,
      carrier,
      claimer: new Claimer(campaignId, claims),
      pace: new Pace({ ...base, ...config.claim, rotation }),
      gap: config.claim.gap,
      load: () => catalog.load(campaignId, userId),
      survey: () => survey(crm.db, epoch, campaignId),
      fill: (campaign, stopped, inserted) => fill(campaign, filling, stopped, inserted),
      hold: (reason) => monitor.hold(campaignId, reason),
      idle: () => monitor.nudge(),
    });
  const supervisor: Supervisor = new Supervisor({
    news,
    hire,
    left: (running, worker) => reporter.left(running, worker),
  });
  const reporter: Reporter = new Reporter({ ...base, leadership, supervisor, settler });
  const interlock = new Interlock({
    ...base,
    ...config.takeover,
    epoch,
    changed: (campaignId, ids) => supervisor.worker(campaignId)?.tally?.touched(ids),
  });
  const monitor: Monitor = new Monitor({
    ...base,
    leadership,
    supervisor,
    settler,
    interlock,
    reporter,
    cadence: config.monitor,
    blind: config.monitor.blind,
  });

  /** Where every dot is held back, dialling would only open a DATA that must be cut. */
  function rests(claim: Claim): boolean {
    return conditions.blocked() !== undefined || claim.seat.account.restsUntil(now()) !== 0;
  }

  const closing = {
    name: "smtp sessions",
    start: async () => undefined,
    stop: () => sessions.close(config.pool.drain),
  };
  return { services: [leadership, closing, settler, accounts, due, monitor], monitor };
}

/** A mark moves at least so many rows: with a single slow account the marks would else cost more statements than the mails. */
const SMALLEST_WINDOW = 16;
