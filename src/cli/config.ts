import { Command } from "commander";
import { type Config, configFile, describeConfig, loadConfig, sourcesOf } from "../config/config.js";
import { variableOf } from "../config/environment.js";
import { exampleFile, inline } from "../config/reference.js";
import type { Source, Tree } from "../config/tree.js";
import { EXIT_CONFIG, isKind } from "../errors.js";

/** Where a command writes its answer and its complaints. */
interface Output {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

/** `campaignd config check|show|example`: is the file right, what does it come to, what could it say (contract §9). */
export function configCommand(output: Output = process): Command {
  const command = new Command("config").description("check, show or start a configuration file");
  reading(command, "check", "say whether the configuration is right, or everything that is wrong with it").action(
    (_, self: Command) => check(self.optsWithGlobals(), output),
  );
  reading(command, "show", "print every setting with its source, passwords masked").action((_, self: Command) =>
    show(self.optsWithGlobals(), output),
  );
  command
    .command("example")
    .description("print a documented file to start from")
    .action(() => void output.stdout.write(exampleFile()));
  return command;
}

interface Options {
  readonly config?: string;
  readonly json?: boolean;
}

function reading(command: Command, name: string, description: string): Command {
  return command
    .command(name)
    .description(description)
    .option("--config <file>", "configuration file")
    .option("--json", "answer as JSON");
}

function check(options: Options, { stdout, stderr }: Output): void {
  const file = configFile({ file: options.config });
  const { problems } = attempt(options);
  if (options.json) stdout.write(asJson({ file, valid: problems.length === 0, problems }));
  else if (problems.length === 0) stdout.write(`${file} is valid\n`);
  else stderr.write(asLines(problems));
  if (problems.length > 0) process.exitCode = EXIT_CONFIG;
}

function show(options: Options, { stdout, stderr }: Output): void {
  const { config, problems } = attempt(options);
  if (!config) {
    stderr.write(asLines(problems));
    process.exitCode = EXIT_CONFIG;
    return;
  }
  const file = configFile({ file: options.config });
  const written = describeConfig(config);
  const sources = sourcesOf(config);
  if (options.json) stdout.write(asJson({ file, settings: written, sources: Object.fromEntries(sources) }));
  else stdout.write(asLines([`# ${file}`, ...shownLines(written, sources, [])]));
}

function attempt({ config: file }: Options): { config?: Config; problems: readonly string[] } {
  try {
    return { config: loadConfig({ file }), problems: [] };
  } catch (error) {
    if (!isKind(error, "config")) throw error;
    return { problems: error.message.split("\n") };
  }
}

function shownLines(values: Tree, sources: ReadonlyMap<string, Source>, above: readonly string[]): string[] {
  const indent = "  ".repeat(above.length);
  return Object.entries(values).flatMap(([key, value]) => {
    const path = [...above, key].join(".");
    const source = sources.get(path);
    if (source === undefined) return [`${indent}${key}:`, ...shownLines(value as Tree, sources, [...above, key])];
    return [`${indent}${key}: ${inline(value)} # ${source === "environment" ? variableOf(path) : source}`];
  });
}

const asJson = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
const asLines = (lines: readonly string[]): string => `${lines.join("\n")}\n`;
