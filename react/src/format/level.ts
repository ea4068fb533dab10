import { Amount } from "../client/amount.js";
import { type QuotaState, UNLIMITED } from "../client/wire.js";

/** How far a quota is used: `near` from 80 % on, `reached` where nothing remains, `debt` beyond. */
export type Level = "unlimited" | "ok" | "near" | "reached" | "debt";

const NEAR = 8_000;

/** A quota's amounts, read. */
export interface Standing {
  level: Level;
  used: Amount;
  held: Amount;
  /** None where the quota is unlimited. */
  limit: Amount | undefined;
  remaining: Amount | undefined;
  /** Hundredths of a percent of the limit. */
  usedPart: number;
  heldPart: number;
}

export function standingOf(quota: QuotaState): Standing {
  const used = Amount.parse(quota.used) ?? Amount.ZERO;
  const held = Amount.parse(quota.held) ?? Amount.ZERO;
  const limit = quota.limit === UNLIMITED ? undefined : Amount.parse(quota.limit);
  const remaining = quota.remaining === UNLIMITED ? undefined : Amount.parse(quota.remaining);
  if (limit === undefined || remaining === undefined) {
    return { level: "unlimited", used, held, limit: undefined, remaining: undefined, usedPart: 0, heldPart: 0 };
  }
  const usedPart = used.partOf(limit);
  const bothPart = used.plus(held).partOf(limit);
  const level = levelOf(remaining, bothPart);
  return { level, used, held, limit, remaining, usedPart, heldPart: bothPart - usedPart };
}

function levelOf(remaining: Amount, part: number): Level {
  if (remaining.isNegative) return "debt";
  if (remaining.isZero) return "reached";
  return part >= NEAR ? "near" : "ok";
}
