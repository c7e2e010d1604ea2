import { SIZE, SPAN } from "./quantity.js";
import type { Values } from "./setting.js";
import type { settings } from "./settings.js";

/** One line for each pair of settings that are right alone and wrong together. */
export function contradictions(config: Values<typeof settings>, where: (path: readonly string[]) => string): string[] {
  const { lease, monitor, pool, files } = config;
  const found: string[] = [];
  const check = (holds: boolean, path: string, what: string) => {
    if (!holds) found.push(`${[where(path.split(".")), path].join(" ").trim()}: ${what}`);
  };
  check(
    lease.ttl > lease.renew + lease.timeout,
    "lease.ttl",
    `${span(lease.ttl)} ends before a late renewal arrives; write more than lease.renew + lease.timeout, ${span(lease.renew + lease.timeout)}`,
  );
  for (const [slower, faster] of [
    ["far", "middle"],
    ["middle", "near"],
    ["near", "end"],
  ] as const) {
    check(
      monitor[slower] >= monitor[faster],
      `monitor.${slower}`,
      `${span(monitor[slower])} is shorter than monitor.${faster}; write ${span(monitor[faster])} or more`,
    );
  }
  check(
    pool.backoffMax >= pool.backoffFirst,
    "pool.backoffMax",
    `${span(pool.backoffMax)} is shorter than pool.backoffFirst; write ${span(pool.backoffFirst)} or more`,
  );
  check(
    pool.idleLimit < pool.sessionTimeout,
    "pool.idleLimit",
    `${span(pool.idleLimit)} lets the server close the connection first; write less than pool.sessionTimeout, ${span(pool.sessionTimeout)}`,
  );
  check(
    files.maxMail >= files.maxFile,
    "files.maxMail",
    `${SIZE.write(files.maxMail)} cannot hold one file of files.maxFile; write ${SIZE.write(files.maxFile)} or more`,
  );
  return found;
}

const span = SPAN.write;
