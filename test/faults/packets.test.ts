import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection, RowDataPacket } from "mysql2/promise";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { systemClock } from "../../src/clock.js";
import { type Config, loadConfig } from "../../src/config/config.js";
import { connect, type Server } from "../../src/db/connect.js";
import { Pulse } from "../../src/db/pulse.js";
import { News } from "../../src/events.js";
import { timed } from "../support/looks.js";
import { type MariadbServer, startMariadb } from "../support/mariadb.js";
import { type PacketLink, startPacketLink } from "../support/packetLink.js";
import { sleeping } from "../support/serverBench.js";
import { until } from "../support/until.js";

const PORT = 3306; // the far machine has no other server
const SHARE = 8;
const LENT = SHARE - 2;
const STATEMENT = 1000;
const PING_IDLE = 1000;
const PING = 200;
/** A tenth of the defaults, or near it. */
const POOL = {
  connectTimeout: "500ms",
  statementTimeout: `${STATEMENT}ms`,
  acquireTimeout: "500ms",
  pingIdle: `${PING_IDLE}ms`,
  pingTimeout: `${PING}ms`,
  lockWait: "1s",
};

let dir: string;
let link: PacketLink;
let mariadb: MariadbServer;
let config: Config;
let root: Connection;
let server: Server;
let pulse: Pulse;
let edges: string[];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "campaignd-packets-"));
  link = await startPacketLink();
  const { near, far, within } = link;
  const extra = [`--bind-address=${far}`];
  mariadb = await startMariadb({ dir, name: "crm", port: PORT, extra, within, removeWhenOrphaned: true });
  root = await mariadb.root();
  await root.query(
    `CREATE DATABASE CRM; CREATE USER far@'${near}' IDENTIFIED BY 'away'; GRANT ALL ON CRM.* TO far@'${near}'`,
  );
  const login = { host: far, port: PORT, user: "far", password: "away", database: "CRM", maxConnections: SHARE };
  const file = join(dir, "campaignd.yaml");
  const settings = { servers: { emailId: login, crm: login }, pool: POOL, stateDir: join(dir, "state") };
  await writeFile(file, stringify(settings), { mode: 0o600 });
  config = loadConfig({ file, env: {} });
});
afterAll(async () => {
  root?.destroy();
  await mariadb?.stop();
  await link?.remove();
  await rm(dir, { recursive: true, force: true });
});

beforeEach(async () => {
  edges = [];
  server = connect("crm", config, systemClock, new News(), (trouble) => void edges.push(trouble ?? "recovered"));
  pulse = new Pulse(server.db, systemClock);
  await pulse.start();
});
afterEach(async () => {
  await link.up();
  await pulse.stop();
  await server.pool.drain(200);
});

/** Our threads on the server, seen through its socket, which needs no cable. */
async function threads(): Promise<{ id: number; info: string | null }[]> {
  const sql = "SELECT ID AS id, INFO AS info FROM information_schema.PROCESSLIST WHERE USER = 'far'";
  const [rows] = await root.query<RowDataPacket[]>(sql);
  return rows.map(({ id, info }) => ({ id: Number(id), info }));
}

const statements = (count: number, seconds: number) =>
  Promise.all(Array.from({ length: count }, () => timed(server.db.run(sleeping(seconds)))));

describe("a cable pulled", () => {
  it("in mid-statement ends each statement at its deadline, frees its place later, and is served again within a second of the first good probe", async () => {
    await statements(LENT, 0.1);
    const before = (await threads()).map(({ id }) => id);
    expect(before).toHaveLength(LENT);

    const underWay = statements(LENT / 2, 0.4);
    await until("the statements to run", async () => (await threads()).filter(({ info }) => info).length === LENT / 2);
    await link.down();
    const sentIntoTheVoid = statements(LENT / 2, 0);
    for (const { error, ms } of [...(await underWay), ...(await sentIntoTheVoid)]) {
      expect(error).toMatchObject({ kind: "unreachable", facts: { timedOut: true } });
      expect(ms).toBeGreaterThan(0.9 * STATEMENT);
      expect(ms).toBeLessThan(1.1 * STATEMENT);
    }
    await until("the breaker to open", async () => server.db.breaker.state === "unreachable");
    expect(server.pool.stats(), "places of which the server may still hold the thread").toMatchObject({
      lingering: LENT,
      size: LENT,
    });
    expect(await threads(), "threads that heard nothing of it").toHaveLength(LENT);

    await link.up();
    await until("the first good probe", async () => server.db.breaker.state === undefined);
    const served = await timed(statements(5 * LENT, 0));
    expect(served.value?.filter(({ error }) => error)).toEqual([]);
    expect(served.ms).toBeLessThan(1000);
    expect(server.pool.stats()).toMatchObject({ inUse: 0, waiting: 0, lingering: 0, destroyed: { "timed out": LENT } });
    expect((await threads()).filter(({ id }) => before.includes(id))).toEqual([]);
    expect(edges).toEqual(["unreachable", "recovered"]);
  });

  it("while the far machine starts anew: the first use finds each dead connection by its ping, and its caller never knows", async () => {
    await statements(LENT, 0.1);
    const quietSince = systemClock.monotonic();
    expect(server.pool.stats()).toMatchObject({ idle: LENT, created: LENT });

    await link.down();
    root.destroy();
    mariadb.kill("SIGKILL");
    await link.reboot();
    await mariadb.restart();
    root = await mariadb.root();
    await until("pings to be due", async () => systemClock.monotonic() - quietSince > PING_IDLE);
    expect(server.pool.stats(), "connections that nobody closed").toMatchObject({ idle: LENT, destroyed: {} });

    await link.up();
    for (const { error, ms } of await statements(LENT, 0)) {
      expect(error).toBeUndefined();
      expect(ms).toBeLessThan(PING);
    }
    expect(server.pool.stats()).toMatchObject({ inUse: 0, lingering: 0, destroyed: { lost: LENT } });
    expect(edges).toEqual([]);
  });
});
