import { isAbsolute } from "node:path";
import { z } from "zod";
import { days, seconds } from "../clock.js";
import { validZone } from "../zone.js";
import { type Quantity, SIZE, SPAN } from "./quantity.js";
import type { Kind } from "./setting.js";

export const text: Kind<string> = { type: "text", example: "it in quotes", schema: z.string() };

export const word: Kind<string> = {
  type: "text without spaces",
  example: "a single word",
  schema: z.string().regex(/^\S+$/),
};

export const httpsUrl: Kind<string> = {
  type: "an https address",
  example: "an address that starts with https://",
  schema: z.string().regex(/^https:\/\/\S+$/),
};

export const path: Kind<string> = {
  type: "an absolute path",
  example: "a path that starts with /",
  schema: z.string().refine((value) => isAbsolute(value) && !value.includes("\0")),
};

export const zone: Kind<string> = {
  type: "a time zone",
  example: "an IANA name such as Asia/Kolkata, or a fixed offset such as +05:30",
  schema: z.string().refine(validZone),
};

export const flag: Kind<boolean> = {
  type: "true or false",
  example: "true or false",
  schema: z.boolean(),
  fromText: (given) => ({ true: true, false: false })[given] ?? given,
};

/** A whole number from `min` to `max`. */
export function count(min: number, max: number): Kind<number> {
  return {
    type: `a whole number from ${min} to ${max}`,
    example: "the digits alone",
    schema: z.int().min(min).max(max),
    fromText: asNumber,
  };
}

/** A number from 0 to `max`. */
export function ratio(max: number): Kind<number> {
  return {
    type: `a number from 0 to ${max}`,
    example: "a share such as 0.2",
    schema: z.number().min(0).max(max),
    fromText: asNumber,
  };
}

/** Milliseconds from a span such as "250ms"; at most 24 days where it is slept, since a longer timer would fire at once. */
export function duration(min = 1, max = days(24)): Kind<number> {
  return quantity(SPAN, min, max);
}

/** A duration that a server takes in whole seconds only. */
export function wholeSeconds(): Kind<number> {
  const kind = duration(seconds(1));
  const schema = kind.schema.refine((ms) => ms % seconds(1) === 0);
  return { ...kind, type: "a duration of whole seconds", example: "whole seconds, such as 5s", schema };
}

/** Bytes from a size such as "25MB". */
export function size(min: number, max: number): Kind<number> {
  return quantity(SIZE, min, max);
}

/** One of these words. */
export function oneOf<const T extends string>(...words: readonly T[]): Kind<T> {
  const quoted = words.map((each) => `"${each}"`);
  const type = quoted.length === 2 ? quoted.join(" or ") : `one of ${quoted.join(", ")}`;
  return { type, example: type, schema: z.enum(words) };
}

/** A list of values of another kind; in the environment separated by commas, or JSON. */
export function listOf<T>(kind: Kind<T>, each: string, sample: string, min = 0, max = 10_000): Kind<readonly T[]> {
  const few = max < 100 ? `${min} to ${max} ` : "";
  return {
    type: `a list of ${few}${each}`,
    example: `it like ${sample}`,
    schema: z.array(kind.schema).min(min).max(max),
    fromText: (given) => asList(given, kind.fromText ?? asText),
    write: (values) => values.map((value) => (kind.write ? kind.write(value) : value)),
  };
}

/** A table of names and values; in the environment JSON. */
export function tableOf<T>(kind: Kind<T>, of: string): Kind<Readonly<Record<string, T>>> {
  return {
    type: `a table of ${of}`,
    example: "it like { name: value }",
    schema: z.record(z.string().min(1), kind.schema),
    fromText: asJson,
  };
}

/** The word "all", or a list of positive ids. */
export const allOrIds: Kind<"all" | readonly number[]> = {
  type: '"all" or a list of ids',
  example: "all, or ids such as [3, 7]",
  schema: z.union([z.literal("all"), z.array(z.int().positive())]),
  fromText: (given) => (given === "all" ? given : asList(given, asNumber)),
};

export const id: Kind<number> = { ...count(1, 2 ** 31 - 1), type: "an id" };

function quantity(unit: Quantity, min: number, max: number): Kind<number> {
  return {
    type: `${unit.noun} from ${unit.write(min)} to ${unit.write(max)}`,
    example: unit.example,
    schema: z
      .union([z.string(), z.number()])
      .transform((given) => unit.parse(given) ?? Number.NaN)
      .pipe(z.int().min(min).max(max)),
    write: unit.write,
  };
}

function asText(given: string): unknown {
  return given;
}

function asNumber(given: string): unknown {
  return given.trim() === "" || Number.isNaN(Number(given)) ? given : Number(given);
}

function asList(given: string, each: (text: string) => unknown): unknown {
  if (given.trim() === "") return [];
  if (given.trimStart().startsWith("[")) return asJson(given);
  return given.split(",").map((part) => each(part.trim()));
}

function asJson(given: string): unknown {
  try {
    return JSON.parse(given);
  } catch {
    return given;
  }
}
