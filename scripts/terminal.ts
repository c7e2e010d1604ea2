import { stripVTControlCharacters } from "node:util";

/** Standard output as people see it: how wide, whether lines can be redrawn, and whether it shows colours (NO_COLOR). */
export const terminal = {
  interactive: process.stdout.isTTY === true,
  colours: process.stdout.isTTY === true && (process.env.NO_COLOR ?? "") === "",
  width: () => (process.stdout.isTTY ? process.stdout.columns || 100 : 100),
};

const paint = (code: number) => (text: string) => (terminal.colours ? `\u001b[${code}m${text}\u001b[0m` : text);
export const bold = paint(1);
export const dim = paint(2);
export const red = paint(31);
export const green = paint(32);
export const yellow = paint(33);
export const cyan = paint(36);

export function say(text = ""): void {
  process.stdout.write(`${text}\n`);
}

/** "12,345". */
export function figure(n: number): string {
  return n.toLocaleString("en-US");
}

/** "1 mail", "2 mails". */
export function counted(n: number, noun: string): string {
  return `${figure(n)} ${noun}${n === 1 ? "" : "s"}`;
}

/** A bar of `width` characters of which `share` (0 to 1) is full. */
export function bar(share: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return cyan("█".repeat(full)) + dim("░".repeat(width - full));
}

/** Rows under headings in aligned columns, two spaces apart; columns named in `right` stand to the right. */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[],
): string {
  const widths = headings.map((heading, i) => Math.max(heading.length, ...rows.map((row) => visible(row[i] ?? ""))));
  const line = (cells: readonly string[]) => {
    const padded = cells.map((cell, i) => {
      const gap = " ".repeat(Math.max(0, (widths[i] ?? 0) - visible(cell)));
      return right.includes(i) ? gap + cell : cell + gap;
    });
    return `  ${padded.join("  ")}`.trimEnd();
  };
  return [dim(line(headings)), ...rows.map(line)].join("\n");
}

/** Lines that are drawn over their last version on a terminal, and written anew elsewhere. */
export function liveLines(): { draw(lines: readonly string[]): void; end(): void } {
  let drawn = 0;
  return {
    draw(lines) {
      const up = drawn > 0 ? `\u001b[${drawn}A` : "\u001b[?25l";
      if (!terminal.interactive) return say(lines.join("\n"));
      process.stdout.write(up + lines.map((line) => `\u001b[2K${line}\n`).join(""));
      drawn = lines.length;
    },
    end() {
      if (terminal.interactive) process.stdout.write("\u001b[?25h");
    },
  };
}

function visible(text: string): number {
  return stripVTControlCharacters(text).length;
}
