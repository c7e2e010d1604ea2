import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parseAddress } from "../../src/campaign/address.js";
import { unescapeStored } from "../../src/campaign/unescape.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { untouchedRows } from "../support/seed/bystanders.js";
import { NEWSLETTER_SUBJECT, newsletterBody } from "../support/seed/campaigns.js";
import { FATES, totalRows } from "../support/seed/expectation.js";
import { type Databases, openDatabases } from "../support/seed/rows.js";
import { type Seeded, seed } from "../support/seed.js";

const NOW = Date.UTC(2026, 10, 24, 6, 30);
const S1_TABLES = [
  "users",
  "csv_list",
  "emails",
  "imported_recipients",
  "campaign_master",
  "campaign_status",
  "unsubscribers",
];
const S2_TABLES = ["mail_blaster", "smtp_servers", "smtp_accounts", "smtp_usage", "smtp_health"];

let sandbox: Sandbox;
let db: Databases;

beforeAll(async () => {
  sandbox = await startSandbox();
}, 60_000);

beforeEach(async () => {
  await sandbox.freshDatabases();
  db = await openDatabases(sandbox);
  return async () => {
    await Promise.all([db.s1.end(), db.s2.end()]);
  };
});

afterAll(async () => {
  await sandbox?.stop();
});

function seedDefault(): Promise<Seeded> {
  const { plainPort, starttlsPort, tlsPort } = sandbox.smtp;
  return seed(db, {
    filesDir: `${sandbox.dir}/files`,
    smtp: { host: "127.0.0.1", plainPort, starttlsPort, tlsPort },
    password: (user) => `pw-${user}`,
    now: NOW,
  });
}

async function checksums(): Promise<unknown> {
  const s1 = await sandbox.s1(`CHECKSUM TABLE ${S1_TABLES.join(", ")}`);
  const s2 = await sandbox.s2(`CHECKSUM TABLE ${S2_TABLES.join(", ")}`);
  return [s1, s2];
}

async function count(query: Sandbox["s1"], from: string): Promise<number> {
  const [row] = await query<{ n: number }>(`SELECT COUNT(*) AS n FROM ${from}`);
  return row?.n ?? -1;
}

