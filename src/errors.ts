/**
 * What kind of trouble an error is, in the words that answer "whose fault, and what now".
 *
 * - `config`: a setting, file or argument is wrong; no waiting mends it (exit 78 at start)
 * - `unreachable`: a server did not answer in time or the connection was lost
 * - `contention`: a lock wait or deadlock; the same statement may be tried again
 * - `misconfigured`: login, grant or database refused; a person must act
 * - `schema`: a table or column is missing
 * - `readOnly`: the server refuses writes for now
 * - `resources`: the server is out of disk, handles or memory
 * - `row`: the data of one row does not fit; never a server's fault
 * - `fenced`: another daemon leads; nothing was written
 * - `files`: a file is missing, outside the allowed roots or too large
 * - `stopped`: we are shutting down, or the caller's time ran out on our side
 * - `bug`: none of these; a human should look
 */
export type ErrorKind =
  | "config"
  | "unreachable"
  | "contention"
  | "misconfigured"
  | "schema"
  | "readOnly"
  | "resources"
  | "row"
  | "fenced"
  | "files"
  | "stopped"
  | "bug";

export type Facts = Readonly<Record<string, string | number | boolean | null>>;

/** Every error that campaignd throws on purpose: what was tried, on what, and what happens next; facts carry no secrets. */
export class CampaigndError extends Error {
  override readonly name = "CampaigndError";

  constructor(
    readonly kind: ErrorKind,
    message: string,
    readonly facts: Facts = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** The exit code of a start that no restart mends (sysexits.h EX_CONFIG; systemd's RestartPreventExitStatus names it). */
export const EXIT_CONFIG = 78;

export function isKind(error: unknown, ...kinds: readonly ErrorKind[]): error is CampaigndError {
  return error instanceof CampaigndError && kinds.includes(error.kind);
}

/** Is this the refusal of an open breaker? Its opening was said once; each refusal is not news. */
export function saidAlready(error: unknown): boolean {
  return error instanceof CampaigndError && error.facts.refused === true;
}

/** One readable line for any thrown value, with its causes. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : ` (${describe(error.cause)})`;
  return `${error.message}${cause}`;
}
