import { expect, test } from "vitest";

import { dayAt, daysBetween, daysOf, hoursOf, isDay, plusDays, startOfDay } from "../src/time/day";
import { instantOf, millisOf } from "../src/time/instant";

const start = (day: string, zone: string) => instantOf(startOfDay(day, zone));

test("a day begins at local midnight, or when the skipped midnight is over", () => {
  for (const [day, zone, instant] of [
    ["2024-03-31", "Europe/Berlin", "2024-03-30T23:00:00Z"],
    ["2024-04-01", "Europe/Berlin", "2024-03-31T22:00:00Z"],
    ["2024-10-27", "Europe/Berlin", "2024-10-26T22:00:00Z"],
    ["2024-10-28", "Europe/Berlin", "2024-10-27T23:00:00Z"],
    ["2024-03-10", "America/New_York", "2024-03-10T05:00:00Z"],
    ["2024-03-11", "America/New_York", "2024-03-11T04:00:00Z"],
    ["2024-03-02", "Asia/Kathmandu", "2024-03-01T18:15:00Z"],
    ["2024-03-02", "Pacific/Kiritimati", "2024-03-01T10:00:00Z"],
    ["2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00Z"],
    ["2011-12-30", "Pacific/Apia", "2011-12-30T10:00:00Z"],
    ["2011-12-31", "Pacific/Apia", "2011-12-30T10:00:00Z"],
    ["2024-02-29", "UTC", "2024-02-29T00:00:00Z"],
  ] as const) {
    expect(start(day, zone), `${day} ${zone}`).toBe(instant);
  }
});

test("days where the clocks change are shorter or longer", () => {
  for (const [day, zone, hours] of [
    ["2024-03-31", "Europe/Berlin", 23],
    ["2024-10-27", "Europe/Berlin", 25],
    ["2024-03-30", "Europe/Berlin", 24],
    ["2024-04-01", "Europe/Berlin", 24],
    ["2024-03-10", "America/New_York", 23],
    ["2024-11-03", "America/New_York", 25],
    ["2024-04-07", "Australia/Lord_Howe", 24.5],
    ["2018-11-04", "America/Sao_Paulo", 23],
    ["2011-12-30", "Pacific/Apia", 0],
    ["2024-03-31", "UTC", 24],
  ] as const) {
    expect(hoursOf(day, zone), `${day} ${zone}`).toBe(hours);
  }
});

test("the local day of an instant", () => {
  const instant = millisOf("2024-03-31T22:30:00Z") as number;
  expect(dayAt(instant, "Europe/Berlin")).toBe("2024-04-01");
  expect(dayAt(instant, "UTC")).toBe("2024-03-31");
  expect(dayAt(instant, "Pacific/Kiritimati")).toBe("2024-04-01");
});

test("days are counted over leap days and changes of the clock", () => {
  expect(plusDays("2024-02-28", 1)).toBe("2024-02-29");
  expect(plusDays("2024-03-01", -1)).toBe("2024-02-29");
  expect(daysBetween("2024-03-30", "2024-04-01")).toBe(2);
  expect(daysOf("2024-10-26", "2024-10-29")).toEqual(["2024-10-26", "2024-10-27", "2024-10-28"]);
  expect(daysOf("2024-10-29", "2024-10-26")).toEqual([]);
});

test("what is no day is none", () => {
  for (const text of ["2024-02-30", "2023-02-29", "2024-2-1", "2024-13-01", "", "2024-03-01T00:00:00Z"]) {
    expect(isDay(text), text).toBe(false);
  }
});

test("what is no instant is none", () => {
  for (const text of ["2024-03-01", "2024-03-01T25:00:00Z", "2024-03-01T00:00:00", "2024-03-01T00:00:00+01:00", "soon"]) {
    expect(millisOf(text), text).toBeUndefined();
  }
});
