import { Amount } from "../client/amount.js";
import type { Labels, PeriodUnit } from "../labels/labels.js";
import { type Day, midnightOf } from "../time/day.js";
import { millisOf } from "../time/instant.js";
import { isKnownZone, isShownTwice } from "../time/zone.js";

const UNITS: [Intl.NumberFormatOptions["unit"] & string, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];
const PERIOD = /^(?:([1-9][0-9]{0,5})-)?(second|minute|hour|day|week|month|year)$/;
const COMPACT_FROM = 10_000n;

/** Numbers, dates and durations as a locale and a zone write them. Amounts are written exactly. */
export class Formats {
  /** The zone that times are shown in: UTC where the browser does not know the one that was asked for. */
  readonly zone: string;
  private readonly made = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat>();

  constructor(
    readonly locale: string,
    zone: string,
    private readonly labels: Pick<Labels, "period">,
  ) {
    this.zone = isKnownZone(zone) ? zone : "UTC";
  }

  count(value: number | bigint): string {
    return this.number({}).format(value);
  }

  /** All digits of an amount, grouped: never rounded. */
  amount(amount: Amount): string {
    const { sign, whole, places } = amount.digits();
    const parts = this.number({}).formatToParts(sign === "-" ? -1 : 1);
    const written = `${this.count(whole)}${places && `${this.point()}${this.digits(places)}`}`;
    return parts.map((part) => (part.type === "integer" ? written : part.value)).join("");
  }

  /** An amount on a scale: large ones are shortened, as `2.5M`. */
  tick(amount: Amount): string {
    const { whole } = amount.digits();
    return whole >= COMPACT_FROM ? this.number({ notation: "compact" }).format(whole) : this.amount(amount);
  }

  /**
   * `2 Mar 2024, 00:00 Europe/Berlin`; what is no instant is shown as it is. Seconds are shown where there are some, and
   * always for a quota (its name) whose period is in seconds; the offset where the clocks show this time twice.
   */
  instant(instant: string | number, quota = ""): string {
    const millis = typeof instant === "number" ? instant : millisOf(instant);
    if (millis === undefined) return String(instant);
    const hasSeconds = Math.floor(millis / 1000) % 60 !== 0 || PERIOD.exec(quota)?.[2] === "second";
    const options: Intl.DateTimeFormatOptions = {
      day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: this.zone,
      ...(hasSeconds && { second: "2-digit" }),
      ...(isShownTwice(millis, this.zone) && { timeZoneName: "shortOffset" }),
    };
    return `${this.dates(options).format(millis)} ${this.zone}`;
  }

  /** `12:03:04` */
  time(millis: number): string {
    const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" } as const;
    return this.dates({ ...options, timeZone: this.zone }).format(millis);
  }

  /** `Sat 2 Mar 2024`. A day is no instant: it reads the same in every zone. */
  day(day: Day): string {
    return this.calendar(day, { weekday: "short", day: "numeric", month: "short", year: "numeric" });
  }

  /** `2 Mar` */
  shortDay(day: Day): string {
    return this.calendar(day, { day: "numeric", month: "short" });
  }

  /** `March 2024`, of the month's first day. */
  month(day: Day): string {
    return this.calendar(day, { month: "long", year: "numeric" });
  }

  /** `20–31 January 2024`, from the first until the last. */
  days(first: Day, last: Day): string {
    const format = this.dates({ day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
    return format.formatRange(midnightOf(first), midnightOf(last));
  }

  /** `Mar 24` */
  shortMonth(day: Day): string {
    return this.calendar(day, { month: "short", year: "2-digit" });
  }

  /** The two greatest units of a duration: `3h 12m`. Rounds up, so that what it promises has come. */
  duration(millis: number): string {
    let seconds = Math.max(0, Math.ceil(millis / 1000));
    const first = UNITS.findIndex(([, length]) => seconds >= length);
    const smallest = UNITS[first + 1]?.[1] ?? 1;
    seconds = Math.ceil(seconds / smallest) * smallest;
    const written = UNITS.flatMap(([unit, length]) => {
      const count = Math.floor(seconds / length);
      seconds -= count * length;
      return count === 0 ? [] : [this.number({ style: "unit", unit, unitDisplay: "narrow" }).format(count)];
    });
    return written.slice(0, 2).join(" ") || this.number({ style: "unit", unit: "second", unitDisplay: "narrow" }).format(0);
  }

  /** A quota's name in words: `15 minutes` for `15-minute`, `day` for `day`. A name of another form is shown as it is. */
  period(name: string): string {
    const [, every = "1", unit] = PERIOD.exec(name) ?? [];
    return unit === undefined ? name : this.labels.period(Number(every), unit as PeriodUnit);
  }

  private calendar(day: Day, options: Intl.DateTimeFormatOptions): string {
    return this.dates({ ...options, timeZone: "UTC" }).format(midnightOf(day));
  }

  private point(): string {
    return this.number({}).formatToParts(1.5).find((part) => part.type === "decimal")?.value ?? ".";
  }

  private digits(text: string): string {
    const plain = this.number({ useGrouping: false });
    return [...text].map((digit) => plain.format(Number(digit))).join("");
  }

  private number(options: Intl.NumberFormatOptions): Intl.NumberFormat {
    return this.remembered(`n${JSON.stringify(options)}`, () => new Intl.NumberFormat(this.locale, options));
  }

  private dates(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
    return this.remembered(`d${JSON.stringify(options)}`, () => new Intl.DateTimeFormat(this.locale, options));
  }

  private remembered<T extends Intl.NumberFormat | Intl.DateTimeFormat>(key: string, make: () => T): T {
    const made = (this.made.get(key) as T | undefined) ?? make();
    this.made.set(key, made);
    return made;
  }
}
