import { type Day, hoursOf, plusDays } from "../time/day.js";
import { isKnownZone } from "../time/zone.js";
import type { View } from "../view/view.js";
import type { Bar, Bars } from "./bar.js";

/** A month that the range has only a part of is named by its days. */
export function nameOfBar({ first, end }: Bar, unit: Bars["unit"], { formats }: View): string {
  if (unit === "day") return formats.day(first);
  const isWhole = first.endsWith("-01") && end.endsWith("-01");
  return isWhole ? formats.month(first) : formats.days(first, plusDays(end, -1));
}

export function wordsOfBar(bar: Bar, unit: Bars["unit"], view: View): string {
  const { labels, formats } = view;
  return labels.bar(nameOfBar(bar, unit, view), formats.amount(bar.credits), formats.count(bar.entries));
}

/** That a day has not 24 hours. */
export function lengthNote(day: Day, zone: string, { labels, formats }: View): string | undefined {
  const hours = isKnownZone(zone) ? hoursOf(day, zone) : 24;
  return hours === 24 ? undefined : labels.hours(formats.count(Math.round(hours * 100) / 100));
}
