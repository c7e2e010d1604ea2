import { expect, it } from "vitest";
import { measure } from "../../scripts/benchRun.js";

const MAILS = 5000;

/** Machines vary and share their cores with the servers: `npm run bench` measures, this only sees that nothing has broken down. */
const SLOWEST = 250;

it("5,000 mails go out fast, with few statements and none a mail on Server 1", async () => {
  const { sent, rate, statements } = await measure({ rows: MAILS, accounts: 40 });
  process.stdout.write(
    `${Math.round(rate)} mails a second, ${(statements.total / MAILS).toFixed(4)} statements a mail\n`,
  );
  expect(sent).toBe(MAILS);
  expect(statements.total / MAILS).toBeLessThanOrEqual(0.2);
  expect(statements.emailId / MAILS).toBeLessThanOrEqual(0.05);
  expect(rate).toBeGreaterThan(SLOWEST);
}, 120_000);
