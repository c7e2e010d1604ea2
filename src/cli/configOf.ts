import type { Command } from "commander";
import { type Config, loadConfig } from "../config/config.js";
import { EXIT_CONFIG, isKind } from "../errors.js";

/** The configuration that a command runs with; when it is invalid says each problem, sets exit code 78 and returns undefined. */
export function configOf(command: Command): Config | undefined {
  try {
    return loadConfig({ file: command.optsWithGlobals().config as string | undefined });
  } catch (error) {
    if (!isKind(error, "config")) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = EXIT_CONFIG;
    return undefined;
  }
}
