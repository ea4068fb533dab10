import { act, type ReactNode, useState } from "react";
import { describe, expect, test, vi } from "vitest";

import { UsageChart } from "../src";
import { averageOf, barsOf } from "../src/chart/bar";
import { daysOfRange, faultOf } from "../src/chart/range";
import { scaleOf } from "../src/chart/scale";
import { Amount } from "../src/client";
import { FakeServer, json, problem } from "./fake-server";
import { click, fill, pass, press, render, settled } from "./render";
import { quotaState, status, USAGE } from "./samples";

const amount = (text: string) => Amount.parse(text) as Amount;

const server = () => new FakeServer().json("GET usage", USAGE).json("GET status", status(quotaState({ limit: "20" })));
const shown = (fake = server()) => render(<UsageChart every={0} />, { quota: fake.client() });

describe("bars", () => {
  test("days without usage are nothing, labels are summed, other days are ignored", () => {
    const days = [
      { day: "2024-03-30", label: "a", credits: "0.1", entries: 1 },
      { day: "2024-03-30", label: "b", credits: "0.2", entries: 2 },
      { day: "2025-01-01", credits: "7", entries: 1 },
    ];
    const { unit, bars } = barsOf({ ...USAGE, days });
    expect(unit).toBe("day");
    expect(bars.map((bar) => [bar.first, bar.credits.toString(), bar.entries])).toEqual([
      ["2024-03-30", "0.3", 3], ["2024-03-31", "0", 0], ["2024-04-01", "0", 0],
    ]);
  });

  test("long ranges are by month", () => {
    const days = ["2024-01-31", "2024-02-01", "2024-02-29"].map((day) => ({ day, credits: "1", entries: 1 }));
    const { unit, bars } = barsOf({ ...USAGE, from: "2024-01-15", to: "2025-01-15", days });
    expect(unit).toBe("month");
    expect(bars).toHaveLength(13);
    expect(bars.slice(0, 2).map((bar) => [bar.first, bar.end, bar.credits.toString()])).toEqual([
      ["2024-01-15", "2024-02-01", "1"], ["2024-02-01", "2024-03-01", "2"],
    ]);
  });

  test("ten years are quick", () => {
    const began = performance.now();
    expect(barsOf({ ...USAGE, from: "2014-01-01", to: "2024-01-01" }).bars).toHaveLength(120);
    expect(performance.now() - began).toBeLessThan(200);
  });

  test("the scale is round and holds the most", () => {
    for (const [most, ticks] of [
      ["500", ["0", "200", "400", "600"]], ["1", ["0", "0.5", "1"]], ["0", ["0", "0.5", "1"]],
      ["0.000001", ["0", "0.000001"]], ["999999999999999", ["0", "500000000000000", "1000000000000000"]],
    ] as const) {
      expect(scaleOf(amount(most)).ticks.map(String), most).toEqual(ticks);
    }
  });

  test("what is used on average is told of a day, also where bars are months", async () => {
    const usage = { ...USAGE, from: "2024-01-31", to: "2024-06-06", days: [{ day: "2024-03-01", credits: "1270", entries: 1 }], total: "1270" };
    const { getByText } = await shown(server().json("GET usage", usage));
    expect(getByText("Average a day").nextElementSibling?.textContent).toBe("10");
  });

  test("an average is cut, a small one is not", () => {
    expect(averageOf(amount("10"), 3).toString()).toBe("3.33");
    expect(averageOf(amount("0.000002"), 2).toString()).toBe("0.000001");
    expect(averageOf(amount("1"), 0).toString()).toBe("0");
  });
});

describe("ranges", () => {
  test("end with today, half-open for the server", () => {
    expect(daysOfRange({ kind: "last", days: 7 }, "2024-03-02")).toEqual({ from: "2024-02-25", to: "2024-03-03" });
    expect(daysOfRange({ kind: "last", days: 30 }, "2024-03-02")).toEqual({});
    expect(daysOfRange({ kind: "thisMonth" }, "2024-03-31")).toEqual({ from: "2024-03-01", to: "2024-04-01" });
    expect(daysOfRange({ kind: "lastMonth" }, "2024-03-31")).toEqual({ from: "2024-02-01", to: "2024-03-01" });
    expect(daysOfRange({ kind: "own", from: "2024-03-30", until: "2024-03-31" }, "2024-05-01")).toEqual({ from: "2024-03-30", to: "2024-04-01" });
  });

  test("that cannot be asked for are not", () => {
    expect(faultOf({ kind: "own", from: "2024-03-02", until: "2024-03-01" })).toBe("order");
    expect(faultOf({ kind: "own", from: "2024-03-02", until: "" })).toBe("until");
    expect(faultOf({ kind: "own", from: "", until: "2024-03-02" })).toBe("from");
    for (const late of ["9999-12-31", "12024-03-01", "275760-09-13"]) {
      expect(faultOf({ kind: "own", from: "2024-03-02", until: late }), late).toBe("late");
      expect(faultOf({ kind: "own", from: late, until: late }), late).toBe("late");
    }
    expect(faultOf({ kind: "own", from: "9999-12-30", until: "9999-12-30" })).toBeUndefined();
    expect(faultOf({ kind: "own", from: "2004-03-02", until: "2024-03-01" })).toBe("length");
    expect(faultOf({ kind: "own", from: "2024-03-02", until: "2024-03-02" })).toBeUndefined();
  });
});

