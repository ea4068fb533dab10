/** Milliseconds beyond which a timer does not wait at all. */
export const LONGEST_TIMER = 2 ** 31 - 1;

const PATTERN = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/;

/** Unix milliseconds of an instant such as `2024-03-02T00:00:00Z` (RFC 3339 in UTC); of anything else `undefined`. */
export function millisOf(text: string): number | undefined {
  const millis = PATTERN.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(millis) ? undefined : millis;
}

/** The same the other way, without milliseconds that are none. */
export function instantOf(millis: number): string {
  return new Date(millis).toISOString().replace(".000Z", "Z");
}
