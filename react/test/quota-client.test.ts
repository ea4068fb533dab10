import { describe, expect, test, vi } from "vitest";

import { QuotaError } from "../src/client";
import { FakeServer, json } from "./fake-server";
import { AT, quotaState, status, USAGE } from "./samples";

const failure = async (call: Promise<unknown>) => {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(QuotaError);
  return error as QuotaError;
};

describe("what is asked", () => {
  test("each call has its method, path and query", async () => {
    const server = new FakeServer()
      .json("GET status", status(quotaState()))
      .json("GET usage", USAGE)
      .json("GET clients", { clients: ["a"], next: null })
      .json("GET clients/a%2Fb%20%C3%A9%3F/status", status())
      .json("PUT clients/a/plan", status())
      .on("DELETE clients/a/plan", () => new Response(null, { status: 204 }))
      .json("DELETE clients/a/usage", { deleted: 3 })
      .json("GET health", { status: "ok" });
    const quota = server.client();
    await quota.status();
    await quota.usage({ from: "2024-03-01", tz: "Europe/Berlin" });
    await quota.clients({ prefix: "a&b", limit: 200 });
    await quota.status("a/b é?");
    await quota.setPlan("a", { quotas: [] });
    await quota.removePlan("a");
    expect(await quota.deleteUsage("a", { from: AT, to: AT })).toEqual({ deleted: 3 });
    await quota.health();
    expect(server.asked("")).toEqual([
      "GET status",
      "GET usage?from=2024-03-01&tz=Europe%2FBerlin",
      "GET clients?prefix=a%26b&limit=200",
      "GET clients/a%2Fb%20%C3%A9%3F/status",
      "PUT clients/a/plan",
      "DELETE clients/a/plan",
      "DELETE clients/a/usage?from=2024-03-01T21%3A00%3A00Z&to=2024-03-01T21%3A00%3A00Z",
      "GET health",
    ]);
    const body = await server.requests[4]?.json();
    expect(body).toEqual({ quotas: [] });
  });

  test("headers are asked for each time", async () => {
    const server = new FakeServer().json("GET status", status());
    let token = 0;
    const quota = server.client({ headers: async () => ({ Authorization: `Bearer ${(token += 1)}` }) });
    await quota.status();
    await quota.status();
    expect(server.requests.map((request) => request.headers.get("Authorization"))).toEqual(["Bearer 1", "Bearer 2"]);
  });

  test("ids of 255 bytes with markup are one segment", async () => {
    const id = `<img src=x onerror=alert(1)>${"é".repeat(113)}`;
    const server = new FakeServer().json(`GET clients/${encodeURIComponent(id)}/status`, status());
    await server.client().status(id);
    expect(server.requests).toHaveLength(1);
  });

  test("an id that a browser takes for a step in the path is refused before", async () => {
    const server = new FakeServer();
    for (const id of [".", ".."]) expect((await failure(server.client().denials(id))).kind).toBe("refused");
    expect(server.requests).toHaveLength(0);
  });

  test("a table is text", async () => {
    const server = new FakeServer().on("GET usage", (request) => {
      expect(request.headers.get("Accept")).toBe("text/csv");
      return new Response("day,label\r\n", { headers: { "Content-Type": "text/csv; charset=utf-8; header=present" } });
    });
    expect(await server.client().usageTable({ by: "label" })).toBe("day,label\r\n");
  });
});

describe("what is answered", () => {
  test("amounts stay the texts that they were", async () => {
    const server = new FakeServer().json("GET status", status(quotaState({ used: "0.000001", limit: "999999999999999" })));
    const { quotas } = await server.client().status();
    expect(quotas[0]).toMatchObject({ used: "0.000001", limit: "999999999999999" });
  });

  test("the server's time is kept, whatever the browser's clock says", async () => {
    vi.spyOn(Date, "now").mockReturnValue(Date.parse("2024-03-05T00:00:00Z"));
    const quota = new FakeServer().json("GET status", status()).client();
    await quota.status();
    expect(Math.abs(quota.clock.now() - Date.parse(AT))).toBeLessThan(1000);
  });

  test("members that are not described are left out", async () => {
    const server = new FakeServer().json("GET health", { status: "ok", __proto__: null, extra: 1 });
    expect(await server.client().health()).toEqual({ status: "ok" });
  });
});

