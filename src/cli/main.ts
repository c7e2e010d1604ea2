#!/usr/bin/env node
import { Command } from "commander";
import { describe } from "../errors.js";
import { configCommand } from "./config.js";
import { healthCommand } from "./health.js";
import { runCommand } from "./run.js";
import { schemaCommand } from "./schema.js";
import { version } from "./version.js";

const program = new Command("campaignd")
  .description("Drains an e-mail campaign queue through many SMTP accounts.")
  .version(version())
  .option("--config <file>", "configuration file (default: $CAMPAIGND_CONFIG, then /etc/campaignd/campaignd.yaml)")
  .addCommand(runCommand())
  .addCommand(healthCommand())
  .addCommand(configCommand())
  .addCommand(schemaCommand());

// `campaignd run --config FILE` and `campaignd --config FILE run` mean the same.
for (const command of program.commands) withConfig(command);

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`campaignd: ${describe(error)}\n`);
  process.exitCode = 1;
});

function withConfig(command: Command): void {
  if (!command.options.some((option) => option.long === "--config"))
    command.option("--config <file>", "configuration file");
  for (const sub of command.commands) withConfig(sub);
}
