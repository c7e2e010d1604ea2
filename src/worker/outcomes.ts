import { messageId } from "../campaign/message.js";
import { suppressedText } from "../campaign/suppression.js";
import type { Settlement } from "../db/settlements.js";
import type { News } from "../events.js";
import type { Claim } from "./batch.js";
import { attemptText, type Outcome } from "./judge.js";

/** What a claim ended with, ready to be stored and told. */
export type Ending = Outcome | { readonly kind: "suppressed"; readonly reason: string };

/** The row contract's form of an ending (contract §4). */
export function settlementOf(claim: Claim, ending: Ending): Settlement {
  const { mailId, campaignId } = claim;
  const accountId = claim.seat.account.facts.id;
  switch (ending.kind) {
    case "sent":
      return { kind: "sent", mailId };
    case "retry": {
      const retry = { campaignId, dueInSeconds: ending.dueInMs / 1000, class: ending.class, accountId };
      return { kind: "failed", mailId, attempts: ending.attempts, text: ending.text, retry };
    }
    case "discarded":
      return { kind: "failed", mailId, attempts: 5, text: ending.text };
    case "suppressed":
      return { kind: "failed", mailId, attempts: 5, text: suppressedText(ending.reason) };
    case "released":
      return { kind: "released", mailId, before: claim.before };
    case "unknown": {
      const unknown = { campaignId, messageId: messageIdOf(claim), accountId, why: ending.why };
      return {
        kind: "unknown",
        mailId,
        text: `[UNKNOWN] ${attemptText(claim.attempts + 1, "unknown", ending.why)}`,
        unknown,
      };
    }
    default:
      return ending satisfies never;
  }
}

/** Does the row have its final state now, and which count does it move to? */
export function changeOf(ending: Ending): "sent" | "failed" | undefined {
  if (ending.kind === "sent") return "sent";
  return ending.kind === "retry" || ending.kind === "released" ? undefined : "failed";
}

/** Tells the news of one mail, once its outcome is stored. */
export function tell(news: News, claim: Claim, ending: Ending, ms: number): void {
  const { mailId, campaignId } = claim;
  const account = claim.seat.account.facts.id;
  const attempt = claim.attempts + 1;
  const common = { campaignId, mailId, account };
  switch (ending.kind) {
    case "sent":
      return news.emit("mail:sent", { ...common, attempt, ms: Math.round(ms), reply: ending.reply });
    case "retry":
      return news.emit("mail:deferred", {
        ...common,
        attempt,
        class: ending.class,
        dueInMs: Math.round(ending.dueInMs),
        reply: ending.text,
      });
    case "discarded":
      return news.emit("mail:discarded", { ...common, attempt, class: ending.class, reply: ending.text });
    case "suppressed":
      return news.emit("mail:suppressed", { campaignId, mailId, reason: ending.reason });
    case "released":
      return news.emit("mail:released", { ...common, reason: ending.reason });
    case "unknown":
      return news.emit("mail:unknown", { ...common, messageId: messageIdOf(claim), why: ending.why });
    default:
      return ending satisfies never;
  }
}

function messageIdOf(claim: Claim): string {
  return messageId(claim.campaignId, claim.mailId, claim.seat.account.facts.email);
}
