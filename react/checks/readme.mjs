// The README's code compiles.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = `${root}node_modules/.cache/readme/`;
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

const blocks = [...readFileSync(`${root}README.md`, "utf8").matchAll(/```tsx\n([^]*?)```/g)];
blocks.forEach(([, code], index) => writeFileSync(`${folder}block${index}.tsx`, code));
const paths = { "@quota/react": [`${root}src/index.ts`], "@quota/react/client": [`${root}src/client/index.ts`], "@quota/react/style.css": [`${root}src/style.css`] };
const options = { extends: `${root}tsconfig.json`, compilerOptions: { paths, noUnusedLocals: false }, include: ["*.tsx"] };
writeFileSync(`${folder}tsconfig.json`, JSON.stringify(options));
try {
  execFileSync(`${root}node_modules/.bin/tsc`, ["-p", folder], { stdio: "inherit" });
} catch {
  process.exitCode = 1;
}
