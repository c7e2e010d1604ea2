import { fixedOffset, formatOf, offsetAt } from "./zoneOffset.js";

/** What a wall clock in some zone shows; month is 1..12, hour 0..23. */
export interface ZonedDate {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** The date and time that a clock in `zone` shows at `epochMs`; an unknown zone throws `config`. */
export function zonedDate(epochMs: number, zone: string): ZonedDate {
  const local = new Date(epochMs + offsetAt(epochMs, zone));
  return {
    year: local.getUTCFullYear(),
    month: local.getUTCMonth() + 1,
    day: local.getUTCDate(),
    hour: local.getUTCHours(),
    minute: local.getUTCMinutes(),
    second: local.getUTCSeconds(),
  };
}

/** The same as text, "YYYY-MM-DD HH:MM:SS", the form that DATETIME columns take. */
export function zonedStamp(epochMs: number, zone: string): string {
  return new Date(epochMs + offsetAt(epochMs, zone)).toISOString().slice(0, 19).replace("T", " ");
}

/**
 * The epoch milliseconds at which the clock in `zone` next shows another calendar hour. An hour that the clock shows
 * twice is one hour: smtp_usage keys it by date and hour, so both halves share one limit.
 */
export function nextHour(epochMs: number, zone: string): number {
  const shown = hourShown(epochMs, zone);
  let at = epochMs;
  do at = nextHourMark(at, zone);
  while (hourShown(at, zone) === shown);
  return at;
}

/** The epoch milliseconds at which the next calendar day begins in `zone`: 01:00 where the clock skips midnight. */
export function nextMidnight(epochMs: number, zone: string): number {
  const today = zonedStamp(epochMs, zone).slice(0, 10);
  let at = epochMs;
  do at = nextHour(at, zone);
  while (zonedStamp(at, zone).slice(0, 10) === today);
  return at;
}

/** Whether `zone` is an IANA name that this Node knows, or a fixed offset such as "+05:30". */
export function validZone(zone: string): boolean {
  if (/^[+-]/.test(zone)) return fixedOffset(zone) !== undefined;
  try {
    formatOf(zone);
    return true;
  } catch {
    return false;
  }
}

function hourShown(epochMs: number, zone: string): string {
  return zonedStamp(epochMs, zone).slice(0, 13);
}

/** Where the minute hand next reaches twelve, or jumps to another hour before it does. */
function nextHourMark(epochMs: number, zone: string): number {
  const offset = offsetAt(epochMs, zone);
  const mark = epochMs + HOUR - modulo(epochMs + offset, HOUR);
  if (offsetAt(mark, zone) === offset) return mark;
  const jump = firstChange(epochMs, mark, zone);
  return hourShown(jump, zone) === hourShown(epochMs, zone)
    ? jump + HOUR - modulo(jump + offsetAt(jump, zone), HOUR)
    : jump;
}

/** The minute in (from, to] from which the offset of `to` holds. */
function firstChange(from: number, to: number, zone: string): number {
  const before = offsetAt(from, zone);
  let low = Math.floor(from / MINUTE);
  let high = Math.ceil(to / MINUTE);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offsetAt(middle * MINUTE, zone) === before) low = middle;
    else high = middle;
  }
  return high * MINUTE;
}

const modulo = (value: number, by: number): number => ((value % by) + by) % by;
