import { defineConfig } from "vitest/config";

/** Against a quickstart that runs: see `e2e/site.ts`. */
export default defineConfig({
  test: {
    include: ["e2e/*.test.ts"],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 300_000,
  },
});
