import { act, type ReactNode, useState } from "react";
import { describe, expect, test, vi } from "vitest";

import { type Plan, type QuotaClient, QuotaManager } from "../src";
import { FakeServer, json, problem } from "./fake-server";
import { click, eventually, fill, pass, press, render, setHidden, settled } from "./render";
import { quotaState, status, USAGE } from "./samples";

const PLAN: Plan = {
  quotas: [
    { period: "DAY", every: 1, limit: "500", anchor: "2022-01-01T00:00:00.250Z", tz: "UTC" },
    { period: "MONTH", every: 1, limit: "unlimited", anchor: "2022-01-31T00:00:00Z", tz: "Europe/Berlin" },
  ],
};

function server(): FakeServer {
  return new FakeServer()
    .json("GET clients", { clients: ["a", "b", "<b>c</b>"], next: null })
    .json("GET clients/a/status", status(quotaState()))
    .json("GET clients/a/usage", USAGE)
    .json("GET clients/a/plan", PLAN)
    .json("GET clients/a/denials", { denials: [] })
    .json("POST clients/a/plan/preview", {
      quotas: [{ name: "day", renewals: Array.from({ length: 12 }, (_, index) => `2024-03-${String(index + 2).padStart(2, "0")}T00:00:00Z`) }],
      status: status(quotaState({ limit: "10", remaining: "5" })),
    });
}

/** Whether a button does nothing at the moment; it keeps the keyboard. */
const isOff = (button: Element) => button.getAttribute("aria-disabled") === "true";

const shown = (fake = server(), client: string | undefined = "a") => render(<QuotaManager client={client} />, { quota: fake.client() });

