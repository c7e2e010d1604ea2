import { parseAddress } from "../campaign/address.js";
import type { Campaign } from "../campaign/catalog.js";
import type { RecipientFields } from "../campaign/fields.js";
import { messageId, render } from "../campaign/message.js";
import type { SmtpAccount } from "../db/smtpAccounts.js";
import { describe } from "../errors.js";
import type { SessionTarget } from "../smtp/connection.js";
import type { Sessions } from "../smtp/sessions.js";
import type { MailClass, Verdict } from "../smtp/verdict.js";
import type { Claim } from "./batch.js";

/** What was read ahead for the mails of one claim. */
export interface ReadAhead {
  readonly fields: (address: string) => RecipientFields;
  /** The reason when this recipient must get nothing; asks again when its answer has become too old. */
  suppressed(address: string): Promise<string | undefined>;
}

export interface DeliveryOptions {
  readonly sessions: Pick<Sessions, "use">;
  readonly account: (id: number) => { account: SmtpAccount; target: SessionTarget } | undefined;
  readonly now: () => number;
  /** Does everything rest, or this account? Its mails then go back without dialling. */
  readonly rests: (claim: Claim) => boolean;
}

/** What a delivery says: the server's verdict, or our own reason why none was asked for; that says nothing of the account. */
export type Delivered =
  | Verdict
  | { readonly kind: "suppressed"; readonly reason: string }
  | { readonly kind: "unsendable"; readonly class: MailClass; readonly reply: string };

const unsendable = (why: MailClass, reply: string): Delivered => ({ kind: "unsendable", class: why, reply });

/**
 * Carries one claim to its verdict: recipient checked, row released to a connection, mail composed, sent, gated before the dot.
 * What happens to the mail is returned; what happens to us is thrown.
 */
export async function deliver(
  claim: Claim,
  campaign: Campaign,
  ahead: ReadAhead,
  gate: () => Promise<boolean>,
  abort: AbortSignal,
  options: DeliveryOptions,
): Promise<Delivered> {
  const address = parseAddress(claim.to);
  if (!address.ok) return unsendable("address", address.reason);
  const known = options.account(claim.seat.account.facts.id);
  if (!known) return { kind: "withheld", reason: "the account is gone" };
  const ready = async () => {
    if (abort.aborted || options.rests(claim)) return false;
    await claim.batch.release(claim);
    return true;
  };
  const turn = { accountId: known.account.id, target: known.target, ready, abort };
  return options.sessions.use(turn, async (session, renew): Promise<Delivered> => {
    const reason = await ahead.suppressed(claim.to);
    if (reason !== undefined) return { kind: "suppressed", reason };
    if (!address.ascii && !session.takesUtf8) {
      return unsendable("address", "the server takes no addresses beyond ASCII (SMTPUTF8)");
    }
    const mail = compose(claim, campaign, ahead, known.account, address.address, options.now());
    if (!Buffer.isBuffer(mail)) return mail;
    const envelope = { from: known.account.email, to: address.address };
    const verdict = await session.send(envelope, mail, gate, abort);
    return session.wentStale(verdict) ? (await renew()).send(envelope, mail, gate, abort) : verdict;
  });
}

/** A mail that cannot be composed is this row's fault: it fails, the others go on. */
function compose(
  claim: Claim,
  campaign: Campaign,
  ahead: ReadAhead,
  account: SmtpAccount,
  to: string,
  now: number,
): Buffer | Delivered {
  try {
    return render(campaign.message, {
      to,
      fields: ahead.fields(claim.to),
      from: { name: account.fromName, address: account.email },
      replyTo: campaign.replyTo || account.replyTo,
      messageId: messageId(claim.campaignId, claim.mailId, account.email),
      date: now,
    });
  } catch (error) {
    return unsendable("content", `the mail could not be composed: ${describe(error)}`);
  }
}
