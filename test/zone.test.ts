import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isKind } from "../src/errors.js";
import { nextHour, nextMidnight, validZone, zonedDate, zonedStamp } from "../src/zone.js";

const at = (iso: string): number => Date.parse(iso);
const iso = (ms: number): string => new Date(ms).toISOString().replace(".000Z", "Z");

describe("the clock of a zone", () => {
  test.each([
    ["Asia/Kolkata", "2026-01-15T18:29:59Z", "2026-01-15 23:59:59"],
    ["Asia/Kolkata", "2026-01-15T18:30:00Z", "2026-01-16 00:00:00"],
    ["+05:30", "2026-01-15T18:30:00Z", "2026-01-16 00:00:00"],
    ["-03:30", "2026-01-01T03:29:59Z", "2025-12-31 23:59:59"],
    ["Europe/Berlin", "2026-03-29T00:59:59Z", "2026-03-29 01:59:59"],
    ["Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29 03:00:00"],
    ["Europe/Berlin", "2026-10-25T00:59:59Z", "2026-10-25 02:59:59"],
    ["Europe/Berlin", "2026-10-25T01:00:00Z", "2026-10-25 02:00:00"],
    ["Pacific/Auckland", "2026-04-04T13:59:59Z", "2026-04-05 02:59:59"],
    ["Pacific/Auckland", "2026-04-04T14:00:00Z", "2026-04-05 02:00:00"],
    ["UTC", "2024-02-29T00:00:00Z", "2024-02-29 00:00:00"],
  ])("%s shows at %s the time %s", (zone, instant, shown) => {
    expect(zonedStamp(at(instant), zone)).toBe(shown);
  });

  test("the parts are numbers, with January as 1 and midnight as hour 0", () => {
    expect(zonedDate(at("2025-12-31T18:30:05Z"), "Asia/Kolkata")).toEqual({
      year: 2026,
      month: 1,
      day: 1,
      hour: 0,
      minute: 0,
      second: 5,
    });
  });

  test("the part below the second is dropped, not rounded", () => {
    expect(zonedStamp(at("2026-01-15T18:29:59.999Z"), "+05:30")).toBe("2026-01-15 23:59:59");
  });
});

describe("the next calendar hour", () => {
  test.each([
    ["a half-hour zone", "Asia/Kolkata", "2026-01-15T10:29:59Z", "2026-01-15T10:30:00Z"],
    ["from the start of an hour", "Asia/Kolkata", "2026-01-15T10:30:00Z", "2026-01-15T11:30:00Z"],
    ["a fixed offset", "+05:45", "2026-01-15T10:14:00Z", "2026-01-15T10:15:00Z"],
    ["into the skipped hour", "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"],
    ["an hour shown twice is one hour", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"],
    ["also from its second half", "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"],
    ["a clock put back half an hour", "Australia/Lord_Howe", "2026-04-04T14:10:00Z", "2026-04-04T15:30:00Z"],
    ["a clock put forward one minute past", "America/St_Johns", "2010-03-14T03:30:30Z", "2010-03-14T03:31:00Z"],
  ])("%s", (_name, zone, from, next) => {
    expect(iso(nextHour(at(from), zone))).toBe(next);
  });
});

describe("the next calendar day", () => {
  test.each([
    ["Asia/Kolkata", "2026-01-15T18:29:59Z", "2026-01-15T18:30:00Z"],
    ["Asia/Kolkata", "2026-01-15T18:30:00Z", "2026-01-16T18:30:00Z"],
    ["+05:30", "2026-01-15T10:00:00Z", "2026-01-15T18:30:00Z"],
    ["Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"],
    ["Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"],
    ["Pacific/Auckland", "2026-04-04T11:00:00Z", "2026-04-05T12:00:00Z"],
    ["Pacific/Auckland", "2026-09-26T12:00:00Z", "2026-09-27T11:00:00Z"],
    ["Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-23T22:00:00Z"],
  ])("in %s after %s begins at %s", (zone, from, next) => {
    expect(iso(nextMidnight(at(from), zone))).toBe(next);
  });

  test("comes after the next hour or with it, and always shows another date", () => {
    const zones = fc.constantFrom("Asia/Kolkata", "Europe/Berlin", "Pacific/Auckland", "America/St_Johns", "-09:30");
    fc.assert(
      fc.property(
        zones,
        fc.integer({ min: at("2011-12-01T00:00:00Z"), max: at("2037-01-01T00:00:00Z") }),
        (zone, now) => {
          const hour = nextHour(now, zone);
          const day = nextMidnight(now, zone);
          expect(hour).toBeGreaterThan(now);
          expect(day).toBeGreaterThanOrEqual(hour);
          expect(zonedStamp(hour, zone).slice(0, 13)).not.toBe(zonedStamp(now, zone).slice(0, 13));
          expect(zonedStamp(hour - 1, zone).slice(0, 13)).toBe(zonedStamp(now, zone).slice(0, 13));
          expect(zonedStamp(day - 1, zone).slice(0, 10)).toBe(zonedStamp(now, zone).slice(0, 10));
          expect(zonedStamp(day, zone).slice(0, 10)).not.toBe(zonedStamp(now, zone).slice(0, 10));
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("the name of a zone", () => {
  test.each(["Asia/Kolkata", "UTC", "+05:30", "-11:00", "+14:00", "Etc/GMT+5"])("%s is one", (zone) => {
    expect(validZone(zone)).toBe(true);
  });

  test.each(["Asia/Bombay2", "", "SYSTEM", "+5:30", "+0530", "+15:00", "+05:60", "Asia/Kolkata; x"])(
    "'%s' is none",
    (zone) => {
      expect(validZone(zone)).toBe(false);
    },
  );

  test("asking the time of an unknown zone throws a configuration error that says what to write", () => {
    try {
      zonedStamp(0, "Mars/Olympus");
      expect.unreachable();
    } catch (error) {
      expect(isKind(error, "config")).toBe(true);
      expect(String(error)).toContain("Asia/Kolkata");
    }
  });
});