describe("finding a client", () => {
  test("a click or a key opens it, and markup is text", async () => {
    const { getByRole, place } = await render(<QuotaManager />, { quota: server().client() });
    expect(place.textContent).toContain("Choose a client");
    const list = await eventually(() => getByRole("listbox"));
    await press(list, "ArrowDown");
    await press(list, "ArrowUp");
    await press(list, "Enter");
    expect(getByRole("option", { name: "a" }).getAttribute("aria-selected")).toBe("true");
    await click(getByRole("option", { name: "<b>c</b>" }));
    expect(place.querySelector(".quota-client")?.textContent).toBe("<b>c</b>");
    expect(place.querySelector(".quota-client b")).toBeNull();
  });

  test("10,000 clients have few rows in the page, and keys reach the last", async () => {
    const clients = Array.from({ length: 10_000 }, (_, index) => `client-${String(index).padStart(5, "0")}`);
    const { getByRole, getAllByRole } = await render(<QuotaManager />, {
      quota: server().json("GET clients", { clients, next: null }).client(),
    });
    expect((await eventually(() => getAllByRole("option"))).length).toBeLessThan(60);
    const began = performance.now();
    await press(getByRole("listbox"), "End");
    expect(performance.now() - began).toBeLessThan(200);
    expect(getAllByRole("option").length).toBeLessThan(60);
  });

  test("the next page is asked for when the end is near", async () => {
    const fake = server().on("GET clients", (request) => {
      const after = new URL(request.url).searchParams.get("after");
      return json(after === null ? { clients: ["a", "b"], next: "b" } : { clients: ["c"], next: null });
    });
    const { getAllByRole, getByText } = await render(<QuotaManager />, { quota: fake.client() });
    await eventually(() => getByText("3 clients"));
    expect(getAllByRole("option")).toHaveLength(3);
    expect(fake.asked("clients").at(-1)).toBe("GET clients?limit=200&after=b");
  });

  test("nobody is said not to be there before the server was asked", async () => {
    const fake = server().on("GET clients", (request) => {
      const prefix = new URL(request.url).searchParams.get("prefix");
      return json({ clients: prefix === null || prefix === "xa" ? ["xa"] : [], next: null });
    });
    const { getByRole, getByText, place } = await render(<QuotaManager />, { quota: fake.client() });
    await eventually(() => getByRole("option", { name: "xa" }));
    const search = getByRole("searchbox") as HTMLInputElement;
    await fill(search, "y");
    await eventually(() => getByText("No client's id begins with “y”.", { exact: false }));
    await fill(search, "xa");
    expect(place.textContent).not.toContain("No client's id begins");
    await eventually(() => getByRole("option", { name: "xa" }));
  });

  test("a page that cannot be had is asked for again after a while, and not at once", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
    let fails = true;
    const fake = server().on("GET clients", (request) => {
      const isFirst = new URL(request.url).searchParams.get("after") === null;
      if (isFirst) return json({ clients: ["a", "b"], next: "b" });
      return fails ? problem(503, "no") : json({ clients: ["c"], next: null });
    });
    const { getAllByRole, place } = await render(<QuotaManager />, { quota: fake.client() });
    await pass(1_000);
    expect(fake.asked("after=b")).toHaveLength(1);
    expect(getAllByRole("option")).toHaveLength(2);
    expect(place.textContent).toContain("It is tried again by itself.");
    fails = false;
    await pass(10_000);
    expect(fake.asked("after=b")).toHaveLength(2);
    expect(getAllByRole("option")).toHaveLength(3);
  });

  test("another API's clients are listed from the first on, without those of the one before", async () => {
    const one = server().on("GET clients", (request) => {
      const isFirst = new URL(request.url).searchParams.get("after") === null;
      return json(isFirst ? { clients: ["a", "b"], next: "b" } : { clients: ["c"], next: null });
    });
    const other = new FakeServer().json("GET clients", { clients: ["x"], next: null });
    let change: (quota: QuotaClient) => void = () => undefined;
    function App(): ReactNode {
      const [quota, setQuota] = useState(() => one.client());
      change = setQuota;
      return <QuotaManager quota={quota} />;
    }
    const { getAllByRole, getByText } = await render(<App />);
    await eventually(() => getByText("3 clients"));
    await act(async () => change(other.client()));
    await settled();
    expect(getAllByRole("option").map((option) => option.textContent)).toEqual(["x"]);
    expect(new Set(other.asked("clients"))).toEqual(new Set(["GET clients?limit=200"]));
  });

  test("another prefix does not inherit what failed", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
    const fake = server().on("GET clients", (request) => {
      const query = new URL(request.url).searchParams;
      if (query.get("prefix") === "x") return json({ clients: ["x1"], next: null });
      return query.get("after") === null ? json({ clients: ["a", "b"], next: "b" }) : problem(503, "no");
    });
    const { getAllByRole, getByLabelText, place } = await render(<QuotaManager />, { quota: fake.client() });
    await pass(100);
    expect(place.textContent).toContain("The server cannot answer at the moment.");
    await fill(getByLabelText("Find a client"), "x");
    await pass(60_000);
    expect(getAllByRole("option").map((option) => option.textContent)).toEqual(["x1"]);
    expect(place.textContent).not.toContain("The server cannot answer at the moment.");
  });

  test("nothing is asked while the page is hidden, and less often the longer it fails", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
    const fake = new FakeServer().problem("GET clients", 503, "no");
    await render(<QuotaManager />, { quota: fake.client() });
    const asked = () => fake.requests.splice(0).length;
    asked();
    await pass(60_000);
    expect(asked()).toBeGreaterThan(2);
    await pass(600_000);
    expect(asked()).toBeLessThan(5);
    await setHidden(true);
    await pass(3_600_000);
    expect(asked()).toBe(0);
  });

  test("an id that is not in the list can be opened", async () => {
    const fake = server().json("GET clients", { clients: [], next: null });
    const { getByRole, getByLabelText } = await render(<QuotaManager />, { quota: fake.client() });
    await fill(getByLabelText("Find a client"), "a");
    await click(await eventually(() => getByRole("button", { name: "Open “a”" })));
    expect(getByRole("heading", { name: "Plan" })).toBeTruthy();
  });

  test.each(["status", "usage", "denials", "plan"])("the sections that need the %s say so, and the others go on", async (path) => {
    const fake = server().problem(`GET clients/a/${path}`, 503, "no");
    const { getByRole } = await shown(fake);
    const names = { Quotas: "status", Forecast: "status", Usage: "usage", "Last refusals": "denials", Plan: "plan" };
    for (const [name, needs] of Object.entries(names)) {
      const fails = (getByRole("region", { name }).textContent ?? "").includes("The server cannot answer at the moment.");
      expect(fails, name).toBe(needs === path);
    }
  });

  test("a page of a proxy is no fact about a client", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
    const restarting = () => new Response("404 page not found", { status: 404, headers: { "Content-Type": "text/plain" } });
    const fake = server().on("GET clients/a/plan", restarting).on("GET clients/a/denials", restarting);
    const { getByRole } = await shown(fake);
    for (const name of ["Plan", "Last refusals"]) {
      expect(getByRole("region", { name }).textContent).toContain("The server's answer cannot be understood.");
    }
    fake.json("GET clients/a/plan", PLAN).json("GET clients/a/denials", { denials: [] });
    await pass(20_000);
    expect(getByRole("region", { name: "Plan" }).textContent).toContain("Quota 2");
    expect(getByRole("region", { name: "Last refusals" }).textContent).toContain("No request of this client was refused lately.");
  });
});

