import { execSync } from "node:child_process";

import { expect, test } from "vitest";

import { browser, call, newClient, openAsClient, openAsOperator, openClient, PREFIX, URL_ } from "./site";

const open = browser();

/** Commands that stop and start the store, where there is one to be stopped. */
const { QUOTA_STORE_STOP, QUOTA_STORE_START } = process.env;

test("the server goes away and comes back while the page is open", async () => {
  const client = await newClient({ year: "10" });
  const page = await open();
  await openAsClient(page, client);
  const quotas = page.getByRole("region", { name: "Quotas" });
  await quotas.getByText("0 of 10 used").waitFor();
  await page.context().setOffline(true);
  await quotas.getByRole("button", { name: "Refresh" }).click();
  await quotas.getByText("The server cannot be reached.").waitFor();
  await quotas.getByText("Shown is what was true at").waitFor();
  expect(await quotas.getByText("0 of 10 used").count()).toBe(1);
  await call(client, "/api/fetch-data");
  await page.context().setOffline(false);
  await quotas.getByText("1 of 10 used").waitFor();
  expect(await quotas.getByText("The server cannot be reached.").count()).toBe(0);
});

test.skipIf(!QUOTA_STORE_STOP || !QUOTA_STORE_START)("the store stops and starts while the page is open", { timeout: 180_000 }, async () => {
  const client = await newClient({ year: "10" });
  await call(client, "/api/fetch-data");
  const page = await open();
  await openAsClient(page, client);
  const quotas = page.getByRole("region", { name: "Quotas" });
  await quotas.getByText("1 of 10 used").waitFor();
  execSync(String(QUOTA_STORE_STOP), { stdio: "ignore" });
  try {
    await quotas.getByText("The server cannot answer at the moment.").waitFor({ timeout: 60_000 });
    expect(await quotas.getByText("1 of 10 used").count()).toBe(1);
  } finally {
    execSync(String(QUOTA_STORE_START), { stdio: "ignore" });
  }
  await quotas.getByText("The server cannot answer at the moment.").waitFor({ state: "detached", timeout: 90_000 });
  await quotas.getByText("1 of 10 used").waitFor();
});

test("a token that is no longer accepted is said in every section, and what was there stays", async () => {
  const client = await newClient({ year: "10" });
  const page = await open();
  await openAsOperator(page);
  await openClient(page, client);
  const quotas = page.getByRole("region", { name: "Quotas" });
  await quotas.getByText("0 of 10 used").waitFor();
  await page.route(`${URL_}${PREFIX}clients/**`, (route) =>
    route.fulfill({ status: 401, contentType: "application/problem+json", body: '{"type":"about:blank","title":"no","status":401,"detail":"no"}' }),
  );
  for (const name of ["Quotas", "Forecast", "Usage", "Last refusals", "Plan"]) {
    const section = page.getByRole("region", { name, exact: true });
    await section.getByRole("button", { name: `Refresh: ${name}` }).click();
    await section.getByText("You are not signed in, or no longer.").waitFor();
  }
  expect(await quotas.getByText("0 of 10 used").count()).toBe(1);
  await page.unroute(`${URL_}${PREFIX}clients/**`);
  await quotas.getByRole("button", { name: "Try again" }).click();
  await quotas.getByText("You are not signed in").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Forget token" }).click();
  await page.getByLabel("Operator token").waitFor();
});

test("the operators' view that cannot be loaded is said, and loaded later", async () => {
  const client = await newClient({ year: "10" });
  const page = await open();
  await openAsClient(page, client);
  await page.route("**/assets/operator-view*", (route) => route.abort());
  await page.getByRole("link", { name: "Operators" }).click();
  await page.getByText("The server cannot be reached.").waitFor();
  await page.getByRole("link", { name: "Your usage" }).click();
  await page.getByLabel("Client id").or(page.getByRole("region", { name: "Quotas" })).first().waitFor();
  await page.getByRole("link", { name: "Operators" }).click();
  await page.getByText("The server cannot be reached.").waitFor();
  await page.unroute("**/assets/operator-view*");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByLabel("Operator token").waitFor();
});

test("answers that are none of the usage API are not shown", async () => {
  const client = await newClient({ year: "10" });
  const page = await open();
  await page.route(`${URL_}${PREFIX}usage?**`, (route) => route.fulfill({ contentType: "text/html", body: "<script>alert(1)</script>" }));
  await openAsClient(page, client);
  const usage = page.getByRole("region", { name: "Usage", exact: true });
  await usage.getByText("The server's answer cannot be understood.").waitFor();
  await page.getByRole("region", { name: "Quotas" }).getByText("0 of 10 used").waitFor();
});

test("a clock that is a day off does not make the page wrong", async () => {
  const client = await newClient({ "50-year": "10" });
  const page = await open();
  await page.addInitScript(() => {
    const now = Date.now.bind(Date);
    Date.now = () => now() - 86_400_000;
  });
  // Hours are rounded up: in the hour after midnight a whole day more is left.
  const daysLeft = () => Math.floor(Math.ceil((Date.UTC(2072, 0, 1) - Date.now()) / 3_600_000) / 24).toLocaleString("en");
  const before = daysLeft();
  await openAsClient(page, client);
  const renews = await page.getByText(/^renews in/).textContent();
  expect([before, daysLeft()]).toContain(/^renews in ([\d,]+)d/.exec(renews ?? "")?.[1]);
  await page.getByRole("button", { name: "7 days" }).click();
  const today = new Intl.DateTimeFormat("en-GB", { timeZone: "Europe/Berlin", day: "numeric", month: "short", year: "numeric" }).format();
  await page.locator(".quota-readout").getByText(today).waitFor();
});

test("a client that has no plan, and an id that is none", async () => {
  const page = await open();
  await page.goto(`${URL_}${PREFIX}`);
  await page.getByLabel("Client id").fill("x".repeat(256));
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByText("A client's id has 1 to 255 bytes").waitFor();
  await page.getByLabel("Client id").fill("nobody-é");
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByRole("region", { name: "Quotas" }).getByText("This is not for you, or there is no plan.").waitFor();
});
