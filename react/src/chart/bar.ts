import { Amount } from "../client/amount.js";
import type { Usage } from "../client/wire.js";
import { type Day, daysOf, monthOf, plusDays } from "../time/day.js";

/** What was used on a day, or in a month of a long range. */
export interface Bar {
  first: Day;
  /** The day after the last. */
  end: Day;
  credits: Amount;
  entries: number;
}

export interface Bars {
  unit: "day" | "month";
  bars: Bar[];
}

/** Longer ranges are shown by month. */
const MOST_DAYS = 124;

/** A bar for each day of the range, days without usage among them; for each month where there are many. */
export function barsOf(usage: Usage): Bars {
  const days = daysOf(usage.from, usage.to);
  const used = new Map(days.map((day) => [day, { credits: Amount.ZERO, entries: 0 }]));
  for (const { day, credits, entries } of usage.days) {
    const known = used.get(day);
    if (known === undefined) continue;
    known.credits = known.credits.plus(Amount.parse(credits) ?? Amount.ZERO);
    known.entries += entries;
  }
  const bars = [...used].map(([day, sums]) => ({ first: day, end: plusDays(day, 1), ...sums }));
  return days.length > MOST_DAYS ? { unit: "month", bars: byMonth(bars) } : { unit: "day", bars };
}

function byMonth(bars: Bar[]): Bar[] {
  const months = new Map<string, Bar>();
  for (const bar of bars) {
    const month = months.get(monthOf(bar.first));
    if (month === undefined) {
      months.set(monthOf(bar.first), { ...bar });
      continue;
    }
    month.end = bar.end;
    month.credits = month.credits.plus(bar.credits);
    month.entries += bar.entries;
  }
  return [...months.values()];
}

/** What is used on average, to two places where it is more than one credit. */
export function averageOf(total: Amount, count: number): Amount {
  if (count === 0) return Amount.ZERO;
  const average = total.millionths / BigInt(count);
  const coarse = average > 1_000_000n || average < -1_000_000n;
  return Amount.ofMillionths(coarse ? average - (average % 10_000n) : average);
}

export function mostOf(bars: Bar[]): Amount {
  return bars.reduce((most, bar) => (bar.credits.exceeds(most) ? bar.credits : most), Amount.ZERO);
}
