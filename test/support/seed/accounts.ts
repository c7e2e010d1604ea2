import type { Random } from "./random.js";
import { type Databases, insertRow, insertRows, legacyTime, moment } from "./rows.js";

/** The SMTP server's address, one port for each kind of transport. */
export interface SmtpPorts {
  readonly host: string;
  readonly plainPort: number;
  readonly starttlsPort: number;
  readonly tlsPort: number;
}

/** An account, its limits and what it had sent before, in mails; a limit of 0 is none. */
export interface SeededAccount {
  readonly id: number;
  readonly email: string;
  readonly serverId: number;
  readonly hourlyLimit: number;
  readonly dailyLimit: number;
  readonly usedThisHour: number;
  readonly usedToday: number;
  /** Its limit is below an even share, so that it runs into it. */
  readonly small: boolean;
}

interface Plan {
  readonly ownerId: number;
  readonly strangerIds: readonly number[];
  readonly count: number;
  /** Mails that all accounts together may send within the hour. */
  readonly room: number;
  readonly smtp: SmtpPorts;
  readonly password: (user: string) => string;
  readonly now: number;
}

export interface SeededAccounts {
  readonly accounts: readonly SeededAccount[];
  /** Accounts that no mail may go through: other owners', and one switched off. */
  readonly forbidden: readonly number[];
}

const ENCRYPTIONS = ["ssl", "tls", "", "tls", "ssl", "tls", ""] as const;
const FROM_NAMES = [
  "Śrī Lakshmi Accounts",
  "बिक्री टीम",
  "A & B, Sales",
  'Kiran "KP" Pai',
  "Accounts Desk 📒",
  "Renewals",
];

/** Makes seven SMTP servers with `count` accounts of the owner, whose limits leave exactly `room` mails, and a few of strangers. */
export async function seedAccounts(db: Databases, random: Random, plan: Plan): Promise<SeededAccounts> {
  const servers: number[] = [];
  for (const [i, encryption] of ENCRYPTIONS.entries()) {
    servers.push(await aServer(db, plan, plan.ownerId, `Relay ${i + 1}`, encryption));
  }
  const accounts: SeededAccount[] = [];
  const shares = roomShares(random, plan.count, plan.room);
  for (const [i, share] of shares.entries()) {
    const serverId = servers[i % servers.length] ?? 0;
    accounts.push(await anOwnAccount(db, plan, i, serverId, share, isSmall(i, plan.count)));
  }
  await seedUsage(db, plan, accounts);
  await seedHealth(db, plan, accounts);
  return { accounts, forbidden: await forbiddenAccounts(db, plan, servers[0] ?? 0) };
}

function isSmall(i: number, count: number): boolean {
  return count >= 4 && (i === 3 || i === count - 2);
}

/** Splits the room: two accounts far below an even share, the others so near it that an even load fills none of them. */
function roomShares(random: Random, count: number, room: number): number[] {
  const small = Math.max(1, Math.min(50, Math.floor((room / count) * 0.3)));
  const weights = Array.from({ length: count }, (_, i) => (isSmall(i, count) ? 0 : 0.92 + random.next() * 0.16));
  const smallRoom = weights.filter((weight) => weight === 0).length * small;
  const unit = (room - smallRoom) / weights.reduce((sum, weight) => sum + weight, 0);
  const shares = weights.map((weight) => (weight === 0 ? small : Math.max(1, Math.floor(weight * unit))));
  const missing = room - shares.reduce((sum, share) => sum + share, 0);
  shares[0] = Math.max(1, (shares[0] ?? 0) + missing);
  return shares;
}

async function anOwnAccount(
  db: Databases,
  plan: Plan,
  i: number,
  serverId: number,
  share: number,
  small: boolean,
): Promise<SeededAccount> {
  const usedThisHour = USED[i]?.hour ?? 0;
  const usedToday = usedThisHour + (legacyTime(plan.now).hour > 0 ? (USED[i]?.earlier ?? 0) : 0);
  // Every fifth account is bound by its day and has no hourly limit.
  const byDay = !small && i % 5 === 4;
  const hourlyLimit = byDay ? 0 : usedThisHour + share;
  const dailyLimit = byDay ? usedToday + share : usedToday + share * 6;
  const email = `${["sales", "accounts", "renewals"][i % 3]}${i + 1}@mail${(i % 4) + 1}.lakshmi.example`;
  const id = await anAccountRow(db, plan, {
    smtp_server_id: serverId,
    email,
    from_name: FROM_NAMES[i % FROM_NAMES.length],
    daily_limit: dailyLimit,
    hourly_limit: hourlyLimit,
    sent_today: usedToday,
    total_sent: 1000 + usedToday,
    user_id: plan.ownerId,
  });
  return { id, email, serverId, hourlyLimit, dailyLimit, usedThisHour, usedToday, small };
}

