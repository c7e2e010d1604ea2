import pRetry from "p-retry";
import { type Clock, systemClock } from "./clock.js";
import { CampaigndError } from "./errors.js";

/** How waits grow: the nth wait lies between 0 and `first × factor^(n-1)` milliseconds, never above `max`. */
export interface BackoffPolicy {
  readonly first: number;
  readonly max: number;
  readonly factor?: number;
}

export interface RetryPolicy extends BackoffPolicy {
  /** Calls in all, the first included. */
  readonly tries: number;
  /** Whether another call can help; a refused login or a lost fence answers false. */
  readonly retryOn: (error: unknown) => boolean;
  /** Milliseconds for everything: no wait begins that would end after it. A running call is not cut: it has its own limit. */
  readonly budget?: number;
  readonly signal?: AbortSignal;
}

/**
 * How many milliseconds to wait after the `attempt`th failure (from 1), with full jitter: when a server comes back, all who
 * waited for it would otherwise return in the same instant and bring it down again.
 */
export function backoff(attempt: number, policy: BackoffPolicy, random: () => number = Math.random): number {
  const grown = policy.first * (policy.factor ?? 2) ** Math.max(0, attempt - 1);
  return random() * Math.min(policy.max, grown);
}

/**
 * Calls `fn` until it answers, and throws its last error when tries, budget or `retryOn` say so; throws `stopped` when the
 * signal aborts before an attempt. An answer that arrives after the abort is still returned: the work is done.
 */
export async function retry<T>(
  fn: (attempt: number) => Promise<T>,
  policy: RetryPolicy,
  clock: Clock = systemClock,
): Promise<T> {
  const { tries, retryOn, signal } = policy;
  const endsAt = clock.monotonic() + (policy.budget ?? Number.POSITIVE_INFINITY);
  if (signal?.aborted) throw stopped();

  // p-retry counts, we wait: its own wait has no full jitter, and its signal throws away an answer that came after the abort.
  return pRetry(fn, {
    retries: tries - 1,
    minTimeout: 0,
    shouldRetry: async ({ error, attemptNumber }) => {
      if (!retryOn(error)) return false;
      const wait = backoff(attemptNumber, policy);
      if (clock.monotonic() + wait > endsAt) return false;
      await clock.sleep(wait, signal);
      if (signal?.aborted) throw stopped(error);
      return true;
    },
  });
}

/** `ms` moved by at most ±`share` of itself. Drawn once and kept, so that mails deferred together do not all come due together. */
export function spread(ms: number, share: number, random: () => number = Math.random): number {
  return ms * (1 + share * (2 * random() - 1));
}

function stopped(cause?: unknown): CampaigndError {
  return new CampaigndError("stopped", "gave up between two attempts because we are stopping", {}, { cause });
}
