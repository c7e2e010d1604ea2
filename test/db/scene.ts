import { aCampaign, aList, anAccount, aTemplate, aUser } from "../support/builders.js";
import type { Sandbox } from "../support/sandbox.js";
import type { Scene } from "./everyStatement.js";

/** How full the tables are; `open` is whether all queued mails wait, or only the last few of each campaign. */
export interface Filling {
  readonly mails: number;
  readonly emails: number;
  readonly imports: number;
  readonly open: "all" | "few";
}

const BATCH = "BATCH_20261120_093015_5f3c9a1e";
const FEW = 20;

/** Three campaigns of very different sizes, their rows interleaved as simultaneous fills leave them, and all that grows beside. */
export async function fillScene(sandbox: Sandbox, filling: Filling): Promise<Scene> {
  const { s1, s2 } = sandbox;
  const [owner, other] = [await aUser(sandbox), await aUser(sandbox)];
  const [list, second] = [await aList(sandbox, { userId: owner }), await aList(sandbox, { userId: other })];
  const campaigns: number[] = [];
  for (const batch of [null, null, BATCH]) {
    campaigns.push(await aCampaign(sandbox, { list: batch ? null : list, batch, userId: owner }));
  }
  const accounts: number[] = [];
  for (let n = 0; n < 40; n += 1) accounts.push(await anAccount(sandbox, { server: { port: 25 }, userId: owner }));
  const template = await aTemplate(sandbox, { html: "<p>[[Name]]</p>", userId: owner });
  await fillServer1(s1, filling, { list, second, owner, other });
  await fillServer2(s2, filling, { campaigns, list, owner, accounts });
  const addresses = Array.from({ length: 1000 }, (_, n) => `ok.${n * 7 + 1}@recipients.example`);
  return { campaigns, list, batch: BATCH, owner, template, accounts, addresses, claim: 500 };
}

async function fillServer1(
  query: Sandbox["s1"],
  { emails, imports }: Filling,
  { list, second, owner, other }: { list: number; second: number; owner: number; other: number },
): Promise<void> {
  // Lists are uploaded one after the other, so that ids of one list lie together, and the tenth address is not valid.
  await query(
    `INSERT INTO emails (raw_emailid, sp_account, sp_domain, csv_list_id, user_id, domain_status, validation_status, domain_processed)
     SELECT CONCAT('ok.', seq, '@recipients.example'), CONCAT('ok.', seq), 'recipients.example',
       IF((seq DIV 20000) % 2 = 0, ?, ?), IF((seq DIV 20000) % 2 = 0, ?, ?), seq % 10 > 0, IF(seq % 10 > 0, 'valid', 'invalid'), 1
     FROM seq_1_to_${emails}`,
    [list, second, owner, other],
  );
  await query(
    `INSERT INTO imported_recipients (import_batch_id, Emails, BilledName, is_active, user_id)
     SELECT IF((seq DIV 10000) % 3 = 0, ?, CONCAT('BATCH_', seq DIV 10000)), CONCAT('ok.', seq, '@recipients.example'),
       CONCAT('Customer ', seq), seq % 20 > 0, IF((seq DIV 10000) % 3 = 0, ?, ?) FROM seq_1_to_${imports}`,
    [BATCH, owner, other],
  );
  for (const table of ["unsubscribers", "bounced_emails"]) {
    await query(
      `INSERT INTO ${table} (email) SELECT CONCAT('ok.', seq * 50, '@recipients.example') FROM seq_1_to_20000`,
    );
  }
  await query(
    `INSERT INTO campaign_master (csv_list_id, description, mail_subject, user_id) SELECT ?, 'old', 'old', ? FROM seq_1_to_2000`,
    [list, owner],
  );
  await query(
    `INSERT INTO campaign_status (campaign_id, status, user_id)
     SELECT campaign_id, IF(campaign_id % 9 = 0, 'paused', 'completed'), user_id FROM campaign_master WHERE description = 'old'`,
  );
  await query(
    "ANALYZE TABLE emails, imported_recipients, unsubscribers, bounced_emails, campaign_master, campaign_status",
  );
}

async function fillServer2(
  query: Sandbox["s2"],
  { mails, open }: Filling,
  {
    campaigns,
    list,
    owner,
    accounts,
  }: { campaigns: readonly number[]; list: number; owner: number; accounts: readonly number[] },
): Promise<void> {
  // Pages of 1,000 rows: 70 %, 25 % and 5 % belong to the three campaigns.
  const page = "(seq DIV 1000) % 20";
  const few = open === "all" ? "1 = 1" : `seq > ${mails} - 20000 AND seq % 1000 < ${FEW}`;
  await query(
    `INSERT INTO mail_blaster (campaign_id, to_mail, csv_list_id, user_id, smtpid, smtp_account_id, delivery_date, delivery_time, status, attempt_count)
     SELECT CASE WHEN ${page} < 14 THEN ? WHEN ${page} < 19 THEN ? ELSE ? END, CONCAT('ok.', seq, '@recipients.example'), ?, ?,
       ?, ?, CURDATE(), CURTIME(),
       CASE WHEN seq % 200 = 100 THEN 'failed' WHEN seq % 1000 = 999 THEN 'processing' WHEN ${few} THEN 'pending' ELSE 'success' END,
       CASE WHEN seq % 400 = 100 THEN 5 WHEN seq % 200 = 100 THEN 1 WHEN ${few} THEN 0 ELSE 1 END
     FROM seq_1_to_${mails}`,
    [...campaigns, list, owner, accounts[0] ?? 0, accounts[0] ?? 0],
  );
  await query(
    `INSERT INTO campaignd_retry (mail_id, campaign_id, due_at, class, account_id, first_failed_at)
     SELECT id, campaign_id, UTC_TIMESTAMP() + INTERVAL (id % 900) - 60 SECOND, 'greylisted', smtpid, UTC_TIMESTAMP() - INTERVAL 1 HOUR
     FROM mail_blaster WHERE status = 'failed' AND attempt_count < 5`,
  );
  await query(
    `INSERT INTO campaignd_retry (mail_id, campaign_id, due_at, class, account_id, first_failed_at)
     SELECT 10000000 + seq, IF(seq % 2 = 0, ?, 1000000), UTC_TIMESTAMP() + INTERVAL seq SECOND, 'greylisted', 1, UTC_TIMESTAMP()
     FROM seq_1_to_20000`,
    [campaigns[1] ?? 0],
  );
  await query(
    `INSERT INTO campaignd_unknown (mail_id, campaign_id, message_id, account_id, at, why)
     SELECT 10000000 + seq, seq % 50, '', NULL, UTC_TIMESTAMP(), 'lost' FROM seq_1_to_5000`,
  );
  // Sixty days of hours.
  await query(
    `INSERT INTO smtp_usage (smtp_id, date, hour, timestamp, emails_sent, user_id)
     SELECT a.id, '2026-11-24' - INTERVAL (h.seq DIV 24) DAY, h.seq % 24, '2026-11-24 12:00:00', 40, a.user_id
     FROM smtp_accounts a JOIN seq_1_to_1440 h`,
  );
  await query(
    "ANALYZE TABLE mail_blaster, smtp_usage, campaignd_retry, campaignd_unknown, smtp_accounts, smtp_servers",
  );
}
