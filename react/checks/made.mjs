// What is made and committed is what its sources make: the types of the usage API, and the page.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "quota-react-"));
const run = (program, ...words) => execFileSync(join(root, "node_modules/.bin", program), words, { cwd: root, stdio: "pipe" });

try {
  run("openapi-typescript", "../crates/quota-http/openapi.json", "-o", join(folder, "openapi.ts"));
  run("vite", "build", "--config", "vite.page.config.ts", "--outDir", join(folder, "page"));
  const page = fileURLToPath(new URL("../../crates/quota-dashboard/page", import.meta.url));
  const faults = [
    ...compared(join(folder, "openapi.ts"), join(root, "src/client/openapi.ts"), "npm run generate"),
    ...names(join(folder, "page"), page).flatMap((name) => compared(join(folder, "page", name), join(page, name), "npm run page")),
  ];
  for (const fault of faults) console.error(fault);
  process.exitCode = faults.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}

/** Every file in either folder. */
function names(...folders) {
  const files = folders.flatMap((one) =>
    readdirSync(one, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(one, join(entry.parentPath ?? entry.path, entry.name))),
  );
  return [...new Set(files)].sort();
}

function compared(made, committed, remedy) {
  return read(made) === read(committed) ? [] : [`${relative(root, committed)} is not what its sources make: ${remedy}`];
}

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
