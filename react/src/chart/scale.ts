import { Amount } from "../client/amount.js";

/** The values of an axis that begins at nothing. */
export interface Scale {
  top: Amount;
  ticks: Amount[];
}

const LINES = 4n;

/** At most four lines above nothing, each a round amount, the last not below the most. */
export function scaleOf(most: Amount): Scale {
  const wanted = most.isNegative || most.isZero ? Amount.ofMillionths(1_000_000n) : most;
  const step = roundUp((wanted.millionths + LINES - 1n) / LINES);
  const lines = (wanted.millionths + step - 1n) / step;
  const ticks = Array.from({ length: Number(lines) + 1 }, (_, index) => Amount.ofMillionths(step * BigInt(index)));
  return { top: Amount.ofMillionths(step * lines), ticks };
}

/** The next of 1, 2, 5, 10, 20, 50 … */
function roundUp(least: bigint): bigint {
  for (let power = 1n; ; power *= 10n) {
    for (const digit of [1n, 2n, 5n]) {
      if (digit * power >= least) return digit * power;
    }
  }
}
