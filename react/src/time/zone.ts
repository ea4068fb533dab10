import { memoized } from "./memo.js";

/** Whether this browser knows an IANA time zone. */
export const isKnownZone = memoized((zone: string): boolean => {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
});

/** How `Intl` writes the name of a zone, which the server may want to the letter; a name that it does not know stays. */
export function nameOfZone(zone: string): string {
  return isKnownZone(zone) ? new Intl.DateTimeFormat("en", { timeZone: zone }).resolvedOptions().timeZone : zone;
}

/** The zone that this browser is set to. */
export function ownZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/** Every zone that this browser knows, with UTC first. */
export function knownZones(): string[] {
  const supported = typeof Intl.supportedValuesOf === "function" ? Intl.supportedValuesOf("timeZone") : [ownZone()];
  return ["UTC", ...supported.filter((zone) => zone !== "UTC" && zone !== "Etc/UTC")];
}

const clockOf = memoized(
  (zone: string) =>
    new Intl.DateTimeFormat("en-US", {
      timeZone: zone, calendar: "iso8601", numberingSystem: "latn", hourCycle: "h23",
      year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
    }),
);

/** What a zone's clock is ahead of UTC at an instant, in milliseconds. */
export function offsetAt(millis: number, zone: string): number {
  const read: Record<string, number> = {};
  for (const part of clockOf(zone).formatToParts(millis)) read[part.type] = Number(part.value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = read;
  const local = new Date(0);
  local.setUTCFullYear(year, month - 1, day);
  local.setUTCHours(hour, minute, second, 0);
  return local.getTime() - Math.floor(millis / 1000) * 1000;
}

const DAY = 86_400_000;

/** Whether a zone's clock shows the time of an instant at another instant too, as where summer time ends. */
export function isShownTwice(millis: number, zone: string): boolean {
  const offset = offsetAt(millis, zone);
  return [-DAY, DAY].some((beside) => {
    const other = offsetAt(millis + beside, zone);
    return other !== offset && offsetAt(millis + offset - other, zone) === other;
  });
}
