import type { UsageQuery } from "../client/wire.js";
import { type Day, daysBetween, type DaysFault, faultOfDays, monthOf, plusDays } from "../time/day.js";

/** Which days are shown: the last so many, a month, or from one day until another. */
export type Range =
  | { kind: "last"; days: number }
  | { kind: "thisMonth" | "lastMonth" }
  | { kind: "own"; from: Day; until: Day };

const MOST_DAYS = 3_660;
/** What the server shows where nothing is asked for: its own clock says which days. */
export const USUAL_DAYS = 30;

/** The half-open days of a range, seen from today. */
export function daysOfRange(range: Range, today: Day): Pick<UsageQuery, "from" | "to"> {
  const month = `${monthOf(today)}-01`;
  switch (range.kind) {
    case "last":
      return range.days === USUAL_DAYS ? {} : { from: plusDays(today, 1 - range.days), to: plusDays(today, 1) };
    case "thisMonth":
      return { from: month, to: plusDays(today, 1) };
    case "lastMonth":
      return { from: `${monthOf(plusDays(month, -1))}-01`, to: month };
    case "own":
      return { from: range.from, to: plusDays(range.until, 1) };
  }
}

/** Why a range cannot be asked for. */
export function faultOf(range: Range): DaysFault | undefined {
  if (range.kind !== "own") return undefined;
  const { from, until } = range;
  return faultOfDays(from, until) ?? (daysBetween(from, until) >= MOST_DAYS ? "length" : undefined);
}
