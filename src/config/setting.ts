import type { z } from "zod";

/** One line of the configuration: what it means, what may be written, and how the written becomes the value. */
export interface Setting<T> {
  readonly sentence: string;
  /** The type in words, for messages ("… is not <type>") and the reference page. */
  readonly type: string;
  /** What to write instead of something wrong. */
  readonly example: string;
  /** The default as one writes it; undefined where there is none. */
  readonly byDefault: unknown;
  /** A value for the example file, where there is no default. */
  readonly sample?: unknown;
  readonly optional?: boolean;
  readonly secret?: boolean;
  readonly schema: z.ZodType<T>;
  /** The text of an environment variable as the file would hold it. */
  fromText(this: void, text: string): unknown;
  /** The value as one writes it, for `config show`. */
  write(this: void, value: T): unknown;
}

/** A setting that may be absent; the key is then absent from Config too. */
export interface Optional<T> extends Setting<T> {
  readonly optional: true;
}

/** A named group of settings. */
export interface Section<C = unknown> {
  readonly sentence: string;
  readonly settings: C;
}

/** Settings and sections by name. */
export type Settings = { readonly [key: string]: Setting<unknown> | Section<Settings> };

/** What may be written for a setting: shared by all settings of the kind. */
export interface Kind<T> extends Pick<Setting<T>, "type" | "example" | "schema"> {
  fromText?(this: void, text: string): unknown;
  write?(this: void, value: T): unknown;
}

export const section = <const C>(sentence: string, settings: C): Section<C> => ({ sentence, settings });

/** A setting of this kind with a default, written as in the file. */
export function setting<T>(kind: Kind<T>, byDefault: unknown, sentence: string): Setting<T> {
  return { fromText: (given) => given, write: (value) => value, ...kind, byDefault, sentence };
}

/** A setting of this kind that must be written. */
export function required<T>(kind: Kind<T>, sample: unknown, sentence: string): Setting<T> {
  return { ...setting(kind, undefined, sentence), sample };
}

/** A setting of this kind that need not be written. */
export function optional<T>(kind: Kind<T>, sample: unknown, sentence: string): Optional<T> {
  return { ...setting(kind, undefined, sentence), sample, optional: true };
}

/** A setting of this kind whose value is never shown, quoted or taken from the environment. */
export function secret<T>(kind: Kind<T>, sentence: string): Setting<T> {
  return { ...setting(kind, undefined, sentence), sample: "…", secret: true };
}

/** The values of a section after parsing: optional settings may be absent, all others are there. */
export type Values<C> = Flat<
  { readonly [K in keyof C as C[K] extends Optional<unknown> ? never : K]: Value<C[K]> } & {
    readonly [K in keyof C as C[K] extends Optional<unknown> ? K : never]?: Value<C[K]>;
  }
>;
type Value<N> = N extends Setting<infer T> ? T : N extends Section<infer C> ? Values<C> : never;
type Flat<T> = { [K in keyof T]: T[K] };