describe("the plan", () => {
  test("is saved after its preview, as it was where nothing was touched", async () => {
    const fake = server().json("PUT clients/a/plan", status(quotaState()));
    const { getByRole, getAllByLabelText, place } = await shown(fake);
    const save = () => getByRole("button", { name: "Save plan" });
    expect(isOff(save())).toBe(true);
    await fill(getAllByLabelText("Credits")[0] as Element, "10");
    await click(getByRole("button", { name: "Preview" }));
    const preview = getByRole("region", { name: "What this plan would do" });
    expect(preview.textContent).toContain("495 left");
    expect(preview.textContent).toContain("5 left");
    expect(preview.querySelectorAll("li, summary")).toHaveLength(12);
    await click(save());
    const put = fake.requests.find((request) => request.method === "PUT");
    expect(await put?.json()).toEqual({ quotas: [{ ...PLAN.quotas[0], limit: "10" }, PLAN.quotas[1]] });
    expect(place.textContent).toContain("The plan was saved.");
  });

  test("renewals are told apart, also within a minute and where summer time ends", async () => {
    const renewals = ["2024-10-27T00:00:00Z", "2024-10-27T00:00:30Z", "2024-10-27T01:00:00Z"];
    const fake = server().json("POST clients/a/plan/preview", { quotas: [{ name: "30-second", renewals }], status: status(quotaState({ name: "30-second" })) });
    const { getByRole } = await shown(fake);
    await click(getByRole("button", { name: "Preview" }));
    const shownAt = [...getByRole("region", { name: "What this plan would do" }).querySelectorAll("summary, li")].map((one) => one.textContent);
    expect(shownAt).toEqual(["00 GMT+2", "30 GMT+2", "00 GMT+1"].map((end) => `27 Oct 2024, 02:00:${end} Europe/Berlin`));
  });

  test("a change after the preview needs another", async () => {
    const { getByRole, getAllByLabelText } = await shown();
    await click(getByRole("button", { name: "Preview" }));
    await fill(getAllByLabelText("Credits")[0] as Element, "11");
    expect(isOff(getByRole("button", { name: "Save plan" }))).toBe(true);
  });

  test("a preview that is late is not of what stands there by then", async () => {
    let answer: (response: Response) => void = () => undefined;
    const fake = server().on("POST clients/a/plan/preview", () => new Promise((resolve) => (answer = resolve)));
    const { getByRole, queryByRole, getAllByLabelText } = await shown(fake);
    await click(getByRole("button", { name: "Preview" }));
    await fill(getAllByLabelText("Credits")[0] as Element, "5");
    answer(json({ quotas: [], status: status(quotaState()) }));
    await settled();
    expect(queryByRole("region", { name: "What this plan would do" })).toBeNull();
    await click(getByRole("button", { name: "Save plan" }));
    expect(fake.asked("PUT")).toEqual([]);
    await fill(getAllByLabelText("Credits")[0] as Element, "500.0");
    expect(getByRole("region", { name: "What this plan would do" })).toBeTruthy();
  });

  test("is saved once, however often the button is pressed", async () => {
    let answer: (response: Response) => void = () => undefined;
    const fake = server().on("PUT clients/a/plan", () => new Promise((resolve) => (answer = resolve)));
    const { getByRole } = await shown(fake);
    await click(getByRole("button", { name: "Preview" }));
    await click(getByRole("button", { name: "Save plan" }));
    await click(getByRole("button", { name: "Save plan" }));
    answer(json(status(quotaState())));
    await settled();
    expect(fake.asked("PUT")).toHaveLength(1);
  });

  test("keeps what is typed while it is saved", async () => {
    const saved = { quotas: [{ ...PLAN.quotas[0], limit: "10" }, PLAN.quotas[1]] };
    let answer: (response: Response) => void = () => undefined;
    const fake = server().on("PUT clients/a/plan", () => new Promise((resolve) => (answer = resolve)));
    const { getByRole, getAllByLabelText, place } = await shown(fake);
    const limit = () => getAllByLabelText("Credits")[0] as HTMLInputElement;
    const every = () => getAllByLabelText("Every")[0] as HTMLInputElement;
    await fill(limit(), "10");
    await click(getByRole("button", { name: "Preview" }));
    await click(getByRole("button", { name: "Save plan" }));
    await fill(every(), "2");
    fake.json("GET clients/a/plan", saved);
    answer(json(status(quotaState())));
    await settled();
    expect([limit().value, every().value]).toEqual(["10", "2"]);
    expect(place.textContent).not.toContain("The plan was changed elsewhere.");
  });

  test("that was saved without an answer is shown, and is nobody else's", async () => {
    const saved = { quotas: [{ ...PLAN.quotas[0], limit: "10" }, PLAN.quotas[1]] };
    const fake = server();
    fake.on("PUT clients/a/plan", () => {
      fake.json("GET clients/a/plan", saved);
      return problem(503, "the store cannot answer");
    });
    const { getByRole, queryByText, getAllByLabelText, place } = await shown(fake);
    const limit = () => getAllByLabelText("Credits")[0] as HTMLInputElement;
    await fill(limit(), "10");
    await click(getByRole("button", { name: "Preview" }));
    await click(getByRole("button", { name: "Save plan" }));
    await settled();
    expect(place.textContent).not.toContain("The plan was saved.");
    expect(queryByText("Discard changes")).toBeNull();
    await fill(limit(), "11");
    await click(getByRole("button", { name: "Discard changes" }));
    expect(limit().value).toBe("10");
    expect(place.textContent).not.toContain("The plan was changed elsewhere.");
  });

  test("that somebody else has changed is shown, unless that would lose changes", async () => {
    const fake = server();
    const { getByRole, queryByText, getAllByLabelText } = await shown(fake);
    const limit = () => getAllByLabelText("Credits")[0] as HTMLInputElement;
    const change = async (to: string) => {
      fake.json("GET clients/a/plan", { quotas: [{ ...PLAN.quotas[0], limit: to }, PLAN.quotas[1]] });
      await click(getByRole("button", { name: "Refresh: Plan" }));
    };
    await change("600");
    expect(limit().value).toBe("600");
    await fill(limit(), "7");
    await change("700");
    expect(limit().value).toBe("7");
    expect(queryByText(/The plan was changed elsewhere\./)).toBeTruthy();
    await click(getByRole("button", { name: "Show the new plan" }));
    expect(limit().value).toBe("700");
    expect(queryByText(/The plan was changed elsewhere\./)).toBeNull();
  });

  test("that somebody else has changed since it was looked at is neither saved over nor removed", async () => {
    const fake = server().json("PUT clients/a/plan", status(quotaState())).on("DELETE clients/a/plan", () => new Response(null, { status: 204 }));
    const { getByRole, getAllByRole, getAllByLabelText, queryByText } = await shown(fake);
    const limit = () => getAllByLabelText("Credits")[0] as HTMLInputElement;
    const save = () => getByRole("button", { name: "Save plan" });
    const change = (to: string) => fake.json("GET clients/a/plan", { quotas: [{ ...PLAN.quotas[0], limit: to }, PLAN.quotas[1]] });
    await fill(limit(), "7");
    await click(getByRole("button", { name: "Preview" }));
    change("700");
    await click(save());
    await settled();
    expect(fake.asked("PUT")).toEqual([]);
    expect(queryByText(/The plan was changed elsewhere\./)).toBeTruthy();
    expect(limit().value).toBe("7");
    expect(isOff(save())).toBe(true);
    // Told before the preview as well; then it is theirs to decide.
    change("701");
    await click(getByRole("button", { name: "Preview" }));
    await settled();
    expect(queryByText(/The plan was changed elsewhere\./)).toBeTruthy();
    await click(save());
    await settled();
    expect(fake.asked("PUT")).toHaveLength(1);
    change("702");
    await click(getByRole("button", { name: "Remove plan" }));
    await click(getAllByRole("button", { name: "Remove plan" }).at(-1) as HTMLElement);
    await settled();
    expect(fake.asked("DELETE")).toEqual([]);
    expect(queryByText(/The plan was changed elsewhere\./)).toBeTruthy();
  });

  test("without a quota limits nothing, and is saved when that was said twice", async () => {
    const fake = server()
      .json("PUT clients/a/plan", status())
      .json("POST clients/a/plan/preview", { quotas: [], status: status() });
    const { getByRole } = await shown(fake);
    await click(getByRole("button", { name: "Remove quota 2" }));
    await click(getByRole("button", { name: "Remove quota 1" }));
    await click(getByRole("button", { name: "Preview" }));
    const preview = getByRole("region", { name: "What this plan would do" });
    expect(preview.textContent).toContain("nothing is limited");
    expect(preview.textContent).toContain("no longer limited");
    await click(getByRole("button", { name: "Save plan" }));
    expect(fake.asked("PUT")).toEqual([]);
    await click(getByRole("button", { name: "Save without any limit" }));
    await settled();
    expect(fake.asked("PUT")).toHaveLength(1);
  });

  test("of a client without one is not made of nothing", async () => {
    const fake = server()
      .problem("GET clients/a/plan", 404, "no plan")
      .json("POST clients/a/plan/preview", { quotas: [], status: status() });
    const { getByRole } = await shown(fake);
    await click(getByRole("button", { name: "Preview" }));
    expect(isOff(getByRole("button", { name: "Save plan" }))).toBe(true);
  });

  test("leaves the keyboard somewhere when what it was on goes", async () => {
    const fake = server()
      .json("PUT clients/a/plan", status(quotaState()))
      .on("DELETE clients/a/plan", () => new Response(null, { status: 204 }));
    const { getByRole, getAllByLabelText } = await shown(fake);
    const use = async (element: HTMLElement) => {
      element.focus();
      await click(element);
    };
    const name = () => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent;
    const button = (name: string) => getByRole("button", { name });
    await use(button("Remove quota 2"));
    expect(name()).toBe("Add a quota");
    await use(button("Discard changes"));
    expect(name()).toBe("Add a quota");
    await fill(getAllByLabelText("Credits")[0] as Element, "10");
    await use(button("Preview"));
    await use(button("Save plan"));
    expect(name()).toBe("Save plan");
    await use(button("Remove plan"));
    const group = getByRole("group", { name: "Remove plan" });
    expect(document.activeElement).toBe(group);
    await use(button("Cancel"));
    expect(name()).toBe("Remove plan");
    await use(button("Remove plan"));
    fake.problem("GET clients/a/plan", 404, "the client has no plan");
    await use(getByRole("group", { name: "Remove plan" }).querySelector("button") as HTMLElement);
    expect(name()).toBe("Add a quota");
  });

  test("what is wrong is said beside it, and cannot be sent", async () => {
    const { getByRole, getAllByLabelText, getByText } = await shown();
    const preview = () => getByRole("button", { name: "Preview" });
    for (const [field, value, words] of [
      ["Credits", "1,5", "A number such as 500 or 2.5, with at most six decimals."],
      ["Credits", "0.0000001", "A number such as 500 or 2.5, with at most six decimals."],
      ["Credits", "9223372036854.775808", "At most 9,223,372,036,854.775807."],
      ["Every", "0", "A whole number from 1 to 100,000."],
      ["Period", "MONTH", "Two quotas of one plan have the same period."],
    ] as const) {
      const input = getAllByLabelText(field)[0] as HTMLInputElement;
      const before = input.value;
      await fill(input, value);
      expect(getByText(words)).toBeTruthy();
      expect(isOff(preview())).toBe(true);
      await fill(input, before);
      expect(isOff(preview())).toBe(false);
    }
  });

  test("the server's own words are shown", async () => {
    const fake = server().problem("POST clients/a/plan/preview", 400, "quotas[0].tz: no such zone");
    const { getByRole, place } = await shown(fake);
    await click(getByRole("button", { name: "Preview" }));
    expect(place.textContent).toContain("The server refuses this: quotas[0].tz: no such zone.");
  });

  test("that is read-only says so", async () => {
    const fake = server().problem("PUT clients/a/plan", 405, "no");
    const { getByRole, place } = await shown(fake);
    await click(getByRole("button", { name: "Preview" }));
    await click(getByRole("button", { name: "Save plan" }));
    expect(place.textContent).toContain("Plans are read-only here");
  });

  test("that is not there can be made", async () => {
    const fake = server().problem("GET clients/a/plan", 404, "the client has no plan").json("PUT clients/a/plan", status());
    const { getByRole, getByLabelText, place } = await shown(fake);
    expect(place.textContent).toContain("This client has no plan");
    await click(getByRole("button", { name: "Add a quota" }));
    await fill(getByLabelText("Credits"), "5");
    await click(getByRole("button", { name: "Preview" }));
    await click(getByRole("button", { name: "Save plan" }));
    const put = fake.requests.find((request) => request.method === "PUT");
    expect(await put?.json()).toMatchObject({ quotas: [{ period: "DAY", every: 1, limit: "5", tz: "UTC" }] });
  });

  test("is removed after a second question", async () => {
    const fake = server().on("DELETE clients/a/plan", () => new Response(null, { status: 204 }));
    const { getByRole, place } = await shown(fake);
    await click(getByRole("button", { name: "Remove plan" }));
    expect(fake.asked("DELETE")).toHaveLength(0);
    await click(getByRole("group", { name: "Remove plan" }).querySelector("button") as Element);
    expect(place.textContent).toContain("The plan was removed.");
    expect(fake.asked("DELETE")).toEqual(["DELETE clients/a/plan"]);
  });
});

