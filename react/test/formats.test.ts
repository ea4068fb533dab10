import { describe, expect, test } from "vitest";

import { Amount, english, Formats, german } from "../src";

const amount = (text: string) => Amount.parse(text) as Amount;
const berlin = new Formats("en-GB", "Europe/Berlin", english);
const NOON = Date.parse("2024-03-02T12:00:00Z");

describe("amounts", () => {
  test("keep every digit in every locale", () => {
    for (const [locale, text, written] of [
      ["en-GB", "0.000001", "0.000001"],
      ["en-GB", "-0.000001", "-0.000001"],
      ["en-GB", "999999999999999.999999", "999,999,999,999,999.999999"],
      ["en-GB", "9007199254740993", "9,007,199,254,740,993"],
      ["de", "1234567.5", "1.234.567,5"],
      ["en-IN", "12345678", "1,23,45,678"],
      ["ar-EG", "-1234.5", "؜-١٬٢٣٤٫٥"],
    ] as const) {
      expect(new Formats(locale, "UTC", english).amount(amount(text)), `${locale} ${text}`).toBe(written);
    }
  });

  test("are shortened on a scale only where they are large", () => {
    expect(new Formats("en-US", "UTC", english).tick(amount("2500000"))).toBe("2.5M");
    expect(berlin.tick(amount("9999"))).toBe("9,999");
    expect(berlin.tick(amount("0.000002"))).toBe("0.000002");
  });
});

describe("instants", () => {
  test("are shown in the zone, with its name", () => {
    expect(berlin.instant("2024-03-01T23:00:00Z")).toBe("2 Mar 2024, 00:00 Europe/Berlin");
    expect(new Formats("en-GB", "America/New_York", english).instant("2024-03-10T07:00:00Z")).toBe(
      "10 Mar 2024, 03:00 America/New_York",
    );
    expect(new Formats("de", "Asia/Kathmandu", german).instant("2024-03-01T18:15:00.5Z")).toBe(
      "2. März 2024, 00:00 Asia/Kathmandu",
    );
  });

  test("are in UTC where the zone is not known", () => {
    const formats = new Formats("en-GB", "Mars/Olympus", english);
    expect(formats.zone).toBe("UTC");
    expect(formats.instant("2024-03-02T00:00:00Z")).toBe("2 Mar 2024, 00:00 UTC");
  });

  test("that are none are shown as they are", () => {
    expect(berlin.instant("soon")).toBe("soon");
  });

  test("have seconds where there are some, and where a quota is counted in seconds", () => {
    expect(berlin.instant("2024-03-02T00:00:10Z")).toBe("2 Mar 2024, 01:00:10 Europe/Berlin");
    expect(berlin.instant("2024-03-02T00:00:00Z", "day")).toBe("2 Mar 2024, 01:00 Europe/Berlin");
    for (const name of ["second", "30-second"]) {
      expect(berlin.instant("2024-03-02T00:00:00Z", name)).toBe("2 Mar 2024, 01:00:00 Europe/Berlin");
    }
  });

  test("have the offset where the clocks show the time twice", () => {
    const at = (zone: string, ...instants: string[]) => {
      const formats = new Formats("en-GB", zone, english);
      return instants.map((instant) => formats.instant(instant).replace(/^.*, 0?/, "").replace(` ${zone}`, ""));
    };
    expect(at("Europe/Berlin", "2024-10-26T23:59:00Z", "2024-10-27T00:00:00Z", "2024-10-27T01:00:00Z", "2024-10-27T02:00:00Z")).toEqual([
      "1:59", "2:00 GMT+2", "2:00 GMT+1", "3:00",
    ]);
    expect(at("Europe/Berlin", "2024-03-31T00:59:00Z", "2024-03-31T01:00:00Z")).toEqual(["1:59", "3:00"]);
    const half = at("Australia/Lord_Howe", "2024-04-06T14:29:00Z", "2024-04-06T14:30:00Z", "2024-04-06T15:00:00Z", "2024-04-06T15:30:00Z");
    expect(half).toEqual(["1:29", "1:30 GMT+11", "1:30 GMT+10:30", "2:00"]);
  });

  test("have a time to the second", () => {
    expect(berlin.time(NOON)).toBe("13:00:00");
  });
});

test("days read the same in every zone", () => {
  for (const zone of ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"]) {
    expect(new Formats("en-GB", zone, english).day("2024-03-31")).toBe("Sun, 31 Mar 2024");
  }
});

test("durations show two units and round up", () => {
  for (const [millis, written] of [
    [0, "0s"], [-5, "0s"], [1, "1s"], [59_000, "59s"], [60_000, "1m"], [61_000, "1m 1s"],
    [10_800_000, "3h"], [10_800_001, "3h 1m"], [86_399_999, "1d"], [90_000_000, "1d 1h"], [400 * 86_400_000, "400d"],
  ] as const) {
    expect(berlin.duration(millis), String(millis)).toBe(written);
  }
});

test("periods are words, and unknown names stay", () => {
  expect(berlin.period("day")).toBe("day");
  expect(berlin.period("15-minute")).toBe("15 minutes");
  expect(new Formats("de", "UTC", german).period("3-month")).toBe("3 Monate");
  for (const name of ["fortnight", "0-day", "day-15", "<b>day</b>", "", "1000000-day"]) expect(berlin.period(name)).toBe(name);
});
