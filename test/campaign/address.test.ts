import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseAddress } from "../../src/campaign/address.js";

describe("parseAddress", () => {
  test.each([
    ["a@b.co", "a@b.co"],
    ["  First.Last+tag@Example.COM\t", "First.Last+tag@example.com"],
    ["o'hara@x-y.example", "o'hara@x-y.example"],
    ["user@bücher.example", "user@xn--bcher-kva.example"],
    ["user@XN--BCHER-KVA.example", "user@xn--bcher-kva.example"],
    [`${"l".repeat(64)}@x.example`, `${"l".repeat(64)}@x.example`],
    [`a@${"d".repeat(63)}.example`, `a@${"d".repeat(63)}.example`],
  ])("reads %j as %j", (raw, address) => {
    expect(parseAddress(raw)).toEqual({ ok: true, address, ascii: true });
  });

  test("says that a local part beyond ASCII needs more than plain SMTP", () => {
    expect(parseAddress("jürgen@x.example")).toEqual({ ok: true, address: "jürgen@x.example", ascii: false });
  });

  test.each([
    ["", "empty"],
    ["   ", "empty"],
    ["plain", "has no @"],
    ["a@b@c.example", "more than one @"],
    ["a@b.example, c@d.example", "holds a space"],
    ["a@b.example,c@d.example", "more than one address"],
    ["a@b.example;c@d.example", "more than one address"],
    ["a b@c.example", "holds a space"],
    ["a\u3000b@c.example", "holds a space"],
    ["a@c.example\r\nRCPT TO:<x@y.example>", "line break"],
    ["a@c.example\n", "line break"],
    ["a\0@c.example", "control or invisible"],
    ["a@gm\u200bail.example", "control or invisible"],
    ["a\ud800@c.example", "control or invisible"],
    ["Bob <bob@c.example>", "holds a space"],
    ["<bob@c.example>", "angle brackets"],
    ['"a b"@c.example', "quoted part"],
    ["@c.example", "nothing before the @"],
    [".a@c.example", "misplaced dot before"],
    ["a.@c.example", "misplaced dot before"],
    ["a..b@c.example", "misplaced dot before"],
    ["a(x)@c.example", "no address may hold"],
    [`${"l".repeat(65)}@x.example`, "more than 64 octets"],
    [`${"é".repeat(33)}@x.example`, "more than 64 octets"],
    ["a@localhost", "without a dot"],
    ["a@c.example.", "misplaced dot in its domain"],
    ["a@.c.example", "misplaced dot in its domain"],
    ["a@c..example", "misplaced dot in its domain"],
    ["a@-c.example", "no valid domain"],
    ["a@c_d.example", "no valid domain"],
    ["a@c%2eexample.org", "no valid domain"],
    ["a@[127.0.0.1]", "no valid domain"],
    ["a@127.1", "number for a domain"],
    [`a@${"d".repeat(64)}.example`, "domain"],
    [`a@${"d.".repeat(125)}example`, "longer than 254"],
    [`a@${"é".repeat(240)}.example`, "domain"],
  ])("refuses %j: %s", (raw, reason) => {
    const parsed = parseAddress(raw);
    expect(parsed).toMatchObject({ ok: false });
    expect(parsed.ok ? "" : parsed.reason).toContain(reason);
  });

  test("takes nothing that could be two recipients, a header or another command", () => {
    const pieces = fc.string({
      unit: fc.constantFrom("a", "b", "@", ".", ",", ";", "<", ">", " ", "\r", "\n", "\0", "é", '"', "\\"),
    });
    fc.assert(
      fc.property(fc.oneof(pieces, fc.string({ unit: "binary" })), (raw) => {
        const parsed = parseAddress(raw);
        if (parsed.ok) expect(parsed.address).toMatch(/^[^\s@<>,;:"\\\p{Cc}]+@[a-z0-9.-]+$/u);
      }),
      { numRuns: 2_000 },
    );
  });

  test("reads its own answer as itself", () => {
    fc.assert(
      fc.property(fc.emailAddress(), (raw) => {
        const parsed = parseAddress(raw);
        if (parsed.ok) expect(parseAddress(parsed.address)).toEqual(parsed);
      }),
    );
  });
});