describe("deletion", () => {
  test("takes whole local days, after the id was typed", async () => {
    const fake = server().json("DELETE clients/a/usage", { deleted: 1234 });
    const { getByRole, getByLabelText, place } = await shown(fake);
    const button = () => getByRole("button", { name: "Delete" });
    await fill(getByLabelText("From"), "2024-03-31");
    await fill(getByLabelText("To"), "2024-03-31");
    expect(isOff(button())).toBe(true);
    await fill(getByLabelText(/^To confirm/), "A");
    expect(isOff(button())).toBe(true);
    await fill(getByLabelText(/^To confirm/), "a");
    await click(button());
    expect(fake.asked("DELETE")).toEqual(["DELETE clients/a/usage?from=2024-03-30T23%3A00%3A00Z&to=2024-03-31T22%3A00%3A00Z"]);
    expect(place.textContent).toContain("1,234 entries were deleted.");
    expect(isOff(button())).toBe(true);
  });

  test("is asked for once, and what it did is told until something is changed", async () => {
    let answer: (response: Response) => void = () => undefined;
    const fake = server().on("DELETE clients/a/usage", () => new Promise((resolve) => (answer = resolve)));
    const { getByRole, getByLabelText, place } = await shown(fake);
    await fill(getByLabelText(/^To confirm/), "a");
    await click(getByRole("button", { name: "Delete" }));
    await click(getByRole("button", { name: "Delete" }));
    answer(json({ deleted: 7 }));
    await settled();
    expect(fake.asked("DELETE")).toHaveLength(1);
    expect(place.textContent).toContain("7 entries were deleted.");
    await fill(getByLabelText("From"), "2024-03-30");
    expect(place.textContent).not.toContain("7 entries were deleted.");
  });

  test("of everything says so", async () => {
    const fake = server().json("DELETE clients/a/usage", { deleted: 0 });
    const { getByRole, getByLabelText, place } = await shown(fake);
    await click(getByLabelText("Everything"));
    expect(place.textContent).toContain("All that this client ever used is deleted");
    await fill(getByLabelText(/^To confirm/), "a");
    await click(getByRole("button", { name: "Delete" }));
    expect(fake.asked("DELETE")).toEqual(["DELETE clients/a/usage?all=true"]);
  });

  test("is of today as the server has it, until other days are chosen", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance", "Date"], now: Date.parse("2024-06-01T00:00:00Z") });
    let answer: (response: Response) => void = () => undefined;
    const fake = server().on("GET clients/a/status", () => new Promise((resolve) => (answer = resolve)));
    const { getByRole, getByLabelText } = await shown(fake);
    const days = () => ["From", "To"].map((name) => (getByLabelText(name) as HTMLInputElement).value);
    const region = getByRole("region", { name: "Delete usage" });
    expect(days()).toEqual(["", ""]);
    expect(region.textContent).not.toContain("needs a day");
    answer(json(status(quotaState())));
    await settled();
    expect(days()).toEqual(["2024-03-01", "2024-03-01"]);
    const later = (at: string) => fake.json("GET clients/a/status", { ...status(quotaState()), at });
    later("2024-03-01T23:00:10Z");
    await pass(16_000);
    expect(days()).toEqual(["2024-03-02", "2024-03-02"]);
    await fill(getByLabelText(/^To confirm/), "a");
    later("2024-03-02T23:00:10Z");
    await pass(16_000);
    expect(days()).toEqual(["2024-03-02", "2024-03-02"]);
  });

  test("of days that are none is not asked for, and says why", async () => {
    const { getByRole, getByLabelText } = await shown();
    await fill(getByLabelText(/^To confirm/), "a");
    for (const [field, day, words] of [
      ["From", "", "“From” needs a day."], ["To", "", "“To” needs a day."], ["To", "12024-03-01", "Days go on until the year 9999."],
    ] as const) {
      const input = getByLabelText(field) as HTMLInputElement;
      const before = input.value;
      await fill(input, day);
      expect(document.getElementById(input.getAttribute("aria-describedby") ?? "")?.textContent).toBe(words);
      expect(isOff(getByRole("button", { name: "Delete" }))).toBe(true);
      await fill(input, before);
      expect(isOff(getByRole("button", { name: "Delete" }))).toBe(false);
    }
  });

  test("of days in the wrong order is not asked for", async () => {
    const { getByRole, getByLabelText } = await shown();
    await fill(getByLabelText("From"), "2024-03-31");
    await fill(getByLabelText("To"), "2024-03-30");
    await fill(getByLabelText(/^To confirm/), "a");
    expect(isOff(getByRole("button", { name: "Delete" }))).toBe(true);
  });
});

describe("refusals", () => {
  test("say what was short, and when it is worth trying again", async () => {
    const denial = {
      at: "2024-03-01T20:00:00Z", required: "700", violated: ["day", "<i>"], binding: "day", retry_at: null,
      quotas: [quotaState({ remaining: "3" })],
    };
    const denials = [{ ...denial, retry_at: "2024-03-02T00:00:00Z" }, denial];
    const { place } = await shown(server().json("GET clients/a/denials", { denials }));
    expect(place.textContent).toContain("day (3 left), <i>");
    expect(place.textContent).toContain("2 Mar 2024, 01:00 Europe/Berlin");
    expect(place.textContent).toContain("never at this cost");
  });

  test("may not be remembered", async () => {
    const { place } = await shown(server().on("GET clients/a/denials", () => problem(404, "denials are not remembered here")));
    expect(place.textContent).toContain("This server does not remember refusals.");
  });
});
