import { type Master, readMaster, readTemplate, sourceKeyOf } from "../db/campaigns.js";
import type { Database } from "../db/database.js";
import { recipientRows, type Source } from "../db/recipients.js";
import { CampaigndError } from "../errors.js";
import { type RecipientFields, recipientFields } from "./fields.js";
import { attachmentList, type FileRoots, resolveFile } from "./files.js";
import { type InlineImage, imageSources } from "./images.js";
import { bodyProblem, type CompiledMessage, compile, needsRecipient } from "./message.js";
import { type Attachment, contentTypeOf } from "./mime.js";
import { looksLikeHtml } from "./text.js";
import { unescapeStored } from "./unescape.js";
import type { Unsubscribe } from "./unsubscribe.js";

/** A campaign as it is sent: read, checked and compiled once. */
export interface Campaign {
  readonly id: number;
  readonly description: string;
  readonly owner: number | undefined;
  readonly source: Source;
  readonly listId: number | undefined;
  readonly replyTo: string;
  readonly message: CompiledMessage;
  /** Changes when the campaign's recipients or template are exchanged while it runs. */
  readonly key: string;
}

export interface CatalogOptions {
  readonly db: Database;
  readonly files: FileRoots;
  readonly maxMail: number;
  /** Whether doubled escaping in stored texts is undone. */
  readonly unescaping: boolean;
  readonly unsubscribe: Unsubscribe | undefined;
  readonly defaults: Readonly<Record<string, string>>;
  readonly zone: string;
  readonly now: () => number;
  readonly allTenants: boolean;
}

/** Reads what a campaign is and whom it is for; the cached reads of Server 1. */
export class Catalog {
  constructor(private readonly options: CatalogOptions) {}

  /** Throws `files` with the reason when something that the campaign needs is missing: it is to be held. */
  async load(campaignId: number, statusOwner: number | undefined): Promise<Campaign> {
    const master = await readMaster(this.options.db, campaignId);
    if (!master) throw missing(`campaign ${campaignId} has no row in campaign_master`);
    const owner = master.userId ?? statusOwner;
    const source = sourceOf(master);
    if (source.kind === "all" && owner === undefined && !this.options.allTenants) {
      throw missing("the campaign has neither owner, list nor import batch; set one of them, or fill.allTenants");
    }
    return {
      id: campaignId,
      description: master.description,
      owner,
      source,
      listId: master.listId,
      replyTo: master.replyTo,
      message: await this.message(master),
      key: sourceKeyOf(master),
    };
  }

  /** The merge fields of these recipients, keyed by address in lower case; one statement for a whole claim. */
  async recipients(campaign: Campaign, addresses: readonly string[]): Promise<(address: string) => RecipientFields> {
    const { defaults, zone, db } = this.options;
    const options = { defaults, now: { epochMs: this.options.now(), zone } };
    const nobody = recipientFields({}, "none", options);
    if (!needsRecipient(campaign.message)) return () => nobody;
    const found = new Map<string, RecipientFields>();
    await this.collect(found, campaign.source, addresses, options);
    const unseen = addresses.filter((address) => !found.has(keyOf(address)));
    // The queue has the address without the blanks around it; the source may hold them, and an index finds only what is equal.
    await this.collect(found, campaign.source, unseen.flatMap(withBlanks), options);
    const missed = campaign.source.kind === "all" ? [] : addresses.filter((address) => !found.has(keyOf(address)));
    if (missed.length > 0) {
      // Not in its own source any more: whatever the lists know of the address (the list's own row first).
      const elsewhere: Source =
        campaign.listId === undefined ? { kind: "all" } : { kind: "list", listId: campaign.listId };
      for (const { address, row } of await recipientRows(db, elsewhere, missed)) {
        if (!found.has(keyOf(address))) found.set(keyOf(address), recipientFields(row, "email", options));
      }
    }
    return (address) => found.get(keyOf(address)) ?? nobody;
  }

  private async collect(
    found: Map<string, RecipientFields>,
    source: Source,
    addresses: readonly string[],
    options: Parameters<typeof recipientFields>[2],
  ): Promise<void> {
    const kind = source.kind === "import" ? "import" : "email";
    for (const { address, row } of await recipientRows(this.options.db, source, addresses)) {
      if (!found.has(keyOf(address))) found.set(keyOf(address), recipientFields(row, kind, options));
    }
  }

  private async message(master: Master): Promise<CompiledMessage> {
    const { unescaping, unsubscribe } = this.options;
    const clean = (text: string) => (unescaping ? unescapeStored(text) : text);
    const body = await this.body(master, clean);
    const asHtml = master.templateId !== undefined || master.sendAsHtml || looksLikeHtml(body);
    const text = { html: asHtml ? body : null, text: asHtml ? null : body };
    const problem = bodyProblem(text);
    if (problem !== null) throw missing(problem);
    const images = asHtml ? await this.images(body) : [];
    const attachments = await this.attachments(master);
    const size = [...images, ...attachments].reduce((sum, file) => sum + (file.content.length * 4) / 3, body.length);
    if (size > this.options.maxMail) {
      throw missing(
        `the mail would be ${Math.ceil(size / 1048576)} MB large; files.maxMail allows ${this.options.maxMail / 1048576} MB`,
      );
    }
    return compile({ subject: clean(master.subject), ...text, images, attachments, listUnsubscribe: unsubscribe });
  }

  private async body(master: Master, clean: (text: string) => string): Promise<string> {
    if (master.templateId === undefined) return clean(master.body);
    const html = await readTemplate(this.options.db, master.templateId);
    if (html === undefined) throw missing(`template ${master.templateId} is missing or switched off`);
    return clean(html);
  }

  private async images(html: string): Promise<InlineImage[]> {
    const { files } = this.options;
    const images: InlineImage[] = [];
    for (const [index, src] of imageSources(html, files.prefixes).entries()) {
      const { bytes, name } = await resolveFile(src, files);
      images.push({ src, cid: `img${index + 1}@campaignd`, name, contentType: contentTypeOf(name), content: bytes });
    }
    return images;
  }

  private async attachments(master: Master): Promise<Attachment[]> {
    const attachments: Attachment[] = [];
    for (const stored of attachmentList(master.attachmentPath)) {
      const { bytes, name } = await resolveFile(stored, this.options.files);
      attachments.push({ name, contentType: contentTypeOf(name), content: bytes });
    }
    return attachments;
  }
}

function sourceOf(master: Master): Source {
  if (master.batchId !== undefined) return { kind: "import", batchId: master.batchId };
  return master.listId === undefined ? { kind: "all" } : { kind: "list", listId: master.listId };
}

const BLANKS = [" ", "\u00a0", "\t"];
const ENDS = ["\u00a0", "\t", "\r\n", "\n"];

/** How a sheet may hold this address; blanks at its end are equal to none for the server. */
const withBlanks = (address: string): string[] => [
  ...BLANKS.map((blank) => `${blank}${address}`),
  ...ENDS.map((end) => `${address}${end}`),
];

const keyOf = (address: string): string => address.trim().toLowerCase();

const missing = (reason: string): CampaigndError => new CampaigndError("files", reason);
