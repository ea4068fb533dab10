import type { QuotaState, Status } from "../client/wire.js";
import { millisOf } from "../time/instant.js";
import { type Standing, standingOf } from "./level.js";

/** How long a quota's credits last if they go on being used as in the window so far. */
export type Forecast =
  | { kind: "unlimited" }
  | { kind: "unknown"; name: string }
  | { kind: "unused" | "early" | "usedUp" | "beyond"; quota: QuotaState }
  | { kind: "until"; quota: QuotaState; at: number };

/** A pace is told when at least one hundredth of the window has passed. */
const EARLY = 100n;
const SECOND = 1_000n;
/** A pace is not known to the second, unless all of the window is short. */
const MINUTE = 60n * SECOND;
const HOUR = 3_600_000;

/** Of the quota with this name; where none is named, of the finite one with the longest window. */
export function forecastOf(status: Status, name?: string): Forecast {
  const named = status.quotas.filter((quota) => name === undefined || quota.name === name);
  if (name !== undefined && named.length === 0) return { kind: "unknown", name };
  const finite = named.filter((quota) => standingOf(quota).level !== "unlimited");
  const [quota] = finite.toSorted((one, other) => lengthOf(other) - lengthOf(one));
  return quota === undefined ? { kind: "unlimited" } : forecastAt(millisOf(status.at) ?? 0, quota, standingOf(quota));
}

function forecastAt(now: number, quota: QuotaState, { used, remaining }: Standing): Forecast {
  const starts = millisOf(quota.starts_at) ?? now;
  const elapsed = BigInt(Math.max(0, now - starts));
  if (remaining === undefined || remaining.millionths <= 0n) return { kind: "usedUp", quota };
  if (used.millionths <= 0n) return { kind: "unused", quota };
  if (elapsed * EARLY < BigInt(lengthOf(quota))) return { kind: "early", quota };
  const lasts = (remaining.millionths * elapsed) / used.millionths;
  const ends = BigInt(millisOf(quota.resets_at) ?? 0);
  const at = BigInt(now) + lasts;
  const step = lengthOf(quota) < HOUR ? SECOND : MINUTE;
  return at >= ends ? { kind: "beyond", quota } : { kind: "until", quota, at: Number(at - (at % step)) };
}

function lengthOf({ starts_at, resets_at }: QuotaState): number {
  return (millisOf(resets_at) ?? 0) - (millisOf(starts_at) ?? 0);
}
