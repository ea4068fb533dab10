import { offsetAt } from "./zone.js";

/** A calendar day as `2024-03-31`. Days compare as texts do. */
export type Day = string;

const DAY = 86_400_000;
const HOUR = 3_600_000;
const PATTERN = /^\d{4}-\d\d-\d\d$/;

export function isDay(text: string): boolean {
  return PATTERN.test(text) && !Number.isNaN(Date.parse(text)) && dayOf(Date.parse(text)) === text;
}

/** The last day that has one after it which is written alike. */
export const LAST_DAY: Day = "9999-12-30";

/** Why days cannot be taken from the first until the last: one is missing, too late, or before the other; or they are too many. */
export type DaysFault = "from" | "until" | "late" | "order" | "length";

/** What is wrong with two days as a form has them. */
export function faultOfDays(from: string, until: string): DaysFault | undefined {
  if (from === "") return "from";
  if (until === "") return "until";
  if (![from, until].every((day) => isDay(day) && day <= LAST_DAY)) return "late";
  return until < from ? "order" : undefined;
}

/** The day's midnight in UTC, in Unix milliseconds. */
export function midnightOf(day: Day): number {
  return Date.parse(day);
}

/** The day of an instant in UTC. */
function dayOf(millis: number): Day {
  return new Date(millis).toISOString().slice(0, 10);
}

/** The local day of an instant. */
export function dayAt(millis: number, zone: string): Day {
  return dayOf(millis + offsetAt(millis, zone));
}

export function plusDays(day: Day, days: number): Day {
  return dayOf(midnightOf(day) + days * DAY);
}

export function daysBetween(from: Day, to: Day): number {
  return Math.round((midnightOf(to) - midnightOf(from)) / DAY);
}

/** Every day of a half-open range. */
export function daysOf(from: Day, to: Day): Day[] {
  return Array.from({ length: Math.max(0, daysBetween(from, to)) }, (_, index) => plusDays(from, index));
}

/** The day's month as `2024-03`. */
export function monthOf(day: Day): string {
  return day.slice(0, 7);
}

/**
 * The first instant of a local day. Where midnight is skipped it is the instant that follows; a day that is skipped
 * whole begins where the next one does.
 */
export function startOfDay(day: Day, zone: string): number {
  let before = midnightOf(day) - 26 * HOUR;
  let begun = midnightOf(day) + 26 * HOUR;
  while (begun - before > 1000) {
    const middle = before + Math.floor((begun - before) / 2000) * 1000;
    if (dayAt(middle, zone) >= day) begun = middle;
    else before = middle;
  }
  return begun;
}

/** How long a local day is: 23 or 25 hours where the clocks change, 0 where it is skipped. */
export function hoursOf(day: Day, zone: string): number {
  const noon = midnightOf(day) + DAY / 2;
  if (offsetAt(noon - DAY, zone) === offsetAt(noon + DAY, zone)) return 24;
  return (startOfDay(plusDays(day, 1), zone) - startOfDay(day, zone)) / HOUR;
}