describe("what goes wrong", () => {
  test("a problem document is read", async () => {
    const server = new FakeServer().problem("GET status", 503, "try again", { "Retry-After": "7" });
    const error = await failure(server.client().status());
    expect(error).toMatchObject({ kind: "unavailable", status: 503, retryAfter: 7, message: "try again" });
    expect(error.problem?.detail).toBe("try again");
  });

  test("each status has its kind; what is wrong with a request is said by a document, or it was another's answer", async () => {
    for (const [code, kind, without] of [
      [400, "refused", "malformed"], [401, "unauthorized"], [403, "forbidden"], [404, "refused", "malformed"],
      [405, "refused", "malformed"], [413, "refused", "malformed"], [408, "unavailable"], [425, "unavailable"],
      [429, "unavailable"], [500, "unavailable"], [502, "unavailable"], [503, "unavailable"],
    ] as const) {
      const bare = new FakeServer().on("GET status", () => new Response("<h1>no</h1>", { status: code }));
      const error = await failure(bare.client().status());
      expect([error.kind, error.problem], String(code)).toEqual([without ?? kind, undefined]);
      const told = new FakeServer().problem("GET status", code, "no");
      expect((await failure(told.client().status())).kind, String(code)).toBe(kind);
    }
  });

  test("an answer that is not one of the API is malformed", async () => {
    const good = quotaState();
    for (const body of [
      "", "<!doctype html>", "{", "null", "[]", "{}", '"text"',
      JSON.stringify({ ...status(good), quotas: [{ ...good, used: 5 }] }),
      JSON.stringify({ ...status(good), quotas: [{ ...good, used: "1e3" }] }),
      JSON.stringify({ ...status(good), quotas: [{ ...good, resets_at: "soon" }] }),
      JSON.stringify({ ...status(good), quotas: {} }),
      JSON.stringify({ ...status(good), lowest: 1 }),
      '{"__proto__":{"at":"2024-03-01T21:00:00Z","quotas":[],"lowest":null}}',
    ]) {
      const server = new FakeServer().on("GET status", () => new Response(body));
      expect((await failure(server.client().status())).kind, body).toBe("malformed");
    }
  });

  test("a table that is a page is malformed", async () => {
    const server = new FakeServer().on("GET usage", () => new Response("<h1>", { headers: { "Content-Type": "text/html" } }));
    expect((await failure(server.client().usageTable())).kind).toBe("malformed");
  });

  test("no connection", async () => {
    const server = new FakeServer().on("GET status", () => Promise.reject(new TypeError("no network")));
    expect((await failure(server.client().status())).kind).toBe("unreachable");
  });

  test("no answer in time", async () => {
    const fetch = (_: unknown, init?: RequestInit) =>
      new Promise<Response>((_resolve, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)));
    const quota = new FakeServer().client({ fetch: fetch as typeof globalThis.fetch, timeout: 5 });
    expect((await failure(quota.status())).kind).toBe("unreachable");
  });

  test("credentials that do not come in time, and answers that never end", async () => {
    const never = () => new Promise<never>(() => undefined);
    const server = new FakeServer().on("GET status", never);
    const late = server.client({ headers: never, timeout: 5 });
    expect((await failure(late.status())).kind).toBe("unreachable");
    expect(server.requests).toHaveLength(0);
    expect((await failure(server.client({ timeout: 5 }).status())).kind).toBe("unreachable");
    const cancel = new AbortController();
    const waiting = failure(server.client({ headers: never }).status(undefined, cancel.signal));
    cancel.abort();
    expect((await waiting).kind).toBe("cancelled");
  });

  test("whoever has lost interest before is not asked for credentials", async () => {
    const headers = vi.fn(() => ({}));
    const quota = new FakeServer().json("GET status", status()).client({ headers });
    expect((await failure(quota.status(undefined, AbortSignal.abort()))).kind).toBe("cancelled");
    expect(headers).not.toHaveBeenCalled();
  });

  test("a timeout that no timer can wait for is none", async () => {
    const server = new FakeServer().on("GET status", () => new Promise((resolve) => setTimeout(() => resolve(json(status())), 20)));
    await server.client({ timeout: Number.POSITIVE_INFINITY }).status();
  });

  test("a browser that cannot join signals", async () => {
    const any = Object.getOwnPropertyDescriptor(AbortSignal, "any") as PropertyDescriptor;
    Object.defineProperty(AbortSignal, "any", { ...any, value: undefined });
    try {
      await new FakeServer().json("GET status", status()).client().status(undefined, new AbortController().signal);
    } finally {
      Object.defineProperty(AbortSignal, "any", any);
    }
  });

  test("the server may say an instant to wait for", async () => {
    const date = "Fri, 01 Mar 2024 21:00:00 GMT";
    for (const [text, seconds] of [
      ["Fri, 01 Mar 2024 21:01:30 GMT", 90], ["Fri, 01 Mar 2024 20:00:00 GMT", 0], ["soon", undefined], ["-5", undefined], ["1.5", undefined],
    ] as const) {
      const server = new FakeServer().problem("GET status", 503, "later", { "Retry-After": text, Date: date });
      expect((await failure(server.client().status())).retryAfter, text).toBe(seconds);
    }
  });

  test("nobody waits any more", async () => {
    const cancel = new AbortController();
    const server = new FakeServer().on("GET status", () => {
      cancel.abort();
      return json(status());
    });
    expect((await failure(server.client().status(undefined, cancel.signal))).kind).toBe("cancelled");
  });

  test("credentials that cannot be had, or not be sent", async () => {
    const server = new FakeServer();
    const none = server.client({ headers: () => Promise.reject(new Error("no session")) });
    expect((await failure(none.status())).kind).toBe("unauthorized");
    const odd = server.client({ headers: () => ({ Authorization: "Bearer ☃" }) });
    expect((await failure(odd.status())).kind).toBe("unauthorized");
    expect(server.requests).toHaveLength(0);
  });
});
