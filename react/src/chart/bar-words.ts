import { type Day, hoursOf } from "../time/day";
import { isKnownZone } from "../time/zone";
import type { View } from "../view/view";
import type { Bar, Bars } from "./bar";

export function nameOfBar(bar: Bar, unit: Bars["unit"], { formats }: View): string {
  return unit === "day" ? formats.day(bar.first) : formats.month(bar.first);
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
