// The script that a client's view loads, compressed: what index.html names, and what that imports at once.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const MOST = 90_000;
const page = new URL("../../crates/quota-dashboard/page/", import.meta.url);
const index = readFileSync(new URL("index.html", page), "utf8");
const first = /<script[^>]+src="\.\/([^"]+)"/.exec(index)?.[1];
if (first === undefined) throw new Error("index.html names no script");

const sizes = new Map();
const waiting = [first];
for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
  if (sizes.has(path)) continue;
  const script = readFileSync(new URL(path, page));
  sizes.set(path, gzipSync(script, { level: 9 }).length);
  for (const [, name] of String(script).matchAll(/(?:\bfrom|\bimport)\s*["'`]\.\/([^"'`]+)["'`]/g)) waiting.push(`assets/${name}`);
}

const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
for (const [path, size] of sizes) console.log(`${String(size).padStart(7)} ${path}`);
console.log(`${String(total).padStart(7)} bytes of script for a client's view, compressed; at most ${MOST}`);
if (total > MOST) process.exitCode = 1;