describe("the seed", () => {
  test("writes the same rows every time", async () => {
    await seedDefault();
    const first = await checksums();
    await Promise.all([db.s1.end(), db.s2.end()]);
    await sandbox.freshDatabases();
    db = await openDatabases(sandbox);
    await seedDefault();
    expect(await checksums()).toEqual(first);
  });

  test("writes as many rows as asked for, and every address has one fate", async () => {
    const { newsletter, invoices } = await seedDefault();
    expect(await count(sandbox.s1, "emails WHERE csv_list_id = 1 AND user_id = 1")).toBe(5000);
    expect(await count(sandbox.s1, "imported_recipients WHERE user_id = 1 AND Emails <> ''")).toBe(2000);
    for (const { expected } of [newsletter, invoices]) {
      const all = FATES.flatMap((fate) => [...expected[fate]]);
      expect(new Set(all).size).toBe(totalRows(expected));
    }
  });

  test("expects exactly the addresses that the databases would deliver to, refuse or suppress", async () => {
    const { newsletter, invoices } = await seedDefault();
    const valid = "emails WHERE csv_list_id = 1 AND user_id = 1 AND domain_status = 1 AND validation_status = 'valid'";
    const [listed] = await sandbox.s1<{ n: number }>(`SELECT COUNT(DISTINCT raw_emailid) AS n FROM ${valid}`);
    expect(totalRows(newsletter.expected)).toBe((listed?.n ?? 0) + 6);
    const active = "imported_recipients WHERE import_batch_id LIKE 'BATCH_20261120%' AND user_id = 1 AND is_active = 1";
    const [sheet] = await sandbox.s1<{ n: number }>(
      `SELECT COUNT(DISTINCT TRIM(Emails)) AS n FROM ${active} AND Emails <> ''`,
    );
    expect(totalRows(invoices.expected)).toBe(sheet?.n);
    expect(newsletter.expected.refused.size).toBeGreaterThan(50);
    expect(newsletter.expected.suppressed.size).toBeGreaterThan(50);
    expect(invoices.expected.refused.size).toBeGreaterThan(20);
  });

  test("takes for invalid exactly what the daemon reads as no address", async () => {
    const { newsletter, invoices } = await seedDefault();
    for (const { expected } of [newsletter, invoices]) {
      expect([...expected.invalid].filter((address) => parseAddress(address).ok)).toEqual([]);
      const good = [expected.delivered, expected.suppressed, expected.refused].flatMap((set) => [...set]);
      expect(good.filter((address) => !parseAddress(address).ok)).toEqual([]);
    }
  });

  test("stores a newsletter whose double escaping can be undone", () => {
    const html = unescapeStored(newsletterBody());
    expect(html).not.toContain("\\");
    expect(html).toContain('<img src="images/diwali-banner.png" alt="Diwali offers" width="120">\r\n');
    expect(unescapeStored(NEWSLETTER_SUBJECT)).toBe("Don't miss our Diwali offers – up to 20 % off ✨");
  });

  test("queues rows in every state that production has", async () => {
    const { newsletter } = await seedDefault();
    const of = `mail_blaster WHERE campaign_id = ${newsletter.campaignId}`;
    expect(await count(sandbox.s2, of)).toBe(306);
    for (const state of [
      "status = '' AND error_message LIKE '%550%'",
      "status = '' AND error_message LIKE '%connect%'",
      "status IS NULL AND attempt_count IS NULL",
      "status = 'pending' AND delivery_date = '0000-00-00'",
      "status = 'failed' AND attempt_count = 1",
      "status = 'failed' AND attempt_count = 5",
      "status = 'success' AND smtp_account_id > 0",
    ]) {
      expect(await count(sandbox.s2, `${of} AND ${state}`), state).toBeGreaterThan(0);
    }
    const stale = `${of} AND status = 'processing' AND updated_at < FROM_UNIXTIME(${NOW / 1000} - 4 * 3600)`;
    expect(await count(sandbox.s2, stale)).toBe(newsletter.expected.unknown.size);
  });

  test("leaves the accounts exactly the room that it promises, two of them little", async () => {
    const { accounts, room, deliverable } = await seedDefault();
    const left = accounts.map(({ hourlyLimit, dailyLimit, usedThisHour, usedToday }) => {
      const byHour = hourlyLimit === 0 ? Number.POSITIVE_INFINITY : hourlyLimit - usedThisHour;
      return Math.min(byHour, dailyLimit - usedToday);
    });
    expect(accounts).toHaveLength(40);
    expect(left.reduce((sum, n) => sum + n, 0)).toBe(room);
    expect(room / deliverable).toBeCloseTo(1.3, 2);
    expect(accounts.filter(({ small }) => small)).toHaveLength(2);
    const usage = await sandbox.s2<{ id: number; used: string }>(
      "SELECT smtp_id AS id, SUM(emails_sent) AS used FROM smtp_usage WHERE date = '2026-11-24' GROUP BY smtp_id",
    );
    const written = new Map(usage.map(({ id, used }) => [id, Number(used)]));
    for (const { id, usedToday } of accounts) expect(written.get(id) ?? 0).toBe(usedToday);
  });

  test("tells whether a paused or completed campaign was touched", async () => {
    const { bystanders } = await seedDefault();
    expect(await untouchedRows(db, bystanders.campaignIds)).toBe(bystanders.before);
    await db.s2.query("UPDATE mail_blaster SET attempt_count = 2 WHERE campaign_id = ? LIMIT 1", [
      bystanders.campaignIds[0],
    ]);
    expect(await untouchedRows(db, bystanders.campaignIds)).not.toBe(bystanders.before);
  });
});
