import { expect, test } from "vitest";

import { Amount } from "../src";

const amount = (text: string) => Amount.parse(text) as Amount;

test("what is read is written the same", () => {
  for (const text of ["0", "1", "-1", "0.000001", "-0.000001", "2.5", "999999999999999", "999999999999999.999999", "9007199254740993"]) {
    expect(amount(text).toString()).toBe(text);
  }
});

test("what is no amount is none", () => {
  const wrong = ["", "-", "01", "1.", ".5", "1e3", "0x1", "1.0000001", "+1", " 1", "1 ", "NaN", "Infinity", "1,5", "١", `1${"0".repeat(40)}`];
  for (const text of wrong) expect(Amount.parse(text), text).toBeUndefined();
});

test("trailing zeros go", () => {
  expect(amount("1.500000").toString()).toBe("1.5");
  expect(amount("0.0").toString()).toBe("0");
});

test("sums are exact where floats are not", () => {
  expect(Amount.sum([amount("0.1"), amount("0.2")]).toString()).toBe("0.3");
  expect(amount("9007199254740992").plus(amount("0.000001")).toString()).toBe("9007199254740992.000001");
  expect(amount("1").minus(amount("1.000001")).toString()).toBe("-0.000001");
});

test("a part of a whole is drawn neither as nothing nor as all", () => {
  expect(amount("0").partOf(amount("5"))).toBe(0);
  expect(amount("-1").partOf(amount("5"))).toBe(0);
  expect(amount("0.000001").partOf(amount("999999999999999"))).toBe(1);
  expect(amount("999999999999998.999999").partOf(amount("999999999999999"))).toBe(9_999);
  expect(amount("250").partOf(amount("500"))).toBe(5_000);
  expect(amount("501").partOf(amount("500"))).toBe(10_000);
  expect(amount("1").partOf(amount("0"))).toBe(10_000);
});
