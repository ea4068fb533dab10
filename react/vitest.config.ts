import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const older = process.env.REACT === "18" ? path("test/react-18/node_modules/") : undefined;

/** `REACT=18` runs the same tests on the older React. */
export default defineConfig({
  resolve: {
    alias: [
      { find: "@quota/react", replacement: path("src/index.ts") },
      ...(older ? [{ find: /^(react|react-dom)(\/.*)?$/, replacement: `${older}$1$2` }] : []),
    ],
  },
  test: {
    environment: "jsdom",
    include: ["test/*.test.{ts,tsx}"],
    setupFiles: ["test/setup.ts"],
    env: { TZ: "America/New_York" },
    restoreMocks: true,
    // Not a measure of speed: the machine may be at work on something else.
    testTimeout: 30_000,
  },
});
