import { expect, test } from "vitest";

import { english, englishManager, german, germanManager, type PeriodUnit } from "../src";
import { withLabels } from "../src/labels/labels";

const UNITS: PeriodUnit[] = ["second", "minute", "hour", "day", "week", "month", "year"];

test("the German set says everything that the English one does, in other words", () => {
  const both = { ...english, ...englishManager };
  const others: Record<string, unknown> = { ...german, ...germanManager };
  const alike = ["plan", "credits", "download"];
  for (const [name, text] of Object.entries(both)) {
    expect(typeof others[name], name).toBe(typeof text);
    if (typeof text === "string" && !alike.includes(name) && text === others[name]) expect(name).toBe("limitField");
  }
  expect(Object.keys(others).toSorted()).toEqual(Object.keys(both).toSorted());
});

test("a text that is undefined replaces none", () => {
  expect(withLabels(english, { quotas: "Guthaben", usage: undefined }, undefined)).toEqual({ ...english, quotas: "Guthaben" });
});

test("periods have words in both", () => {
  for (const unit of UNITS) {
    for (const { period } of [english, german]) {
      expect(period(1, unit)).not.toBe("");
      expect(period(2, unit)).toContain("2 ");
    }
  }
});
