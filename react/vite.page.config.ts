import { fileURLToPath } from "node:url";

import { defineConfig } from "vite";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** The page that `quota-dashboard` embeds. Its paths are relative, so that it works under any prefix. */
export default defineConfig({
  root: path("page"),
  base: "./",
  publicDir: false,
  resolve: { alias: { "@quota/react": path("src/index.ts") } },
  build: {
    target: "es2022",
    outDir: path("../crates/quota-dashboard/page"),
    emptyOutDir: true,
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    license: { fileName: "licences.md" },
    reportCompressedSize: true,
  },
});
