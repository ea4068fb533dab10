import { act, type ReactNode } from "react";
import { describe, expect, test } from "vitest";

import { ForecastNote, forecastOf, german, QuotaProvider, QuotaStatus, RemainingBadge, type ViewProps } from "../src";
import { pollsOf } from "../src/hooks/polls";
import { FakeServer, json, problem } from "./fake-server";
import { click, render } from "./render";
import { quotaState, status } from "./samples";

const shown = (...quotas: ReturnType<typeof quotaState>[]) => {
  const server = new FakeServer().json("GET status", status(...quotas));
  return render(<QuotaStatus every={0} />, { quota: server.client() });
};

describe("QuotaStatus", () => {
  test("says what is used, held and left, and when it renews", async () => {
    const { place, getByRole } = await shown(quotaState({ used: "5", held: "2.5", remaining: "492.5" }));
    expect(place.textContent).toContain("5 of 500 used");
    expect(place.textContent).toContain("2.5 held");
    expect(place.textContent).toContain("492.5 left");
    expect(place.textContent).toContain("renews in 3h (2 Mar 2024, 01:00 Europe/Berlin)");
    expect(getByRole("meter").getAttribute("aria-valuetext")).toBe("5 of 500 used, 492.5 left");
  });

  test("tells near, used up, debt and unlimited in words", async () => {
    const { place, getAllByRole } = await shown(
      quotaState({ name: "hour", used: "400", remaining: "100" }),
      quotaState({ used: "500", remaining: "0" }),
      quotaState({ name: "month", used: "502", remaining: "-2" }),
      quotaState({ name: "year", limit: "unlimited", remaining: "unlimited", used: "0.000001" }),
    );
    for (const words of ["nearly used up", "used up", "over the limit", "2 over", "unlimited", "0.000001 used"]) {
      expect(place.textContent).toContain(words);
    }
    expect(getAllByRole("meter").map((meter) => meter.getAttribute("aria-valuenow"))).toEqual(["80", "100", "100"]);
  });

  test("shows amounts of 15 digits whole", async () => {
    const { place } = await shown(quotaState({ limit: "999999999999999", used: "0.000001", remaining: "999999999999998.999999" }));
    expect(place.textContent).toContain("0.000001 of 999,999,999,999,999 used");
    expect(place.textContent).toContain("999,999,999,999,998.999999 left");
  });

  test("shows a few of 64 quotas, and all when asked", async () => {
    const quotas = Array.from({ length: 64 }, (_, index) => quotaState({ name: `${index + 1}-day` }));
    const { getAllByRole, getByRole } = await shown(...quotas);
    expect(getAllByRole("meter")).toHaveLength(8);
    await click(getByRole("button", { name: "Show all 64" }));
    expect(getAllByRole("meter")).toHaveLength(64);
  });

  test("shows of many the lowest and all that are nearly used up or worse, in the plan's order", async () => {
    const quotas = Array.from({ length: 64 }, (_, index) => quotaState({ name: `${index + 1}-day` }));
    const worse = { 9: { used: "600", remaining: "-100" }, 20: { used: "500", remaining: "0" }, 40: { used: "450", remaining: "50" } };
    for (const [at, changes] of Object.entries(worse)) quotas[Number(at)] = quotaState({ name: `${Number(at) + 1}-day`, ...changes });
    const server = new FakeServer().json("GET status", { ...status(...quotas), lowest: "64-day" });
    const { getAllByRole } = await render(<QuotaStatus every={0} />, { quota: server.client() });
    const names = getAllByRole("meter").map((meter) => meter.getAttribute("aria-label"));
    expect(names).toEqual(["day", ...[2, 3, 4, 10, 21, 41, 64].map((days) => `${days} days`)]);
  });

  test("shows all where nearly all are used up", async () => {
    const { getAllByRole, queryByRole } = await shown(...Array.from({ length: 64 }, (_, index) => quotaState({ name: `${index + 1}-day`, remaining: "0" })));
    expect(getAllByRole("meter")).toHaveLength(64);
    expect(queryByRole("button", { name: /Show/ })).toBeNull();
  });

  test("shows names that it does not know as text", async () => {
    const name = "<img src=x onerror=alert(1)>";
    const { place } = await shown(quotaState({ name }), quotaState({ name }));
    expect(place.querySelector("img")).toBeNull();
    expect(place.textContent).toContain(name);
  });

  test("a plan without quotas limits nothing", async () => {
    expect((await shown()).place.textContent).toContain("nothing is limited");
  });

  test("says in words what is wrong", async () => {
    const answers: [number, string][] = [
      [401, "not signed in"], [403, "not for you"], [400, "refuses this: why"], [503, "cannot answer"], [200, "cannot be understood"],
    ];
    for (const [code, words] of answers) {
      const server = new FakeServer().on("GET status", () => (code === 200 ? new Response("<p>") : problem(code, "why")));
      const { place } = await render(<QuotaStatus every={0} />, { quota: server.client() });
      expect(place.textContent, String(code)).toContain(words);
    }
  });

  test("says that the browser does not know the zone", async () => {
    const server = new FakeServer().json("GET status", status(quotaState()));
    const { place } = await render(<QuotaStatus every={0} timeZone="Mars/Olympus" />, { quota: server.client() });
    expect(place.textContent).toContain("does not know the time zone Mars/Olympus");
    expect(place.textContent).toContain("2 Mar 2024, 00:00 UTC");
  });

  test("speaks German, and lets single texts be replaced", async () => {
    const server = new FakeServer().json("GET status", status(quotaState()));
    const labels = { ...german, quotas: "Guthaben" };
    const { place } = await render(<QuotaStatus every={0} labels={labels} locale="de" />, { quota: server.client() });
    expect(place.textContent).toContain("Guthaben");
    expect(place.textContent).toContain("5 von 500 verbraucht");
    expect(place.textContent).toContain("2. März 2024, 01:00 Europe/Berlin");
  });
});

