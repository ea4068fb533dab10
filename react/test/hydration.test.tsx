import { act } from "react";
import { hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { expect, onTestFinished, test, vi } from "vitest";

import { ForecastNote, QuotaManager, QuotaProvider, QuotaStatus, RemainingBadge, UsageChart, type ViewProps } from "../src";
import { FakeServer } from "./fake-server";
import { render, settled } from "./render";
import { quotaState, status, USAGE } from "./samples";

const fake = () => new FakeServer().json("GET status", status(quotaState())).json("GET usage", USAGE);

const all = (
  <>
    <RemainingBadge />
    <QuotaStatus />
    <ForecastNote />
    <UsageChart />
    <QuotaManager client="a" />
  </>
);

/** On a machine with another zone, other languages and another clock, which knows few zones. */
function elsewhere<T>(act: () => T): T {
  const resolved = Intl.DateTimeFormat.prototype.resolvedOptions;
  const there = [
    vi.spyOn(Intl.DateTimeFormat.prototype, "resolvedOptions").mockImplementation(function (this: Intl.DateTimeFormat) {
      return { ...resolved.call(this), timeZone: "Asia/Tokyo" };
    }),
    vi.spyOn(Intl, "supportedValuesOf").mockReturnValue(["Asia/Tokyo"]),
    vi.spyOn(navigator, "languages", "get").mockReturnValue(["en-IN"]),
    vi.spyOn(Date, "now").mockReturnValue(0),
  ];
  try {
    return act();
  } finally {
    for (const one of there) one.mockRestore();
  }
}

test.each<[string, ViewProps]>([
  ["nothing", {}],
  ["the zone", { timeZone: "Europe/Berlin" }],
  ["a zone that neither knows", { timeZone: "Mars/Olympus", locale: "en-GB" }],
])("what a server has written is taken over, where the application says %s", async (_, view) => {
  const quota = fake().client();
  const what = <QuotaProvider quota={quota} {...view}>{all}</QuotaProvider>;
  const place = document.body.appendChild(document.createElement("div"));
  place.innerHTML = elsewhere(() => renderToString(what));
  const faults: unknown[] = [];
  vi.spyOn(console, "error").mockImplementation((...words) => void faults.push(words[0]));
  const root = await act(async () => hydrateRoot(place, what, { onRecoverableError: (error) => void faults.push(error) }));
  onTestFinished(() => {
    act(() => root.unmount());
    place.remove();
  });
  await settled();
  expect(faults).toEqual([]);
  expect(place.querySelector("select")?.value).toBe(view.timeZone ?? "America/New_York");
  expect(place.querySelectorAll("option").length).toBeGreaterThan(100);
  expect(place.textContent?.includes("does not know the time zone")).toBe(view.timeZone === "Mars/Olympus");
});

test("without a server the browser's own zone is there at once", async () => {
  const server = fake();
  await render(<UsageChart />, { quota: server.client(), timeZone: undefined });
  expect(new Set(server.asked("usage"))).toEqual(new Set(["GET usage?tz=America%2FNew_York"]));
});
