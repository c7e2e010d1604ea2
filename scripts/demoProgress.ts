import type { RowDataPacket } from "mysql2/promise";
import { seconds, systemClock } from "../src/clock.js";
import { totalRows } from "../test/support/seed/expectation.js";
import type { Databases } from "../test/support/seed/rows.js";
import type { SeededCampaign } from "../test/support/seed.js";
import type { DemoDaemon } from "./demoDaemon.js";
import { bar, bold, dim, figure, green, liveLines, red, say, terminal, yellow } from "./terminal.js";

interface Tally {
  readonly sent: number;
  readonly failed: number;
  /** Refused for now; they come again. */
  readonly deferred: number;
}

interface Look {
  readonly at: number;
  readonly tallies: ReadonlyMap<number, Tally>;
}

/** A run in which nothing changes for so long is stuck; the demo then ends it. */
const STUCK = seconds(120);

/** Shows a line a campaign, asking Server 2 once a second, until the daemon has ended. */
export async function watchProgress(
  { s2 }: Databases,
  campaigns: readonly SeededCampaign[],
  daemon: DemoDaemon,
): Promise<void> {
  const screen = liveLines();
  const looks: Look[] = [];
  let changed = systemClock.monotonic();
  let last = "";
  for (let tick = 0; ; tick += 1) {
    const look = { at: systemClock.monotonic(), tallies: await tally(s2, campaigns) };
    looks.push(look);
    if (looks.length > 6) looks.shift();
    const running = daemon.running();
    const shape = JSON.stringify([...look.tallies]);
    if (shape !== last) [last, changed] = [shape, look.at];
    if (terminal.interactive || tick % 2 === 0 || !running) {
      screen.draw(campaigns.map((campaign) => line(campaign, looks, look)));
    }
    if (!running) break;
    if (look.at - changed > STUCK) {
      say(red("nothing has changed for two minutes: ending campaignd"));
      daemon.stop();
      break;
    }
    // A big table answers slowly: never ask it more than a tenth of the time.
    const nap = Math.max(seconds(1), 9 * (systemClock.monotonic() - look.at));
    await Promise.race([daemon.ended, systemClock.sleep(nap)]);
  }
  screen.end();
}

async function tally(s2: Databases["s2"], campaigns: readonly SeededCampaign[]): Promise<Map<number, Tally>> {
  const [rows] = await s2.query<RowDataPacket[]>(
    `SELECT campaign_id, SUM(status = 'success') AS sent, SUM(status = 'failed' AND attempt_count >= 5) AS failed,
       SUM(status = 'failed' AND attempt_count < 5) AS deferred
     FROM mail_blaster WHERE campaign_id IN (?) GROUP BY campaign_id`,
    [campaigns.map(({ campaignId }) => campaignId)],
  );
  return new Map(
    rows.map((row) => [
      Number(row.campaign_id),
      { sent: Number(row.sent), failed: Number(row.failed), deferred: Number(row.deferred) },
    ]),
  );
}

const NOTHING: Tally = { sent: 0, failed: 0, deferred: 0 };

function line({ campaignId, name, expected }: SeededCampaign, looks: readonly Look[], look: Look): string {
  const total = totalRows(expected);
  const now = look.tallies.get(campaignId) ?? NOTHING;
  const done = now.sent + now.failed;
  const first = looks[0] ?? look;
  const then = first.tallies.get(campaignId) ?? NOTHING;
  const rate = look.at > first.at ? ((done - then.sent - then.failed) * 1000) / (look.at - first.at) : 0;
  const width = Math.max(8, Math.min(30, terminal.width() - 78));
  const percent = `${Math.floor((100 * done) / Math.max(1, total))} %`.padStart(5);
  return [
    `  ${bold(name.padEnd(18))}`,
    bar(done / Math.max(1, total), width),
    percent,
    `${figure(now.sent).padStart(7)} sent`,
    `${figure(now.failed).padStart(5)} failed`,
    `${figure(Math.round(rate)).padStart(5)}/s`,
    ` ${remaining(total - done, now.deferred, rate)}`,
  ].join(" ");
}

function remaining(open: number, deferred: number, rate: number): string {
  if (open <= 0) return green("done");
  if (open <= deferred) return yellow(`${figure(deferred)} to try again`);
  if (rate < 1) return dim("…");
  return `${figure(Math.ceil(open / rate))} s left`;
}
