import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { promisify } from "node:util";
import { SERVER_ENV } from "./mariadbTemplate.js";
import { until } from "./until.js";

const run = promisify(execFile);

/** A cable to a machine of our own: a network namespace at the far end of a veth pair, whose packets are really lost. */
export interface PacketLink {
  /** Our address on the cable, and that of the far machine. */
  readonly near: string;
  readonly far: string;
  /** The command that runs another one on the far machine as it is now; another command after reboot(). */
  readonly within: () => readonly string[];
  /** Pulls the cable: packets of both sides vanish, and nobody is told. */
  down(): Promise<void>;
  up(): Promise<void>;
  /** The far kernel starts anew, the cable still pulled: it knows no connection any more. Its programs must have ended. */
  reboot(): Promise<void>;
  /** Takes both ends and the far machine away; its programs must have ended. */
  remove(): Promise<void>;
}

const NEEDED =
  "this test drops packets in a network namespace of its own: it needs Linux, iproute2 (ip), util-linux (unshare, nsenter) " +
  "and root's rights. An ordinary user gives it those in a user namespace: " +
  "unshare --map-root-user --net npx vitest run test/faults/packets.test.ts";

/**
 * Lays a cable to a fresh namespace, up and with addresses of the test network 198.18.0.0/15 (RFC 2544).
 * It ends within seconds of this process, however that dies. Throws with what is missing where the machine does not let us.
 */
export async function startPacketLink(): Promise<PacketLink> {
  const tag = randomBytes(4).toString("hex");
  const [nearEnd, farEnd] = [`cmdn${tag}`, `cmdf${tag}`];
  // A random one of its 32768 nets of four addresses, so that two runs on one machine do not meet.
  const [net, host] = [`198.${randomInt(18, 20)}.${randomInt(256)}`, 4 * randomInt(64)];
  const [near, far] = [`${net}.${host + 1}`, `${net}.${host + 2}`];
  let machine = await boot();
  const within = (): [string, ...string[]] => ["nsenter", `--target=${machine.pid}`, "--net"];
  const onFar = (...words: string[]) => command(...within(), "ip", ...words);
  // The kernel takes note of a change up to a second later, and lets packets fall until it has.
  const noted = (state: "UP" | "DOWN") =>
    until(`both ends to be ${state}`, async () => {
      const ours = await command("ip", "-brief", "link", "show", "dev", nearEnd);
      const theirs = await onFar("-brief", "link", "show", "dev", farEnd);
      return [ours, theirs].every((line) => line.split(/\s+/)[1] === state);
    });
  const remove = async () => {
    await command("ip", "link", "delete", nearEnd);
    await switchOff(machine);
  };

  try {
    await command("ip", "link", "add", nearEnd, "type", "veth", "peer", "name", farEnd, "netns", String(machine.pid));
    await command("ip", "address", "add", `${near}/30`, "dev", nearEnd);
    await command("ip", "link", "set", nearEnd, "up");
    await onFar("address", "add", `${far}/30`, "dev", farEnd);
    await onFar("link", "set", farEnd, "up");
    await noted("UP");
  } catch (error) {
    await remove().catch(() => switchOff(machine));
    throw error;
  }

  return {
    near,
    far,
    within,
    // Its far end goes down, so that our side keeps address and route and sends into the void, not elsewhere.
    down: async () => {
      await onFar("link", "set", farEnd, "down");
      await noted("DOWN");
    },
    up: async () => {
      await onFar("link", "set", farEnd, "up");
      await noted("UP");
    },
    reboot: async () => {
      const next = await boot();
      await onFar("link", "set", farEnd, "netns", String(next.pid));
      await switchOff(machine);
      machine = next;
      await onFar("address", "add", `${far}/30`, "dev", farEnd);
    },
    remove,
  };
}

/** A connection whose program was killed while the cable was out would keep its namespace for minutes, resending its end. */
const FORGET_SOON = "echo 1 >/proc/sys/net/ipv4/tcp_orphan_retries";

/** A namespace without a name lives as long as a process in it, and this one as long as we hold its stdin. */
async function boot(): Promise<ChildProcess> {
  const machine = spawn("unshare", ["--net", "sh", "-c", `${FORGET_SOON}; echo up; exec cat >/dev/null`], {
    env: SERVER_ENV,
    detached: true, // Ctrl-C of a terminal reaches the owner only
    stdio: ["pipe", "pipe", "pipe"],
  });
  const said: string[] = [];
  machine.stderr?.on("data", (text) => said.push(String(text)));
  const failed = once(machine, "close").then(
    () => said.join("").trim(),
    (error: Error) => error.message,
  );
  const why = await Promise.race([once(machine.stdout, "data").then(() => undefined), failed]);
  if (why !== undefined) throw new Error(`${NEEDED}. Here: ${why}`);
  return machine;
}

async function switchOff(machine: ChildProcess): Promise<void> {
  if (machine.exitCode !== null || machine.signalCode !== null) return;
  machine.stdin?.end();
  await once(machine, "exit");
}

async function command(name: string, ...words: readonly string[]): Promise<string> {
  try {
    return (await run(name, words, { env: SERVER_ENV })).stdout;
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new Error(`${NEEDED}. Here: ${name} ${words.join(" ")}: ${stderr?.trim() || message}`);
  }
}
