import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";

import { browser, call, newClient, openAsClient, openAsOperator, openClient, PREFIX, SHOTS, URL_ } from "./site";

const open = browser();
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The client that pictures show; by default one of the test's own, which has little to show. */
const shown = process.env.QUOTA_SHOWN_CLIENT;

async function client(): Promise<string> {
  if (shown !== undefined) return shown;
  const made = await newClient({ "15-minute": "10", "20-year": "100", "30-year": "unlimited" });
  for (let calls = 0; calls < 9; calls += 1) await call(made, "/api/fetch-data");
  await call(made, "/api/compute?credits=2");
  return made;
}

/** What axe finds against WCAG 2.2 AA. */
async function faults(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const found = await page.evaluate(() => {
    const axe = (window as unknown as { axe: typeof import("axe-core") }).axe;
    return axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
  });
  return found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
}

describe.each(["light", "dark"] as const)("%s", (colorScheme) => {
  // The page's own policy keeps axe out.
  const options = { colorScheme, bypassCSP: true };

  test("the client's view", async () => {
    const page = await open(options);
    await page.goto(`${URL_}${PREFIX}`);
    await page.getByLabel("Client id").waitFor();
    expect(await faults(page)).toEqual([]);
    await openAsClient(page, await client());
    await page.getByRole("slider").waitFor();
    await page.screenshot({ path: `${SHOTS}/client-${colorScheme}.png`, fullPage: true });
    expect(await faults(page)).toEqual([]);
    await page.getByRole("button", { name: "Other range" }).click();
    await page.getByRole("button", { name: "Table" }).click();
    await page.getByLabel("To", { exact: true }).fill("2000-01-01");
    expect(await faults(page)).toEqual([]);
  });

  test("the operators' view", async () => {
    const page = await open(options);
    await openAsOperator(page, "wrong");
    await page.getByText("The server does not accept this token.").waitFor();
    expect(await faults(page)).toEqual([]);
    await openAsOperator(page);
    await page.getByRole("listbox").waitFor();
    expect(await faults(page)).toEqual([]);
    await openClient(page, await client());
    await page.getByRole("slider").waitFor();
    await page.getByRole("button", { name: "Preview" }).click();
    await page.getByRole("region", { name: "What this plan would do" }).waitFor();
    await page.screenshot({ path: `${SHOTS}/operator-${colorScheme}.png`, fullPage: true });
    expect(await faults(page)).toEqual([]);
    await page.getByRole("button", { name: "Remove plan" }).click();
    await page.getByLabel("Credits", { exact: true }).first().fill("1,5");
    expect(await faults(page)).toEqual([]);
  });

  test("trouble", async () => {
    const page = await open(options);
    await openAsClient(page, await client());
    await page.route(`${URL_}${PREFIX}*`, (route) => route.abort());
    for (const name of ["Quotas", "Usage"]) await page.getByRole("button", { name: `Refresh: ${name}` }).click();
    await page.getByText("The server cannot be reached.").first().waitFor();
    expect(await faults(page)).toEqual([]);
    await page.screenshot({ path: `${SHOTS}/trouble-${colorScheme}.png`, fullPage: true });
  });
});

test("axe finds nothing in German either", async () => {
  const page = await open({ bypassCSP: true });
  await openAsClient(page, await client());
  await page.getByLabel("Language").selectOption("de");
  await page.getByRole("region", { name: "Kontingente" }).waitFor();
  await page.getByRole("button", { name: "Tabelle" }).click();
  expect(await faults(page)).toEqual([]);
  await page.getByLabel("Sprache").selectOption("en");
  await openAsOperator(page);
  await openClient(page, await client());
  await page.getByRole("slider").waitFor();
  await page.getByLabel("Language").selectOption("de");
  await page.getByRole("button", { name: "Vorschau" }).click();
  await page.getByRole("region", { name: "Was dieser Plan täte" }).waitFor();
  expect(await faults(page)).toEqual([]);
});

test.each([320, 400, 768])("nothing is cut off on a screen of %d pixels", async (width) => {
  const page = await open({ viewport: { width, height: 800 }, bypassCSP: true });
  const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  await openAsClient(page, await client());
  await page.getByRole("slider").waitFor();
  expect(await fits()).toBe(true);
  await page.screenshot({ path: `${SHOTS}/client-${width}.png`, fullPage: true });
  await openAsOperator(page);
  await openClient(page, await client());
  await page.getByRole("slider").waitFor();
  await page.getByRole("button", { name: "Preview" }).click();
  await page.getByRole("region", { name: "What this plan would do" }).waitFor();
  expect(await fits()).toBe(true);
  expect(await faults(page)).toEqual([]);
  await page.screenshot({ path: `${SHOTS}/operator-${width}.png`, fullPage: true });
});
