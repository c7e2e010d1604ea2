import { readFile, writeFile } from "node:fs/promises";
import { pages } from "./pages.js";

// Run from the project root: `npm run docs` writes the generated files, `npm run docs -- --check` compares them.
const checking = process.argv.includes("--check");

for (const { file, render } of pages) {
  const wanted = render();
  const found = await readFile(file, "utf8").catch(() => undefined);
  if (found === wanted) continue;
  if (checking) {
    process.stderr.write(`${file} differs from the code; run npm run docs\n`);
    process.exitCode = 1;
  } else {
    await writeFile(file, wanted);
    process.stdout.write(`${file} written\n`);
  }
}
