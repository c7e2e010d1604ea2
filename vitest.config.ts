import { defineConfig } from "vitest/config";

// Two forks: each file may raise a MariaDB pair, and more of them on a small machine only make each other time out.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 120_000,
    retry: 0,
    allowOnly: false,
    // Scaffolding that outlives its test would let one file's leak be another file's failure.
    isolate: true,
  },
});
