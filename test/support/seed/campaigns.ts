import { STORED_FILES } from "./files.js";
import { type Databases, insertRow, legacyTime, moment } from "./rows.js";

/** A campaign row and its status row, as the web application writes them. */
export interface CampaignRows {
  readonly description: string;
  readonly subject: string;
  readonly body?: string;
  readonly listId?: number;
  readonly batchId?: string;
  readonly templateId?: number;
  readonly attachments?: string;
  readonly userId: number;
  readonly status: "running" | "paused" | "completed";
  readonly counters: {
    readonly total: number;
    readonly sent: number;
    readonly failed: number;
    readonly pending: number;
  };
  readonly processPid?: number;
}

/** Inserts a campaign in the given state and returns its id. */
export async function insertCampaign({ s1 }: Databases, now: number, campaign: CampaignRows): Promise<number> {
  const campaignId = await insertRow(s1, "campaign_master", {
    csv_list_id: campaign.listId,
    import_batch_id: campaign.batchId,
    template_id: campaign.templateId,
    description: campaign.description,
    mail_subject: campaign.subject,
    mail_body: campaign.body ?? "",
    attachment_path: campaign.attachments,
    send_as_html: 1,
    images_paths: "[]",
    user_id: campaign.userId,
  });
  const { total, sent, failed, pending } = campaign.counters;
  await insertRow(s1, "campaign_status", {
    campaign_id: campaignId,
    status: campaign.status,
    total_emails: total,
    pending_emails: pending,
    sent_emails: sent,
    failed_emails: failed,
    start_time: legacyTime(now - 120_000).dateTime,
    end_time: campaign.status === "completed" ? legacyTime(now - 60_000).dateTime : null,
    process_pid: campaign.processPid,
    user_id: campaign.userId,
  });
  return campaignId;
}

/** Inserts the reminder's template and returns its id. */
export function insertInvoiceTemplate({ s1 }: Databases, now: number, userId: number): Promise<number> {
  return insertRow(s1, "mail_templates", {
    template_name: "Invoice reminder",
    template_description: "Outstanding invoices, all columns of the sheet",
    template_html: INVOICE_TEMPLATE,
    merge_fields: JSON.stringify(["Name", "Company", "InvoiceNumber", "Amount"]),
    is_active: 1,
    created_at: moment(now),
    updated_at: moment(now),
    user_id: userId,
  });
}

/** The newsletter as the web form stores it: escaped once too often, quotes as \' and \", line ends as the four characters \r\n. */
export function newsletterBody(storageUrl?: string): string {
  const logo = storageUrl === undefined ? STORED_FILES.logo : `${storageUrl}${STORED_FILES.logo}`;
  const html = NEWSLETTER.replace("{banner}", STORED_FILES.banner).replace("{logo}", logo);
  return html.replaceAll("'", "\\'").replaceAll('"', '\\"').replaceAll("\n", "\\r\\n");
}

export const NEWSLETTER_SUBJECT = "Don\\'t miss our Diwali offers – up to 20 % off ✨";
export const INVOICE_SUBJECT = "Invoice [[BillNumber]] for [[Company]]: payment due";

const NEWSLETTER = `<html><body style="font-family: Arial, sans-serif; margin: 0">
<table width="100%" cellpadding="0" cellspacing="0"><tr><td align="center">
<img src="{banner}" alt="Diwali offers" width="120">
<h1>It's Diwali at Lakshmi Software</h1>
<p style="color: #444">Dear customer, we've put together something <b>special</b> for you &amp; your team:</p>
<ul>
<li>Ledger Prime Gold: 20 % off until 15 November</li>
<li>PayDay Server: three months free</li>
<li>Free migration – <a href="https://www.lakshmi-software.example/migrate?src=mail&amp;id=7">see how</a></li>
</ul>
<p>शुभ दीपावली! The catalogue is attached.</p>
<img src="{logo}" alt="Lakshmi Software"><img src="https://www.lakshmi-software.example/remote.png" alt="">
<p style="font-size: 11px">You receive this at [[Email]] on [[CurrentDate]].</p>
</td></tr></table>
</body></html>`;

const INVOICE_TEMPLATE = `<html><body>
<p>Dear [[Name]],</p>
<p>Our records show that invoice <b>[[InvoiceNumber]]</b> of [[InvoiceDate]] to [[CompanyName]] ([[customer_id]] [[CustomerID]])
is <b>[[Days]]</b> days past due. PO: [[PO Number]]</p>
<table border="1" cellpadding="4">
<tr><th>Product</th><th>Edition</th><th>Usage</th><th>Licences</th><th>Price</th><th>Tax</th><th>Net</th></tr>
<tr><td>[[Product]]</td><td>[[Edition]]</td><td>[[UsageType]]</td><td>[[Licenses]]</td>
<td>[[price]]</td><td>[[TAX]]</td><td>[[NetPrice]]</td></tr>
</table>
<p>Amount due: ₹ [[Amount]]. Last registration [[RegistrationDate]], year [[Year]], category [[Category]] [[Type]].</p>
<p>Billed to: [[BilledName]], [[ContactPerson]], [[Group Name]], [[Address]], [[City]] [[Pincode]], [[District]], [[State]], [[Region]]
– phone [[Phone]], mobile [[Mobile]], e-mail [[Email]]. [[NoSuchField]]</p>
<p>Dealer [[DealerName]] ([[DealerEmail]], [[DealerPhone]]), your contact [[Executive]] ([[ExecutiveContact]]),
[[Relationship Manager]]. Sent on [[CurrentDate]].</p>
</body></html>`;
