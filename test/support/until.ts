import { seconds, systemClock } from "../../src/clock.js";

const LOOK_EVERY = 20;

/** Looks again and again until the answer is something other than undefined or false; throws after `ms`, naming what it waited for. */
export async function until<T>(what: string, look: () => Promise<T | undefined | false>, ms = seconds(15)): Promise<T> {
  const end = systemClock.monotonic() + ms;
  for (;;) {
    const answer = await look();
    if (answer !== undefined && answer !== false) return answer;
    if (systemClock.monotonic() > end) throw new Error(`waited ${ms} ms in vain for ${what}`);
    await systemClock.sleep(LOOK_EVERY);
  }
}
