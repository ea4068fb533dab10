// What `npm pack` packs: the README's code compiles against it, however modules are resolved; frameworks are told what is for
// browsers; the licences are there.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = `${root}node_modules/.cache/packed/`;
const installed = `${folder}node_modules/@quota/react/`;
rmSync(folder, { recursive: true, force: true });
mkdirSync(installed, { recursive: true });

execFileSync("npm", ["pack", "--pack-destination", folder], { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
const { version } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
execFileSync("tar", ["-xzf", `${folder}quota-react-${version}.tgz`, "-C", installed, "--strip-components=1"]);

const blocks = [...readFileSync(`${root}README.md`, "utf8").matchAll(/```tsx\n([^]*?)```/g)];
blocks.forEach(([, code], index) => writeFileSync(`${folder}block${index}.tsx`, code));
writeFileSync(`${folder}package.json`, '{ "type": "module" }');

for (const [module, moduleResolution] of [["Node16", "Node16"], ["ESNext", "Bundler"]]) {
  const compilerOptions = { module, moduleResolution, skipLibCheck: false, noUnusedLocals: false, paths: {}, types: [] };
  writeFileSync(`${folder}tsconfig.json`, JSON.stringify({ extends: `${root}tsconfig.json`, compilerOptions, include: ["*.tsx"] }));
  try {
    execFileSync(`${root}node_modules/.bin/tsc`, ["-p", folder], { stdio: "inherit" });
  } catch {
    fault(`the README's code does not compile against the package under moduleResolution ${moduleResolution}`);
  }
}

const index = readFileSync(`${installed}dist/index.js`, "utf8");
if (!index.startsWith('"use client"')) fault('dist/index.js does not begin with "use client"');
// Next.js takes no others from what is for browsers.
if (index.includes("export *")) fault("dist/index.js exports what it does not name");
if (readFileSync(`${installed}dist/client/index.js`, "utf8").includes("use client")) fault("dist/client/index.js is for servers too");
for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) if (!existsSync(installed + name)) fault(`${name} is not packed`);

function fault(words) {
  console.error(words);
  process.exitCode = 1;
}
