import { CampaigndError, type ErrorKind } from "../errors.js";

interface DriverError {
  readonly code?: string;
  readonly errno?: number;
  readonly message?: string;
}

/** Server error numbers by kind (MariaDB and MySQL share them): weather, a person's task, or one row's fault. */
const BY_NUMBER: readonly [ErrorKind, readonly number[]][] = [
  ["unreachable", [1040, 1203, 1226, 1129, 1053, 1077, 1079, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 1047]],
  [
    "misconfigured",
    [1045, 1044, 1049, 1142, 1143, 1227, 1251, 1275, 1698, 1130, 1193, 1524, 1820, 1862, 3118, 3159, 4151],
  ],
  ["schema", [1054, 1146, 1364, 1305, 1091, 1176]],
  ["readOnly", [1290, 1792, 1836]],
  ["contention", [1205, 1213, 1317, 1969, 3024, 1020]],
  ["resources", [1021, 1114, 1030, 1461, 1037, 1038]],
  ["row", [1062, 1264, 1265, 1366, 1406, 1292, 1267, 1270, 1271, 3854, 1153, 1048, 1300]],
];

/** Driver and socket codes of a server that does not answer. */
const UNREACHABLE = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EPIPE",
  "ENOENT",
  "PROTOCOL_CONNECTION_LOST",
  "PROTOCOL_SEQUENCE_TIMEOUT",
  "PROTOCOL_ENQUEUE_AFTER_FATAL_ERROR",
  "ECONNABORTED",
]);
const MISCONFIGURED = new Set(["HANDSHAKE_NO_SSL_SUPPORT", "HANDSHAKE_SSL_ERROR", "ERR_TLS_CERT_ALTNAME_INVALID"]);

/** Says once what a driver error means; the driver's own object stays out, it carries the statement and its values. */
export function translate(error: unknown, doing: string): CampaigndError {
  if (error instanceof CampaigndError) return error.facts.waitedFor === "a dial" ? asItsCause(error) : error;
  const e = error as DriverError;
  const kind = kindOf(e);
  const facts = { doing, code: e.code ?? "", errno: e.errno ?? 0 };
  return new CampaigndError(kind, `${doing}: ${e.message ?? String(error)}`, facts);
}

/** Who waited in vain because the login is refused has met a refused login. */
function asItsCause(waited: CampaigndError): CampaigndError {
  const kind = kindOf(waited.cause as DriverError);
  return kind === "bug" || kind === "unreachable" ? waited : new CampaigndError(kind, waited.message, waited.facts);
}

function kindOf(e: DriverError): ErrorKind {
  if (e.errno !== undefined && e.errno > 0) {
    const found = BY_NUMBER.find(([, numbers]) => numbers.includes(e.errno ?? 0));
    if (found) return found[0];
  }
  if (e.code !== undefined && UNREACHABLE.has(e.code)) return "unreachable";
  if (e.code !== undefined && (MISCONFIGURED.has(e.code) || /CERT|SELF_SIGNED/.test(e.code))) return "misconfigured";
  return "bug";
}

/** Failed fast before anything ran, so that an idempotent statement may be tried again in place (never after a time-out). */
export function failedFast(error: unknown): boolean {
  if (error instanceof CampaigndError) {
    return (
      error.kind === "unreachable" &&
      error.facts.timedOut !== true &&
      error.facts.refused !== true &&
      error.facts.code !== "ETIMEDOUT"
    );
  }
  const e = error as DriverError;
  return kindOf(e) === "unreachable" && e.code !== "ETIMEDOUT";
}
