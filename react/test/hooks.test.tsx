import { act, type ReactNode, useState } from "react";
import { beforeEach, describe, expect, test, vi } from "vitest";

import { type QuotaClient, useStatus, type UseStatus, useUsage } from "../src";
import { pollsOf } from "../src/hooks/polls";
import { FakeServer, json, problem } from "./fake-server";
import { click, pass, render, setHidden, settled } from "./render";
import { quotaState, status, USAGE } from "./samples";

let seen: UseStatus;

function Shown({ every = 10_000 }: { every?: number }): ReactNode {
  seen = useStatus({ every });
  return <button type="button" onClick={() => void seen.refresh()}>{seen.status?.quotas[0]?.used ?? seen.error?.kind ?? "loading"}</button>;
}

/** A server whose use grows with each answer. */
function growing(): FakeServer {
  let used = 0;
  return new FakeServer().on("GET status", () => json(status(quotaState({ used: String((used += 1)) }))));
}

/** What was asked since it was counted last. */
function counter(server: FakeServer): () => number {
  let before = 0;
  return () => {
    const asked = server.requests.length - before;
    before = server.requests.length;
    return asked;
  };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance", "Date"] });
  vi.spyOn(Math, "random").mockReturnValue(0.5);
});

describe("useStatus", () => {
  test("asks again after a while", async () => {
    const server = growing();
    const { place } = await render(<Shown />, { quota: server.client() });
    const first = Number(place.textContent);
    await pass(9_000);
    expect(place.textContent).toBe(String(first));
    await pass(1_001);
    expect(place.textContent).toBe(String(first + 1));
  });

  test("asks once where it is told to", async () => {
    const server = growing();
    await render(<Shown every={0} />, { quota: server.client() });
    const asked = counter(server);
    asked();
    await pass(3_600_000);
    expect(asked()).toBe(0);
  });

  test("refreshes at once", async () => {
    const server = growing();
    const { place, getByRole } = await render(<Shown />, { quota: server.client() });
    const first = Number(place.textContent);
    await click(getByRole("button"));
    expect(place.textContent).toBe(String(first + 1));
  });

  test("several components ask once", async () => {
    const server = growing();
    await render(<><Shown /><Shown /><Shown /></>, { quota: server.client() });
    const asked = counter(server);
    asked();
    await pass(10_001);
    expect(asked()).toBe(1);
  });

  test("asks nothing while the page is hidden, and at once when it is seen again", async () => {
    const server = growing();
    await render(<Shown />, { quota: server.client() });
    const asked = counter(server);
    asked();
    await setHidden(true);
    await pass(600_000);
    expect(asked()).toBe(0);
    await setHidden(false);
    await pass(1);
    expect(asked()).toBe(1);
    await setHidden(true);
    await setHidden(false);
    await pass(1_000);
    expect(asked()).toBe(0);
  });

  test("asks nothing when nobody listens any more", async () => {
    const server = growing();
    const { place } = await render(<Shown />, { quota: server.client() });
    expect(place.textContent).not.toBe("loading");
    const { Poll } = await import("../src/hooks/poll");
    const load = vi.fn(async () => 1);
    const poll = new Poll({ load, every: 1_000, now: Date.now });
    poll.subscribe(() => undefined)();
    await pass(60_000);
    expect(load).toHaveBeenCalledTimes(1);
  });

  test("waits twice as long after each error, and keeps what it had", async () => {
    let fails = false;
    const server = new FakeServer().on("GET status", () => (fails ? problem(503, "no") : json(status(quotaState()))));
    const { place } = await render(<Shown />, { quota: server.client() });
    const asked = counter(server);
    asked();
    fails = true;
    await pass(10_001);
    expect([asked(), place.textContent, seen.error?.kind]).toEqual([1, "5", "unavailable"]);
    await pass(10_001);
    expect(asked()).toBe(1);
    await pass(10_001);
    expect(asked()).toBe(0);
    await pass(10_001);
    expect(asked()).toBe(1);
    fails = false;
    await pass(40_001);
    expect([asked(), seen.error]).toEqual([1, undefined]);
    await pass(10_001);
    expect(asked()).toBe(1);
  });

  test("waits as long as the server says", async () => {
    const server = new FakeServer().problem("GET status", 503, "later", { "Retry-After": "120" });
    await render(<Shown />, { quota: server.client() });
    const asked = counter(server);
    asked();
    await pass(119_000);
    expect(asked()).toBe(0);
    await pass(1_100);
    expect(asked()).toBe(1);
  });

  test("waits as long as the server says also after it was taken away and shown again", async () => {
    const server = new FakeServer().problem("GET status", 503, "later", { "Retry-After": "120" });
    const quota = server.client();
    const show: { again?: (isThere: boolean) => void } = {};
    function Sometimes(): ReactNode {
      const [isThere, setIsThere] = useState(true);
      show.again = setIsThere;
      return isThere && <Shown />;
    }
    const { place } = await render(<Sometimes />, { quota });
    const asked = counter(server);
    asked();
    await act(async () => show.again?.(false));
    await pass(60_000);
    await act(async () => show.again?.(true));
    await pass(50_000);
    expect([asked(), place.textContent]).toEqual([0, "unavailable"]);
    await pass(10_100);
    expect(asked()).toBe(1);
    await act(async () => show.again?.(false));
    await pass(120_000);
    expect(pollsOf(quota).size).toBe(0);
  });

  test("waits also where the server says a month, and does not ask again and again", async () => {
    const server = new FakeServer().problem("GET status", 429, "later", { "Retry-After": "2592000" });
    await render(<Shown />, { quota: server.client() });
    const asked = counter(server);
    asked();
    await pass(60_000);
    expect(asked()).toBe(0);
  });

  test("asks at once after an error when the page is seen again, but not before the server wants it", async () => {
    let later: Record<string, string> = {};
    const server = new FakeServer().on("GET status", () => problem(503, "no", later));
    await render(<Shown />, { quota: server.client() });
    await pass(600_000);
    const asked = counter(server);
    asked();
    await setHidden(true);
    later = { "Retry-After": "100" };
    await setHidden(false);
    await pass(1);
    expect(asked()).toBe(1);
    await setHidden(true);
    await setHidden(false);
    await pass(99_000);
    expect(asked()).toBe(0);
    await pass(1_001);
    expect(asked()).toBe(1);
  });

  test("goes on by itself after the page of a proxy, whatever its status", async () => {
    let isUp = false;
    const server = new FakeServer().on("GET status", () => (isUp ? json(status(quotaState())) : new Response("<h1>404</h1>", { status: 404 })));
    await render(<Shown />, { quota: server.client() });
    expect(seen.error?.kind).toBe("malformed");
    isUp = true;
    await pass(20_000);
    expect(seen.error).toBeUndefined();
  });

  test("does not repeat what is wrong in itself", async () => {
    const server = new FakeServer().problem("GET status", 400, "no");
    await render(<Shown />, { quota: server.client() });
    const asked = counter(server);
    asked();
    await pass(3_600_000);
    expect([asked(), seen.error?.kind]).toEqual([0, "refused"]);
  });

  test("asks when the network is back", async () => {
    let fails = true;
    const server = new FakeServer().on("GET status", () =>
      fails ? Promise.reject(new TypeError("no network")) : json(status(quotaState())),
    );
    const { place } = await render(<Shown />, { quota: server.client() });
    expect(place.textContent).toBe("unreachable");
    fails = false;
    await act(async () => void window.dispatchEvent(new Event("online")));
    await settled();
    expect(place.textContent).toBe("5");
  });

  test("takes the answer to what it asks while the network comes back", async () => {
    let answer = (): Response | Promise<Response> => problem(400, "no");
    const server = new FakeServer().on("GET status", () => answer());
    await render(<Shown />, { quota: server.client() });
    expect(seen.error?.kind).toBe("refused");
    let tell: (answer: Response) => void = () => undefined;
    answer = () => new Promise((resolve) => (tell = resolve));
    await act(async () => void seen.refresh());
    await act(async () => void window.dispatchEvent(new Event("online")));
    await act(async () => tell(json(status(quotaState()))));
    await settled();
    expect([seen.isLoading, seen.error, seen.status?.quotas[0]?.used]).toEqual([false, undefined, "5"]);
  });

  test("goes on after a 401 when there are credentials again", async () => {
    let isSignedIn = true;
    const server = new FakeServer().on("GET status", () => (isSignedIn ? json(status(quotaState())) : problem(401, "who?")));
    await render(<Shown />, { quota: server.client() });
    isSignedIn = false;
    await pass(10_001);
    expect([seen.error?.kind, seen.status?.quotas[0]?.used]).toEqual(["unauthorized", "5"]);
    isSignedIn = true;
    await pass(10_001);
    expect(seen.error).toBeUndefined();
  });
});

test("useUsage asks for what it is given", async () => {
  function Total({ quota }: { quota: QuotaClient }): ReactNode {
    return useUsage({ quota, from: "2024-03-30", to: "2024-04-02", tz: "Europe/Berlin", client: "a" }).usage?.total;
  }
  const server = new FakeServer().json("GET clients/a/usage", USAGE);
  const { place } = await render(<Total quota={server.client()} />);
  expect(place.textContent).toBe("12.000001");
  expect(server.asked("usage")[0]).toBe("GET clients/a/usage?from=2024-03-30&to=2024-04-02&tz=Europe%2FBerlin");
});