describe("UsageChart", () => {
  test("the table has what the bars have, the day of 23 hours named", async () => {
    const { getAllByRole, place } = await shown();
    const rows = getAllByRole("row").map((row) => [...row.children].map((cell) => cell.textContent));
    expect(rows).toEqual([
      ["Day", "Credits", "Entries"],
      ["Sat, 30 Mar 2024", "12", "3"],
      ["Sun, 31 Mar 2024 23 hours", "0", "0"],
      ["Mon, 1 Apr 2024", "0.000001", "1"],
      ["Total", "12.000001", "4"],
    ]);
    expect(place.querySelectorAll(".quota-column")).toHaveLength(3);
    expect(place.textContent).toContain("limit a day 20");
  });

  test("a limit far above the bars is told, not drawn", async () => {
    const fake = server().json("GET status", status(quotaState({ limit: "999999999999999" })));
    const { place } = await shown(fake);
    expect(place.textContent).toContain("limit a day 999,999,999,999,999, above this scale");
    expect(place.querySelector(".quota-limit-line")).toBeNull();
  });

  test("the keyboard moves over the bars", async () => {
    const { getByRole } = await shown();
    const bars = getByRole("slider");
    const value = () => bars.getAttribute("aria-valuetext");
    expect(value()).toBe("Mon, 1 Apr 2024: 0.000001 credits, 1 entry");
    await press(bars, "Home");
    expect(value()).toBe("Sat, 30 Mar 2024: 12 credits, 3 entries");
    await press(bars, "ArrowLeft");
    expect(bars.getAttribute("aria-valuenow")).toBe("0");
    await press(bars, "End");
    await press(bars, "ArrowLeft");
    expect(bars.getAttribute("aria-valuenow")).toBe("1");
  });

  test("another zone and another range are asked for", async () => {
    const fake = server();
    const { getByLabelText, getByRole } = await shown(fake);
    expect(fake.asked("usage")[0]).toBe("GET usage?tz=Europe%2FBerlin");
    await fill(getByLabelText("Time zone"), "America/New_York");
    await click(getByRole("button", { name: "7 days" }));
    expect(fake.asked("usage").at(-1)).toBe("GET usage?from=2024-02-24&to=2024-03-02&tz=America%2FNew_York");
  });

  test("a range that ends before it begins is not asked for", async () => {
    const fake = server();
    const { getByLabelText, getByRole, getByText } = await shown(fake);
    await click(getByRole("button", { name: "Other range" }));
    const before = fake.asked("usage").length;
    await fill(getByLabelText("To"), "2024-03-01");
    expect(getByText("The range ends before it begins.")).toBeTruthy();
    expect(fake.asked("usage")).toHaveLength(before);
    await fill(getByLabelText("From"), "2024-02-28");
    expect(fake.asked("usage").at(-1)).toBe("GET usage?from=2024-02-28&to=2024-03-02&tz=Europe%2FBerlin");
  });

  test("what is wrong with a day is said where the field points to", async () => {
    const fake = server();
    const { getByLabelText, getByRole } = await shown(fake);
    await click(getByRole("button", { name: "Other range" }));
    const asked = fake.requests.length;
    for (const [field, day, words] of [
      ["From", "", "“From” needs a day."], ["To", "", "“To” needs a day."], ["To", "12024-03-01", "Days go on until the year 9999."],
    ] as const) {
      const input = getByLabelText(field) as HTMLInputElement;
      const before = input.value;
      await fill(input, day);
      const about = document.getElementById(input.getAttribute("aria-describedby") ?? "");
      expect([input.getAttribute("aria-invalid"), about?.textContent]).toEqual(["true", words]);
      await fill(input, before);
      expect([input.getAttribute("aria-invalid"), input.getAttribute("aria-describedby")]).toEqual(["false", null]);
    }
    expect((getByLabelText("To") as HTMLInputElement).max).toBe("9999-12-30");
    expect(fake.requests.slice(asked).every((request) => !request.url.includes("12024"))).toBe(true);
  });

  test("months that the range cuts are named by their days", async () => {
    const usage = { ...USAGE, from: "2024-01-20", to: "2024-07-12", days: [] };
    const { getAllByRole, getByRole } = await shown(server().json("GET usage", usage));
    // Each version of ICU has spaces of its own around a dash.
    const narrow = (text: string | null) => text?.replace(/\s*–\s*/, "–");
    const names = getAllByRole("rowheader").map((header) => narrow(header.textContent));
    expect(names).toEqual([
      "20–31 January 2024", "February 2024", "March 2024", "April 2024", "May 2024", "June 2024", "1–11 July 2024", "Total",
    ]);
    expect(narrow(getByRole("slider").getAttribute("aria-valuetext"))).toBe("1–11 July 2024: 0 credits, 0 entries");
  });

  test("a zone that neither the browser nor the server knows is UTC", async () => {
    const fake = server().on("GET usage", (request) => {
      const tz = new URL(request.url).searchParams.get("tz");
      return tz === "UTC" ? json({ ...USAGE, tz }) : problem(400, `tz: ${JSON.stringify(tz)} is no IANA time zone`);
    });
    const { place, getByRole, getByLabelText } = await render(<UsageChart every={0} timeZone="Mars/Olympus" />, { quota: fake.client() });
    expect(fake.asked("usage").at(-1)).toBe("GET usage?tz=UTC");
    expect(place.textContent).toContain("does not know the time zone Mars/Olympus. Times are in UTC.");
    expect(place.textContent).not.toContain("refuses");
    expect(getByRole("slider")).toBeTruthy();
    await fill(getByLabelText("Time zone"), "Asia/Tokyo");
    expect(fake.asked("usage").at(-1)).toBe("GET usage?tz=UTC");
    expect(place.textContent).toContain("The server does not know the time zone Asia/Tokyo. Days are those of UTC.");
  });

  test("another fault of a range in a zone is said as it is", async () => {
    const fake = server().problem("GET usage", 400, "tz: its days are no longer known one by one");
    const { place } = await shown(fake);
    expect(place.textContent).toContain("refuses this: tz: its days are no longer known one by one.");
  });

  test("the server is asked by a zone's own name", async () => {
    const fake = server();
    await render(<UsageChart every={0} timeZone="europe/berlin" />, { quota: fake.client() });
    expect(fake.asked("usage")[0]).toBe("GET usage?tz=Europe%2FBerlin");
  });

  test("a zone that only the server knows is asked for all the same", async () => {
    const fake = server();
    const { place } = await render(<UsageChart every={0} timeZone="Mars/Olympus" />, { quota: fake.client() });
    expect(fake.asked("usage")[0]).toBe("GET usage?tz=Mars%2FOlympus");
    expect(place.textContent).toContain("does not know the time zone Mars/Olympus");
  });

  test("the file is the server's table, by label", async () => {
    const fake = server();
    const { getByRole, place } = await shown(fake);
    const saved: Blob[] = [];
    Object.assign(URL, { createObjectURL: (blob: Blob) => `blob:${saved.push(blob)}`, revokeObjectURL: vi.fn() });
    const clicked = vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(() => undefined);
    fake.on("GET usage", () => new Response("day\r\n", { headers: { "Content-Type": "text/csv" } }));
    await click(getByRole("button", { name: "CSV" }));
    expect(clicked).toHaveBeenCalledOnce();
    // With the mark by which spreadsheets know UTF-8.
    expect(saved[0]?.size).toBe("day\r\n".length + 3);
    expect(fake.asked("usage").at(-1)).toBe("GET usage?tz=Europe%2FBerlin&by=label");
    fake.on("GET usage", () => problem(503, "no"));
    await click(getByRole("button", { name: "CSV" }));
    expect(place.textContent).toContain("The server cannot answer at the moment.");
  });

  test("no usage is said", async () => {
    const fake = server().json("GET usage", { ...USAGE, days: [], total: "0" });
    expect((await shown(fake)).place.textContent).toContain("Nothing was used in this range.");
  });
});

test("nothing is asked for again where that is not wanted", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
  const fake = server();
  await shown(fake);
  const asked = fake.requests.length;
  await pass(600_000);
  expect(fake.requests).toHaveLength(asked);
});

test("days are cut in the zone that the application says, until another is chosen", async () => {
  const fake = server();
  const change: { zone?: (zone: string) => void } = {};
  function Application(): ReactNode {
    const [timeZone, setTimeZone] = useState("Europe/Berlin");
    change.zone = setTimeZone;
    return <UsageChart every={0} timeZone={timeZone} />;
  }
  const { getByLabelText } = await render(<Application />, { quota: fake.client() });
  const zone = () => new URL(fake.requests.findLast((request) => request.url.includes("/usage"))?.url ?? "").searchParams.get("tz");
  expect(zone()).toBe("Europe/Berlin");
  await act(async () => change.zone?.("Asia/Tokyo"));
  await settled();
  expect(zone()).toBe("Asia/Tokyo");
  await fill(getByLabelText("Time zone"), "America/New_York");
  await act(async () => change.zone?.("Europe/Berlin"));
  await settled();
  expect(zone()).toBe("America/New_York");
});