/** What legacy senders have sent today: in the running hour, and in the hour before. */
const USED: readonly { readonly hour: number; readonly earlier: number }[] = [
  { hour: 12, earlier: 40 },
  { hour: 0, earlier: 25 },
  { hour: 7, earlier: 0 },
  { hour: 10, earlier: 5 },
  { hour: 9, earlier: 31 },
];

async function seedUsage({ s2 }: Databases, plan: Plan, accounts: readonly SeededAccount[]): Promise<void> {
  const { date, hour, dateTime } = legacyTime(plan.now);
  const yesterday = legacyTime(plan.now - 86_400_000);
  const rows: unknown[][] = [];
  for (const { id, usedThisHour, usedToday } of accounts) {
    const earlier = usedToday - usedThisHour;
    // Rows of one hour for different users stand side by side: only their sum is the hour's usage.
    if (usedThisHour > 0) {
      rows.push([id, date, hour, dateTime, usedThisHour - 2, plan.ownerId]);
      rows.push([id, date, hour, dateTime, 1, null], [id, date, hour, dateTime, 1, null]);
    }
    if (earlier > 0) rows.push([id, date, hour - 1, dateTime, earlier, plan.ownerId]);
    rows.push([id, yesterday.date, 17, yesterday.dateTime, 55, plan.ownerId]);
  }
  await insertRows(s2, "smtp_usage", ["smtp_id", "date", "hour", "timestamp", "emails_sent", "user_id"], rows);
}

async function seedHealth({ s2 }: Databases, plan: Plan, accounts: readonly SeededAccount[]): Promise<void> {
  const longAgo = moment(plan.now - 50 * 3_600_000);
  const columns = ["smtp_id", "health", "consecutive_failures", "last_success_at", "last_failure_at", "suspend_until"];
  const states = [
    ["healthy", 0, longAgo, null, null, null, null],
    ["suspended", 21, null, longAgo, moment(plan.now - 49 * 3_600_000), "timeout", "SMTP connect() failed"],
    ["degraded", 11, longAgo, longAgo, null, "connection_failed", "Connection refused"],
  ];
  const rows = states.flatMap((state, i) => {
    const account = accounts[i + 5];
    return account === undefined ? [] : [[account.id, ...state, moment(plan.now), plan.ownerId]];
  });
  if (rows.length === 0) return;
  const all = [...columns, "last_error_type", "last_error_message", "updated_at", "user_id"];
  await insertRows(s2, "smtp_health", all, rows);
}

async function forbiddenAccounts(db: Databases, plan: Plan, serverId: number): Promise<number[]> {
  const off = await anAccountRow(db, plan, {
    smtp_server_id: serverId,
    email: "retired@mail1.lakshmi.example",
    is_active: 0,
    user_id: plan.ownerId,
  });
  const ids = [off];
  for (const [i, userId] of plan.strangerIds.entries()) {
    const own = await aServer(db, plan, userId, `Tenant relay ${i + 1}`, "");
    for (const box of ["info", "news"]) {
      const email = `${box}@tenant${i + 1}.example`;
      ids.push(
        await anAccountRow(db, plan, { smtp_server_id: own, email, hourly_limit: 0, daily_limit: 0, user_id: userId }),
      );
    }
  }
  return ids;
}

function aServer(
  { s2 }: Databases,
  { smtp, now }: Plan,
  userId: number,
  name: string,
  encryption: string,
): Promise<number> {
  const port = encryption === "ssl" ? smtp.tlsPort : encryption === "tls" ? smtp.starttlsPort : smtp.plainPort;
  const slug = name.toLowerCase().replaceAll(" ", "-");
  const received = `replies+${slug}@lakshmi.example`;
  const row = {
    name,
    host: smtp.host,
    port,
    encryption,
    received_email: received,
    created_at: moment(now),
    user_id: userId,
  };
  return insertRow(s2, "smtp_servers", row);
}

function anAccountRow(
  { s2 }: Databases,
  plan: Plan,
  row: Record<string, unknown> & { email: string },
): Promise<number> {
  return insertRow(s2, "smtp_accounts", { ...row, password: plan.password(row.email), created_at: moment(plan.now) });
}
