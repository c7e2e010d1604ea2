import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.js";
import { Database } from "../../src/db/database.js";
import { failedFast, translate } from "../../src/db/mysqlErrors.js";
import { CampaigndError, type ErrorKind } from "../../src/errors.js";
import { Breaker } from "../../src/pool/breaker.js";
import type { MysqlPool } from "../../src/pool/mysqlPool.js";

interface Line {
  readonly kind: ErrorKind;
  readonly codes: readonly (number | string)[];
  /** May an idempotent statement be tried again in place? */
  readonly retried: "failed fast" | "contention" | "never";
  readonly breaker: "opens at once" | "counts" | "untouched";
}

/** reliability §1.7, one line a class. */
const TABLE: readonly Line[] = [
  {
    kind: "unreachable",
    codes: [
      ...["ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "PROTOCOL_CONNECTION_LOST", "ECONNRESET", "EPIPE"],
      ...[1040, 1203, 1226, 1129, 1053],
    ],
    retried: "failed fast",
    breaker: "counts",
  },
  { kind: "unreachable", codes: ["ETIMEDOUT"], retried: "never", breaker: "counts" },
  {
    kind: "misconfigured",
    codes: [1045, 1044, 1049, 1142, 1143, "HANDSHAKE_NO_SSL_SUPPORT", 4151, 1862],
    retried: "never",
    breaker: "opens at once",
  },
  { kind: "schema", codes: [1054, 1146, 1364, 1305], retried: "never", breaker: "opens at once" },
  { kind: "readOnly", codes: [1290, 1792, 1836], retried: "never", breaker: "opens at once" },
  { kind: "contention", codes: [1205, 1213, 1317, 1969], retried: "contention", breaker: "untouched" },
  { kind: "resources", codes: [1021, 1114, 1030, 1461], retried: "never", breaker: "counts" },
  {
    kind: "row",
    codes: [1062, 1264, 1265, 1366, 1406, 1292, 1267, 1270, 1271, 1153],
    retried: "never",
    breaker: "untouched",
  },
];

const each = TABLE.flatMap((line) => line.codes.map((code) => ({ ...line, code })));
const driverError = (code: number | string) =>
  Object.assign(
    new Error("said the server"),
    typeof code === "number" ? { errno: code, code: `ER_${code}` } : { code },
  );

describe("error classes", () => {
  it.each(each)("$code is $kind, tried again: $retried, the breaker: $breaker", ({ code, kind, retried, breaker }) => {
    const raw = driverError(code);
    const error = translate(raw, "test");
    expect(error.kind).toBe(kind);
    const again = failedFast(raw) && failedFast(error) ? "failed fast" : kind === "contention" ? "contention" : "never";
    expect(again).toBe(retried);
    expect(breakerAfter(error)).toBe(breaker);
  });

  it("an error that no line names is a bug of ours and nobody's breaker", () => {
    const error = translate(driverError(1064), "test");
    expect(error.kind).toBe("bug");
    expect(breakerAfter(error)).toBe("untouched");
  });

  it("a deadline of our own counts, and is never tried again in place", () => {
    const error = new CampaigndError("unreachable", "no answer", { timedOut: true });
    expect(translate(error, "test")).toBe(error);
    expect(failedFast(error)).toBe(false);
    expect(breakerAfter(error)).toBe("counts");
  });

  it("who waited in vain for a dial has met what the dial met; who waited for a place has met nobody", () => {
    const waited = (waitedFor: string, cause: unknown) =>
      translate(new CampaigndError("unreachable", "waited", { timedOut: true, waitedFor }, { cause }), "test");
    expect(waited("a dial", driverError(1045)).kind).toBe("misconfigured");
    expect(waited("a dial", driverError("ECONNREFUSED")).kind).toBe("unreachable");
    expect(breakerAfter(waited("a dial", driverError("ECONNREFUSED")))).toBe("counts");
    expect(breakerAfter(waited("a place", new Error("time-out")))).toBe("untouched");
  });

  it("keeps statement and values out of the message, whatever the driver's error carries", () => {
    const raw = Object.assign(driverError(1062), { sql: "INSERT INTO t VALUES ('secret@example.org')" });
    const error = translate(raw, "test.insert");
    expect(JSON.stringify({ ...error, message: error.message })).not.toContain("secret@");
    expect(error.message).toBe("test.insert: said the server");
  });
});

/** What three of these in a row do to a closed breaker. */
function breakerAfter(error: CampaigndError): Line["breaker"] {
  const breaker = new Breaker({
    clock: systemClock,
    failures: 3,
    probeEvery: () => 1000,
    opened: () => undefined,
    closed: () => undefined,
  });
  const pool = {} as MysqlPool; // nothing is asked of it
  const db = new Database({ server: "crm", title: "Server 2", pool, breaker, statementTimeout: 1000 });
  db.judge(error);
  if (breaker.state !== undefined) return "opens at once";
  db.judge(error);
  db.judge(error);
  return breaker.state === undefined ? "untouched" : "counts";
}
