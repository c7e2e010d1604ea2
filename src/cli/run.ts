import { Command } from "commander";
import { run } from "../daemon/run.js";
import { configOf } from "./configOf.js";
import { version } from "./version.js";

/** `campaignd run`: the daemon itself, in the foreground. */
export function runCommand(): Command {
  return new Command("run")
    .description("send campaigns until stopped")
    .option("--until-idle", "end with exit code 0 when no campaign is running any more")
    .action(async (options: { untilIdle?: boolean }, command: Command) => {
      const config = configOf(command);
      if (!config) return;
      const complain = (line: string) => process.stderr.write(`campaignd: ${line}\n`);
      const code = await run({ config, version: version(), untilIdle: options.untilIdle === true, complain });
      // Said here, after everything was closed: nothing of ours keeps the process alive, whatever a library still holds.
      process.exit(code);
    });
}
