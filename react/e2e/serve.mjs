// For development: the built page under /quota/ with the headers that quota-dashboard sends, before a running quickstart.
//
//   QUOTA_URL=http://127.0.0.1:3000 CLIENT_HEADER=X-Client-Id PORT=3100 node e2e/serve.mjs
import { readFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { extname } from "node:path";

const { QUOTA_URL = "http://127.0.0.1:3000", CLIENT_HEADER = "X-Client-Id", PORT = "3100" } = process.env;
const PAGE = new URL("../../crates/quota-dashboard/page/", import.meta.url);
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml" };
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const server = createServer(async (incoming, outgoing) => {
  const path = incoming.url.split("?")[0];
  if (path === "/quota") return outgoing.writeHead(308, { Location: "quota/" }).end();
  const file = path === "/quota/" ? "index.html" : /^\/quota\/(assets\/[\w.-]+)$/.exec(path)?.[1];
  if (file === undefined) return forward(incoming, outgoing);
  try {
    let body = await readFile(new URL(file, PAGE));
    if (file === "index.html") body = String(body).replace('data-client-header=""', `data-client-header="${CLIENT_HEADER}"`);
    outgoing.writeHead(200, {
      "Content-Type": TYPES[extname(file)],
      "Content-Security-Policy": POLICY,
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
      "Cache-Control": file === "index.html" ? "no-cache" : "public, max-age=31536000, immutable",
    });
    outgoing.end(body);
  } catch {
    outgoing.writeHead(404).end();
  }
});

function forward(incoming, outgoing) {
  const forwarded = request(`${QUOTA_URL}${incoming.url}`, { method: incoming.method, headers: incoming.headers }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  forwarded.on("error", () => outgoing.writeHead(502).end());
  incoming.pipe(forwarded);
}

server.listen(Number(PORT), "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
