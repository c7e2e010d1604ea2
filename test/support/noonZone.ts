import { systemClock } from "../../src/clock.js";

const HOUR = 60;
const DAY = 24 * HOUR;

/** A fixed offset in which it is about half past twelve now: no hour and no day turns while a test counts them. */
export function noonZone(): string {
  const utc = Math.floor(systemClock.now() / 60_000) % DAY;
  // From -11:30 to +12:29: offsets that clocks on earth have.
  const ahead = ((12.5 * HOUR - utc + 11.5 * HOUR + DAY) % DAY) - 11.5 * HOUR;
  const [sign, span] = [ahead < 0 ? "-" : "+", Math.abs(ahead)];
  const two = (n: number) => String(n).padStart(2, "0");
  return `${sign}${two(Math.floor(span / HOUR))}:${two(span % HOUR)}`;
}
