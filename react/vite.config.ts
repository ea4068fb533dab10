import { defineConfig } from "vite";

/** The package: a module for each source, so that whoever takes one component gets no more. */
export default defineConfig({
  publicDir: false,
  build: {
    target: "es2022",
    minify: false,
    sourcemap: true,
    lib: { entry: { index: "src/index.ts", client: "src/client/index.ts" }, formats: ["es"], cssFileName: "style" },
    rollupOptions: {
      external: ["react", "react/jsx-runtime", "react-dom"],
      output: { preserveModules: true, preserveModulesRoot: "src", entryFileNames: "[name].js" },
    },
  },
});