describe("what the application says", () => {
  const shownIn = async (what: ReactNode, view: ViewProps = {}) => {
    const quota = new FakeServer().json("GET status", status(quotaState())).client();
    return (await render(what, { quota, ...view })).place.textContent;
  };

  test("a provider in another has what it does not say from the outer one", async () => {
    const inner = <QuotaProvider labels={{ quotas: "Guthaben", usage: undefined }}><QuotaStatus every={0} /></QuotaProvider>;
    const text = await shownIn(inner, { labels: german, locale: "de" });
    expect(text).toContain("Guthaben");
    expect(text).toContain("5 von 500 verbraucht");
    expect(text).toContain("2. März 2024, 01:00 Europe/Berlin");
  });

  test("a text that is undefined is the usual one", async () => {
    expect(await shownIn(<QuotaStatus every={0} labels={{ renews: undefined, quotas: "Credits" }} />)).toContain("renews in 3h");
  });

  test("a language that Intl refuses is none", async () => {
    expect(await shownIn(<QuotaStatus every={0} labels={{ language: "de_DE" }} />, { locale: undefined })).toContain("5 of 500 used");
  });

  test("a client that a browser cannot ask for is told in the language of the labels", async () => {
    expect(await shownIn(<QuotaStatus every={0} client=".." labels={german} />)).toContain(german.cannotBeAskedFor);
  });
});

describe("RemainingBadge", () => {
  test("shows the lowest quota", async () => {
    const server = new FakeServer().json("GET status", status(quotaState({ used: "450", remaining: "50" })));
    const { place } = await render(<RemainingBadge every={0} />, { quota: server.client() });
    expect(place.textContent).toBe("▲ nearly used up50 leftof the day");
  });

  test.each([["nothing is known", undefined], ["nothing is limited", "unlimited"], ["something is left", "500"]])(
    "says in words what is wrong where %s",
    async (_, limit) => {
      const answer = limit && status(quotaState({ limit, remaining: limit }));
      const server = new FakeServer().on("GET status", () => (answer ? json(answer) : problem(503, "no")));
      const quota = server.client();
      const { place } = await render(<RemainingBadge every={0} />, { quota });
      server.problem("GET status", 503, "no");
      await act(async () => await Promise.all([...pollsOf(quota).values()].map(({ poll }) => poll.refresh())));
      expect(place.textContent).toContain("⚠The server cannot answer at the moment.");
      expect(place.querySelector(".quota-hidden")?.textContent).toBe("The server cannot answer at the moment.");
      if (limit) expect(place.textContent).toContain(limit);
    },
  );
});

