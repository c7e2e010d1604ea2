// Runs one server for an owner and outlives it just long enough to end the server: the owner holds our stdin, and
// however it dies (also by SIGKILL) that pipe closes. Plain JavaScript, so that it runs without a build.
// Usage: node keeper.mjs FOLDER|- COMMAND ARGS… ; FOLDER is removed when the owner died, "-" removes nothing.
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";

const [folder, command, ...args] = process.argv.slice(2);
const server = spawn(command, args, { stdio: "ignore" });
let orphaned = false;

server.on("spawn", () => process.stdout.write(`${server.pid}\n`));
server.on("error", (error) => {
  process.stdout.write(`${error.message}\n`);
  process.exitCode = 1;
  process.stdin.destroy();
});
server.on("exit", (code) => {
  if (orphaned && folder !== "-") rmSync(folder, { recursive: true, force: true });
  process.exit(code ?? 1);
});

process.stdout.on("error", () => {}); // the owner died before it read the pid
process.stdin
  .on("close", end)
  .on("error", () => {})
  .resume();
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, end);

function end() {
  if (orphaned || server.pid === undefined) return;
  orphaned = true;
  server.kill("SIGCONT"); // a server that a test has stopped hears SIGTERM only when it runs
  server.kill("SIGTERM");
  setTimeout(() => server.kill("SIGKILL"), 15_000);
}
