import fc from "fast-check";
import { simpleParser } from "mailparser";
import { describe, expect, test } from "vitest";
import { addressHeader, dateHeader, mailboxHeader, textHeader, tokenHeader } from "../../src/campaign/headers.js";
import { unsubscribeHeaders } from "../../src/campaign/unsubscribe.js";

const words = fc.oneof(
  fc.string({ unit: "binary", maxLength: 400 }),
  fc.string({
    unit: fc.constantFrom("a", "bc", " ", "é", "😀", '"', "\\", ",", "<", "=?", "?=", "\r\n", "\0"),
    maxLength: 300,
  }),
);

/** One header: its lines are short ASCII, and each after the first is a continuation that is not blank. */
function expectOneHeader(header: string): void {
  expect(header.endsWith("\r\n")).toBe(true);
  const [first = "", ...rest] = header.slice(0, -2).split("\r\n");
  for (const line of [first, ...rest]) expect(line).toMatch(/^[ -~]{0,78}$/);
  for (const line of rest) expect(line).toMatch(/^ +\S/);
}

describe("textHeader", () => {
  test.each([
    ["Hello", "Subject: Hello\r\n"],
    ["", "Subject: \r\n"],
    ["Hi\r\nBcc: x@y.example", "Subject: Hi Bcc: x@y.example\r\n"],
    ["=?UTF-8?Q?x?=", "Subject: =?UTF-8?B?PT9VVEYtOD9RP3g/PQ==?=\r\n"],
    ["é", "Subject: =?UTF-8?B?w6k=?=\r\n"],
  ])("writes %j", (value, header) => {
    expect(textHeader("Subject", value)).toBe(header);
  });

  test("folds long ASCII at its blanks", () => {
    const header = textHeader("Subject", "word ".repeat(40));
    expectOneHeader(header);
    expect(header).not.toContain("=?");
  });

  test("is one header and reads back, whatever the text", async () => {
    await fc.assert(
      fc.asyncProperty(words, async (value) => {
        const header = textHeader("Subject", value);
        expectOneHeader(header);
        const parsed = await simpleParser(`${header}\r\nx`);
        const plain = value
          .replace(/[^\P{Cc}\t\r\n]/gu, "")
          .replace(/[\t\r\n]+/g, " ")
          .trim();
        expect(parsed.subject ?? "").toBe(Buffer.from(plain, "utf8").toString("utf8"));
      }),
    );
  });
});

describe("mailboxHeader", () => {
  test.each([
    ["", "From: a@b.example\r\n"],
    ["Bob Fine", "From: Bob Fine <a@b.example>\r\n"],
    ["Fine, Bob", 'From: "Fine, Bob" <a@b.example>\r\n'],
    ['Bob "B" \\', 'From: "Bob \\"B\\" \\\\" <a@b.example>\r\n'],
    ["Zoë", "From: =?UTF-8?B?Wm/Dqw==?= <a@b.example>\r\n"],
  ])("writes the name %j", (name, header) => {
    expect(mailboxHeader("From", name, "a@b.example")).toBe(header);
  });

  test("names one sender, whatever the name", async () => {
    await fc.assert(
      fc.asyncProperty(words, async (name) => {
        const header = mailboxHeader("From", name, "a@b.example");
        expectOneHeader(header);
        const parsed = await simpleParser(`${header}\r\nx`);
        expect(parsed.from?.value.map(({ address }) => address)).toEqual(["a@b.example"]);
      }),
    );
  });
});

test("addresses and ids cannot begin a header or a second address", () => {
  expect(addressHeader("To", "a@b.example\r\nBcc: x@y.example, z")).toBe("To: a@b.exampleBccx@y.examplez\r\n");
  expect(tokenHeader("Message-ID", "<1@x>\r\nX: y")).toBe("Message-ID: <1@x>X:y\r\n");
});

test("dateHeader writes RFC 5322 in UTC", () => {
  expect(dateHeader(Date.UTC(2026, 10, 24, 6, 0, 7))).toBe("Date: Tue, 24 Nov 2026 06:00:07 +0000\r\n");
});

describe("unsubscribeHeaders", () => {
  test("fills the link and offers one click", () => {
    const to = { url: "https://u.example/{campaign}/{mail}?e={email}", mailto: "out@u.example?subject={email}" };
    expect(unsubscribeHeaders(to, "a+b@c.example", "<c7.m9@s.example>")).toBe(
      "List-Unsubscribe: <https://u.example/7/9?e=a%2Bb%40c.example>,\r\n <mailto:out@u.example?subject=a%2Bb%40c.example>\r\n" +
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
    );
  });

  test("offers no click by mail alone, and nothing where nothing is set", () => {
    expect(unsubscribeHeaders({ mailto: "out@u.example" }, "a@b.c", "<c1.m2@s>")).toBe(
      "List-Unsubscribe: <mailto:out@u.example>\r\n",
    );
    expect(unsubscribeHeaders({}, "a@b.c", "<c1.m2@s>")).toBe("");
  });

  test("stays two headers whatever the address", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (address) => {
        const lines = unsubscribeHeaders({ url: "https://u.example/?e={email}" }, address, "<c1.m2@s>").split("\r\n");
        expect(lines).toHaveLength(3);
        expect(lines[0]).toMatch(/^List-Unsubscribe: <[!-;=?-~]+>$/);
      }),
    );
  });
});