describe("the forecast", () => {
  const month = (changes: Parameters<typeof quotaState>[0]) =>
    quotaState({ name: "month", limit: "10000", starts_at: "2024-02-01T00:00:00Z", resets_at: "2024-03-05T00:00:00Z", ...changes });

  test("tells when the credits end at this pace, exactly", () => {
    const at = { ...status(month({ used: "8000", remaining: "2000" })), at: "2024-02-17T00:00:00Z" };
    expect(forecastOf(at)).toMatchObject({ kind: "until", at: Date.parse("2024-02-21T00:00:00Z") });
    const large = { ...at, quotas: [month({ limit: "999999999999999", used: "800000000000000", remaining: "200000000000000" })] };
    expect(forecastOf(large)).toMatchObject({ kind: "until", at: Date.parse("2024-02-21T00:00:00Z") });
  });

  test("knows the other cases", () => {
    const kind = (quota: ReturnType<typeof quotaState>, at = "2024-02-17T00:00:00Z") => forecastOf({ ...status(quota), at }).kind;
    expect(kind(month({ used: "5", remaining: "9995" }))).toBe("beyond");
    expect(kind(month({ used: "0", remaining: "10000" }))).toBe("unused");
    expect(kind(month({ used: "10001", remaining: "-1" }))).toBe("usedUp");
    expect(kind(month({ used: "5", remaining: "9995" }), "2024-02-01T01:00:00Z")).toBe("early");
    expect(kind(month({ limit: "unlimited", remaining: "unlimited" }))).toBe("unlimited");
  });

  test("is of the longest finite quota, or of the one that is named", () => {
    const at = status(quotaState({ used: "500", remaining: "0" }), month({ used: "0", remaining: "10000" }));
    expect(forecastOf(at)).toMatchObject({ quota: { name: "month" } });
    expect(forecastOf(at, "day")).toMatchObject({ kind: "usedUp", quota: { name: "day" } });
    expect(forecastOf(at, "week")).toEqual({ kind: "unknown", name: "week" });
    const unlimited = quotaState({ name: "year", limit: "unlimited", remaining: "unlimited" });
    expect(forecastOf({ ...at, quotas: [...at.quotas, unlimited] }, "year")).toEqual({ kind: "unlimited" });
  });

  test("is of a quota that is there", async () => {
    const server = new FakeServer().json("GET status", status(quotaState()));
    const { place } = await render(<ForecastNote every={0} name="fortnight" />, { quota: server.client() });
    expect(place.textContent).toContain("This plan has no quota named fortnight.");
  });

  test("is told to the minute, and of short windows to the second", () => {
    const of = (resets_at: string) => {
      const quota = quotaState({ starts_at: "2024-02-17T00:00:00Z", resets_at, limit: "100", used: "70", remaining: "30" });
      const forecast = forecastOf({ ...status(quota), at: "2024-02-17T00:00:40Z" });
      return forecast.kind === "until" && new Date(forecast.at).toISOString();
    };
    expect(of("2024-02-17T00:01:00Z")).toBe("2024-02-17T00:00:57.000Z");
    expect(of("2024-02-17T01:00:00Z")).toBe("2024-02-17T00:00:00.000Z");
  });

  test("is a sentence", async () => {
    const server = new FakeServer().json("GET status", status(quotaState({ used: "500", remaining: "0" })));
    const { place } = await render(<ForecastNote every={0} />, { quota: server.client() });
    expect(place.textContent).toContain("The credits for the day are used up. They renew on 2 Mar 2024, 01:00 Europe/Berlin.");
  });
});
