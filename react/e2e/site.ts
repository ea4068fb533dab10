import { mkdirSync } from "node:fs";

import { type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished } from "vitest";

/** Where the quickstart listens, such as `http://127.0.0.1:3000`. */
export const URL_ = required("QUOTA_URL");
/** What the quickstart was started with. */
export const TOKEN = required("QUOTA_OPERATOR_TOKEN");
/** Where the usage API and the page are mounted. */
export const PREFIX = process.env.QUOTA_PREFIX ?? "/quota/";
/** Where pictures go. */
export const SHOTS = process.env.QUOTA_SHOTS ?? "e2e/shots";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic", "--no-first-run"];

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: start a quickstart, and say where it listens`);
  return value.replace(/\/$/, "");
}

/** A browser for the tests of a file. */
export function browser() {
  let running: Awaited<ReturnType<typeof chromium.launch>>;
  beforeAll(async () => {
    mkdirSync(SHOTS, { recursive: true });
    running = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  });
  afterAll(() => running.close());

  /** A new page, in which nothing may be blocked, fail or leave the server without being noticed. */
  return async (options: BrowserContextOptions = {}): Promise<Page> => {
    const context = await running.newContext({ locale: "en-GB", timezoneId: "Europe/Berlin", viewport: { width: 1280, height: 900 }, ...options });
    const page = await context.newPage();
    const faults: string[] = [];
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("console", (message) => /Content Security Policy|Trusted/.test(message.text()) && faults.push(message.text()));
    page.on("request", (request) => !/^(blob|data):/.test(request.url()) && !request.url().startsWith(URL_) && faults.push(request.url()));
    page.on("dialog", (dialog) => {
      faults.push(`a dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    onTestFinished(async () => {
      await context.close();
      expect(faults).toEqual([]);
    });
    return page;
  };
}

/** Opens the client's view, and says who it is. */
export async function openAsClient(page: Page, client: string): Promise<void> {
  await page.goto(`${URL_}${PREFIX}`);
  await page.getByLabel("Client id").fill(client);
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByRole("region", { name: "Quotas" }).getByRole("list").waitFor();
}

/** Opens the operators' view. */
export async function openAsOperator(page: Page, token = TOKEN): Promise<void> {
  await page.goto(`${URL_}${PREFIX}#operators`);
  await page.getByLabel("Operator token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Finds a client by its id, and opens it. */
export async function openClient(page: Page, client: string): Promise<void> {
  await page.getByLabel("Find a client").fill(client);
  const option = page.getByRole("option", { name: client, exact: true });
  await option.or(page.getByRole("button", { name: `Open ${client}`, exact: true })).first().click();
  await page.getByRole("heading", { name: client, exact: true }).waitFor();
}

/** Asks the usage API as an operator. */
export async function operate(method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`${URL_}${PREFIX}${path}`, {
    method,
    headers: { Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.status === 204 ? undefined : response.json();
}

/** Calls the metered API as a client; the answer's status. */
export async function call(client: string, path: string): Promise<number> {
  const response = await fetch(`${URL_}${path}`, { headers: { "X-Client-Id": client } });
  await response.arrayBuffer();
  return response.status;
}

/** A plan with one quota for each name, such as `day` or `15-minute`. */
export function plan(limits: Record<string, string>, tz = "UTC") {
  const quota = ([name, limit]: [string, string]) => {
    const [, every = "1", unit = ""] = /^(?:(\d+)-)?(\w+)$/.exec(name) ?? [];
    return { period: unit.toUpperCase(), every: Number(every), limit, anchor: "2022-01-01T00:00:00Z", tz };
  };
  return { quotas: Object.entries(limits).map(quota) };
}

/** A client of this test alone. */
export async function newClient(limits: Record<string, string>, name = "e2e"): Promise<string> {
  const client = `${name}-${Date.now().toString(36)}-${Math.floor(Math.random() * 1e6).toString(36)}`;
  await operate("PUT", `clients/${encodeURIComponent(client)}/plan`, plan(limits));
  return client;
}
