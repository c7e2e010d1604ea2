import type { RowDataPacket } from "mysql2/promise";
import { systemClock } from "../src/clock.js";
import type { Sandbox } from "../test/support/sandbox.js";
import type { SeededAccount } from "../test/support/seed/accounts.js";
import { type Databases, legacyTime } from "../test/support/seed/rows.js";
import type { Seeded } from "../test/support/seed.js";
import { bold, dim, figure, green, red, say, table, yellow } from "./terminal.js";

/** Prints what became of the campaigns, why mails failed, and what each account was used for. */
export async function printOutcome(db: Databases, seeded: Seeded): Promise<void> {
  const campaigns = [seeded.newsletter, seeded.invoices];
  const rows: string[][] = [];
  const reasons = new Map<string, number[]>();
  for (const [i, { campaignId, name }] of campaigns.entries()) {
    const [[status]] = await db.s1.query<RowDataPacket[]>(
      "SELECT status, total_emails, sent_emails, failed_emails, pending_emails FROM campaign_status WHERE campaign_id = ?",
      [campaignId],
    );
    const word = String(status?.status);
    const figures = [status?.total_emails, status?.sent_emails, status?.failed_emails, status?.pending_emails];
    const coloured = word === "completed" ? green(word) : red(word);
    rows.push([bold(name), coloured, ...figures.map((n) => figure(Number(n)))]);
    for (const [reason, n] of await failures(db, campaignId)) {
      const counts = reasons.get(reason) ?? campaigns.map(() => 0);
      counts[i] = (counts[i] ?? 0) + n;
      reasons.set(reason, counts);
    }
  }
  say(table(["campaign", "status", "total", "sent", "failed", "pending"], rows, [2, 3, 4, 5]));
  say();
  const byReason = [...reasons].map(([reason, counts]) => [reason, ...counts.map((n) => (n === 0 ? "–" : figure(n)))]);
  say(table(["failed because", ...campaigns.map(({ name }) => name)], byReason, [1, 2]));
  say();
  await printAccounts(db, seeded.accounts);
}

async function failures({ s2 }: Databases, campaignId: number): Promise<Map<string, number>> {
  const [rows] = await s2.query<RowDataPacket[]>(
    "SELECT error_message, COUNT(*) AS n FROM mail_blaster WHERE campaign_id = ? AND status = 'failed' AND attempt_count >= 5 GROUP BY error_message ORDER BY n DESC",
    [campaignId],
  );
  const reasons = new Map<string, number>();
  for (const { error_message, n } of rows) {
    const reason = reasonOf(String(error_message ?? ""));
    reasons.set(reason, (reasons.get(reason) ?? 0) + Number(n));
  }
  return reasons;
}

/** The few words that an operator would use for a row's error_message. */
export function reasonOf(message: string): string {
  if (message.startsWith("[UNKNOWN]")) return "outcome unknown (held)";
  if (/unsubscri/i.test(message)) return "unsubscribed";
  if (/exclu/i.test(message)) return "excluded domain or account";
  const code = /(?<![\d.])([45]\d\d)(?![\d.])/.exec(message)?.[1];
  if (code !== undefined) return `refused by the server (${code})`;
  if (/address|invalid|syntax|\bholds \b|\bhas (a|no|more|nothing) |longer than/i.test(message))
    return "not a mail address";
  const words = message.replace(/^(\[[^\]]*\]\s*)+/, "");
  return words === "" ? "no reason kept" : words.slice(0, 40);
}

async function printAccounts({ s2 }: Databases, accounts: readonly SeededAccount[]): Promise<void> {
  const { date, hour } = legacyTime(systemClock.now());
  const [rows] = await s2.query<RowDataPacket[]>(
    "SELECT smtp_id, SUM(emails_sent) AS day, SUM(IF(hour = ?, emails_sent, 0)) AS hour FROM smtp_usage WHERE date = ? GROUP BY smtp_id",
    [hour, date],
  );
  const used = new Map(rows.map((row) => [Number(row.smtp_id), { day: Number(row.day), hour: Number(row.hour) }]));
  const cells = accounts.map(({ id, email, hourlyLimit, dailyLimit }) => {
    const { day = 0, hour: now = 0 } = used.get(id) ?? {};
    const [n, limit, span] = hourlyLimit > 0 ? [now, hourlyLimit, "hour"] : [day, dailyLimit, "day"];
    const full = n >= limit;
    const words = `${figure(n).padStart(5)} / ${figure(limit).padEnd(5)}`;
    return [email.padEnd(32), full ? yellow(words) : words, full ? yellow(`${span}, full`) : dim(span)];
  });
  const half = Math.ceil(cells.length / 2);
  const pairs = cells.slice(0, half).map((cell, i) => [...cell, ...(cells[half + i] ?? ["", "", ""])]);
  say(table(["account", " used / limit", "of the", "account", " used / limit", "of the"], pairs, []));
  say();
}

/** Prints what to try next, or with `kept` servers how to look at them. */
export function printNextSteps(sandbox: Sandbox, kept: boolean): void {
  if (kept) {
    const login = (port: number, password: string, name: string) =>
      `mariadb -h 127.0.0.1 -P ${port} -u root -p${password} ${name}`;
    const ways = [
      ["Server 1", login(sandbox.emailId.port, sandbox.emailId.rootPassword, "email_id")],
      ["Server 2", login(sandbox.crm.port, sandbox.crm.rootPassword, "CRM")],
      ["mailbox", `${sandbox.smtp.mailbox}   (one JSON line a mail)`],
      ["log", `${sandbox.dir}/campaignd.log`],
      ["run it again", `node dist/cli/main.js run --until-idle --config ${sandbox.configFile}`],
    ];
    say(`\n${bold("Everything is still running.")} Look at it from another terminal; Ctrl-C here ends and removes it.`);
    for (const [name = "", way = ""] of ways) say(`  ${name.padEnd(13)} ${way}`);
    return;
  }
  say(`\n${bold("What to try next")}`);
  const steps = [
    ["./scripts/demo --keep", "leave the servers running and look at queue, log and mailbox"],
    ["./scripts/demo --emails 50000", "a longer list"],
    ["./scripts/test", "prove it"],
    ["README.md", "what it is, how to run it, how to see that it is well"],
  ];
  for (const [step = "", says = ""] of steps) say(`  ${step.padEnd(31)} ${dim(says)}`);
}
