import { CampaigndError } from "./errors.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const REMEMBERED = 512;

const offsets = new Map<string, number>();
const formats = new Map<string, Intl.DateTimeFormat>();

/** Milliseconds by which the zone's clock is ahead of UTC; asked of Intl once a minute and zone, since asking costs microseconds. */
export function offsetAt(epochMs: number, zone: string): number {
  const fixed = fixedOffset(zone);
  if (fixed !== undefined) return fixed;
  const minute = Math.floor(epochMs / MINUTE) * MINUTE;
  const key = `${minute} ${zone}`;
  const known = offsets.get(key);
  if (known !== undefined) return known;
  if (offsets.size >= REMEMBERED) offsets.clear();
  const offset = askIntl(minute, zone);
  offsets.set(key, offset);
  return offset;
}

/** Milliseconds of an offset such as "+05:30", or undefined for anything else. */
export function fixedOffset(zone: string): number | undefined {
  const match = /^([+-])(\d{2}):([0-5]\d)$/.exec(zone);
  if (!match || Number(match[2]) > 14) return undefined;
  return (match[1] === "-" ? -1 : 1) * (Number(match[2]) * HOUR + Number(match[3]) * MINUTE);
}

function askIntl(epochMs: number, zone: string): number {
  const part = new Map(
    formatOf(zone)
      .formatToParts(epochMs)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const at = (type: Intl.DateTimeFormatPartTypes) => part.get(type) ?? 0;
  const shown = Date.UTC(at("year"), at("month") - 1, at("day"), at("hour"), at("minute"), at("second"));
  return shown - epochMs;
}

/** The format that tells the zone's wall clock; an unknown zone throws `config`. */
export function formatOf(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone);
  if (known) return known;
  try {
    const made = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      calendar: "gregory",
      numberingSystem: "latn",
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    formats.set(zone, made);
    return made;
  } catch (cause) {
    throw new CampaigndError(
      "config",
      `"${zone}" is no time zone; write an IANA name such as Asia/Kolkata or an offset such as +05:30`,
      { zone },
      { cause },
    );
  }
}
