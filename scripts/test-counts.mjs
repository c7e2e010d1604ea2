// Prints "passed failed" for a vitest JSON report. What vitest does not count as a failed test still fails here: a file that
// did not load, an error outside any test, a skipped test (it proves nothing), a run without a test.
import { readFileSync } from "node:fs";

const [passed, failed] = counts(process.argv[2] ?? "");
process.stdout.write(`${passed} ${failed}\n`);

function counts(path) {
  const report = read(path);
  if (report === undefined) return [0, 1];
  const skipped = report.numPendingTests + report.numTodoTests;
  const unloaded = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0);
  const failures = report.numFailedTests + skipped + unloaded.length;
  const silent = failures === 0 && (!report.success || report.numPassedTests === 0) ? 1 : 0;
  return [report.numPassedTests, failures + silent];
}

function read(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}
