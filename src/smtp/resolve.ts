import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { ReadThrough } from "../cache/readThrough.js";
import { minutes, systemClock } from "../clock.js";

interface Found {
  readonly addresses: readonly string[];
  turn: number;
}

const known = new ReadThrough<string, Found>({
  ttl: minutes(1),
  max: 1000,
  load: async (host) => ({ addresses: (await lookup(host, { all: true })).map(({ address }) => address), turn: 0 }),
});

/**
 * The address of a host as the machine itself resolves it (its hosts file included), remembered for a minute; each call gives
 * the next of several, so that one dead address does not stop a server. Throws the resolver's error, or after `timeout` ms.
 */
export async function resolveHost(host: string, timeout: number): Promise<string> {
  if (isIP(host)) return host;
  const enough = new AbortController();
  const late = systemClock.sleep(timeout, enough.signal).then(() => undefined);
  const found = await Promise.race([known.get(host), late]);
  enough.abort();
  if (!found) throw new Error(`no answer within ${timeout} ms`);
  const address = found.addresses[found.turn++ % found.addresses.length];
  if (address === undefined) throw new Error("it has no address");
  return address;
}
