import { Amount } from "../client/amount.js";
import { type Period, type Plan, type Quota, UNLIMITED } from "../client/wire.js";
import { instantOf, millisOf } from "../time/instant.js";

export const PERIODS: Period[] = ["SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "YEAR"];

const MOST_EVERY = 100_000;
/** What a server counts at most: millionths in 63 bits. */
export const MOST_CREDITS = Amount.ofMillionths(2n ** 63n - 1n);

/** A quota as it stands in the fields of a form. */
export interface Draft {
  key: number;
  period: Period;
  every: string;
  limit: string;
  isUnlimited: boolean;
  /** Local to UTC, as a browser's field has it: `2024-01-31T00:00:00`. */
  anchor: string;
  tz: string;
}

export type DraftFault = "every" | "limit" | "large" | "anchor" | "tz" | "twice";

export function draftsOf(plan: Plan): Draft[] {
  return plan.quotas.map((quota, key) => ({
    key,
    period: quota.period,
    every: String(quota.every),
    limit: quota.limit === UNLIMITED ? "" : quota.limit,
    isUnlimited: quota.limit === UNLIMITED,
    anchor: quota.anchor.replace(/Z$/, ""),
    tz: quota.tz,
  }));
}

/** A quota of a day that begins today, beside those that are there. */
export function anotherDraft(drafts: Draft[], now: number): Draft {
  const tz = drafts.at(-1)?.tz ?? "UTC";
  const anchor = drafts.at(-1)?.anchor ?? `${instantOf(now).slice(0, 10)}T00:00:00`;
  const period = (["DAY", "MONTH", "HOUR", "WEEK", "YEAR", "MINUTE", "SECOND"] as const).find(
    (one) => !drafts.some((draft) => draft.period === one),
  );
  const key = Math.max(-1, ...drafts.map((draft) => draft.key)) + 1;
  return { key, period: period ?? "DAY", every: "1", limit: "", isUnlimited: false, anchor, tz };
}

/** What cannot be sent in each draft. */
export function faultsOf(drafts: Draft[]): Map<number, DraftFault> {
  const faults = new Map<number, DraftFault>();
  const seen = new Set<string>();
  for (const draft of drafts) {
    const fault = faultOf(draft) ?? (seen.has(`${draft.every} ${draft.period}`) ? "twice" : undefined);
    seen.add(`${draft.every} ${draft.period}`);
    if (fault !== undefined) faults.set(draft.key, fault);
  }
  return faults;
}

function faultOf({ every, limit, isUnlimited, anchor, tz }: Draft): DraftFault | undefined {
  if (!/^[1-9][0-9]{0,5}$/.test(every) || Number(every) > MOST_EVERY) return "every";
  const amount = Amount.parse(limit);
  if (!isUnlimited && (amount === undefined || amount.isNegative)) return "limit";
  if (!isUnlimited && amount?.exceeds(MOST_CREDITS)) return "large";
  if (anchorOf(anchor) === undefined) return "anchor";
  return tz.trim() === "" ? "tz" : undefined;
}

/** The plan of drafts without faults. */
export function planOf(drafts: Draft[]): Plan {
  const quota = ({ period, every, limit, isUnlimited, anchor, tz }: Draft): Quota => ({
    period, every: Number(every), limit: isUnlimited ? UNLIMITED : limit, anchor: anchorOf(anchor) ?? anchor, tz: tz.trim(),
  });
  return { quotas: drafts.map(quota) };
}

/** Whether two plans mean the same, however they are written. */
export function isSame(one: Plan, other: Plan): boolean {
  return meaningOf(one) === meaningOf(other);
}

function meaningOf({ quotas }: Plan): string {
  const meaning = ({ period, every, limit, anchor, tz }: Quota) =>
    JSON.stringify([period, every, String(Amount.parse(limit) ?? limit), millisOf(anchor) ?? anchor, tz]);
  return quotas.map(meaning).sort().join();
}

/** Browsers leave out seconds that are none. */
function anchorOf(local: string): string | undefined {
  const instant = `${/T\d\d:\d\d$/.test(local) ? `${local}:00` : local}Z`;
  return millisOf(instant) === undefined ? undefined : instant;
}
