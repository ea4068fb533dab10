import { readFileSync } from "node:fs";

import { defineConfig } from "vite";

/**
 * The package: a module for each source, so that whoever takes one component gets no more. Components are for browsers, which
 * their entry says to frameworks that also render on a server; the client is for both.
 */
export default defineConfig({
  publicDir: false,
  plugins: [
    {
      name: "style",
      generateBundle() {
        this.emitFile({ type: "asset", fileName: "style.css", source: readFileSync("src/style.css", "utf8") });
      },
    },
  ],
  build: {
    target: "es2022",
    minify: false,
    sourcemap: true,
    lib: { entry: { index: "src/index.ts", "client/index": "src/client/index.ts" }, formats: ["es"] },
    rollupOptions: {
      external: ["react", "react/jsx-runtime"],
      output: {
        preserveModules: true, preserveModulesRoot: "src", entryFileNames: "[name].js",
        banner: ({ fileName }) => (fileName === "index.js" ? '"use client";' : ""),
      },
    },
  },
});
