/** A written amount with a unit, and its number in the smallest unit. */
export interface Quantity {
  /** What it is, for messages: "<noun> from … to …". */
  readonly noun: string;
  /** How to write one. */
  readonly example: string;
  /** Whole smallest units, or undefined when the text is no such amount. */
  parse(this: void, given: string | number): number | undefined;
  /** The shortest exact text: 90000 ms is "90s", 7200000 ms is "2h". */
  write(this: void, value: number): string;
}

/** Spans of time in milliseconds: "250ms", "5s", "10m", "2h", "5d"; a bare number is seconds. */
export const SPAN: Quantity = quantity(
  { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 },
  { noun: "a duration", example: "a number with a unit, such as 250ms, 5s, 10m, 2h or 5d", bare: 1000 },
);

/** Sizes in bytes: "512KB", "25MB", "1GB" in powers of 1024; a bare number is bytes. */
export const SIZE: Quantity = quantity(
  { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 },
  { noun: "a size", example: "a number with a unit, such as 512KB, 25MB or 1GB", bare: 1 },
);

function quantity(
  units: Readonly<Record<string, number>>,
  { noun, example, bare }: { noun: string; example: string; bare: number },
): Quantity {
  const form = new RegExp(`^(\\d+(?:\\.\\d+)?)\\s*(${Object.keys(units).join("|")})?$`, "i");
  const factors = new Map(Object.entries(units).map(([unit, factor]) => [unit.toLowerCase(), factor]));
  return {
    noun,
    example,
    parse(given) {
      const match = form.exec(String(given).trim());
      if (!match) return undefined;
      return Math.round(Number(match[1]) * (factors.get(match[2]?.toLowerCase() ?? "") ?? bare));
    },
    write(value) {
      const fitting = Object.entries(units).filter(([, factor]) => value % factor === 0);
      const [unit, factor] = (value === 0 ? fitting[1] : fitting.at(-1)) ?? ["", 1];
      return `${value / factor}${unit}`;
    },
  };
}
