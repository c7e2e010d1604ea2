import { spread } from "../backoff.js";
import type { Verdict } from "../smtp/verdict.js";

/** What becomes of a mail after a verdict. */
export type Outcome =
  | { readonly kind: "sent"; readonly reply: string }
  | {
      readonly kind: "retry";
      readonly attempts: number;
      readonly dueInMs: number;
      readonly class: string;
      readonly text: string;
    }
  | { readonly kind: "discarded"; readonly class: string; readonly text: string }
  | { readonly kind: "released"; readonly reason: string }
  | { readonly kind: "unknown"; readonly why: string };

export interface RetryRules {
  /** Milliseconds before the second, third, … attempt; the last one repeats. */
  readonly backoff: readonly number[];
  readonly jitter: number;
  readonly giveUpAfter: number;
}

/** Five attempts, as every reader of mail_blaster counts them (contract §4). */
export const MAX_ATTEMPTS = 5;

/** Decides by table (design: the path of one row); `attempts` counts those before this one, `failingFor` is milliseconds since the first failure. */
export function judge(
  verdict: Verdict,
  attempts: number,
  failingFor: number,
  rules: RetryRules,
  random: () => number = Math.random,
): Outcome {
  switch (verdict.kind) {
    case "accepted":
      return { kind: "sent", reply: verdict.reply };
    case "deferred":
      return deferred(verdict.class, verdict.reply, attempts + 1, failingFor, rules, random);
    case "rejected":
      return { kind: "discarded", class: verdict.class, text: attemptText(attempts + 1, verdict.class, verdict.reply) };
    case "refused":
      return { kind: "released", reason: `${verdict.class}: ${verdict.reply}` };
    case "withheld":
      return { kind: "released", reason: verdict.reason };
    case "unknown":
      return { kind: "unknown", why: verdict.why };
    default:
      return verdict satisfies never;
  }
}

function deferred(
  why: string,
  reply: string,
  attempt: number,
  failingFor: number,
  rules: RetryRules,
  random: () => number,
): Outcome {
  const text = attemptText(attempt, why, reply);
  if (attempt >= MAX_ATTEMPTS || failingFor >= rules.giveUpAfter) return { kind: "discarded", class: why, text };
  const wait = rules.backoff[Math.min(attempt, rules.backoff.length) - 1] ?? 0;
  return { kind: "retry", attempts: attempt, dueInMs: spread(wait, rules.jitter, random), class: why, text };
}

/** The form of error_message that the web application's readers know. */
export function attemptText(attempt: number, why: string, reply: string): string {
  return `[Attempt ${Math.min(attempt, MAX_ATTEMPTS)}] [${why}] ${reply}`;
}
