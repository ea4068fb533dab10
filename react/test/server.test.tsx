// @vitest-environment node
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";

import { ForecastNote, QuotaManager, QuotaProvider, QuotaStatus, RemainingBadge, UsageChart } from "../src";
import { pollsOf } from "../src/hooks/polls";
import { FakeServer } from "./fake-server";

test("a server asks nothing, and keeps nothing of whom it has rendered for", () => {
  const server = new FakeServer();
  const quota = server.client();
  for (const client of ["a", "b"]) {
    const html = renderToString(
      <QuotaProvider quota={quota}>
        <RemainingBadge client={client} />
        <QuotaStatus client={client} />
        <ForecastNote client={client} />
        <UsageChart client={client} />
        <QuotaManager client={client} />
      </QuotaProvider>,
    );
    expect(html).toContain("Loading…");
  }
  expect(pollsOf(quota).size).toBe(0);
  expect(server.requests).toEqual([]);
});
