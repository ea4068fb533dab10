const PATTERN = /^(-?)(0|[1-9][0-9]{0,38})(?:\.([0-9]{1,6}))?$/;
const PLACES = 6;
const ONE = 10n ** 6n;

/** Credits: an exact number of millionths. The wire's decimal strings are read into it, and no float is on the way. */
export class Amount {
  static readonly ZERO = new Amount(0n);

  private constructor(readonly millionths: bigint) {}

  /** Reads a decimal with at most six places, such as `-2.5`; anything else is `undefined`. */
  static parse(text: string): Amount | undefined {
    const [, sign, whole, places = ""] = PATTERN.exec(text) ?? [];
    if (whole === undefined) return undefined;
    const millionths = BigInt(whole) * ONE + BigInt(places.padEnd(PLACES, "0"));
    return new Amount(sign === "-" ? -millionths : millionths);
  }

  static ofMillionths(millionths: bigint): Amount {
    return new Amount(millionths);
  }

  static sum(amounts: Iterable<Amount>): Amount {
    let sum = 0n;
    for (const amount of amounts) sum += amount.millionths;
    return new Amount(sum);
  }

  plus(other: Amount): Amount {
    return new Amount(this.millionths + other.millionths);
  }

  minus(other: Amount): Amount {
    return new Amount(this.millionths - other.millionths);
  }

  negated(): Amount {
    return new Amount(-this.millionths);
  }

  get isNegative(): boolean {
    return this.millionths < 0n;
  }

  get isZero(): boolean {
    return this.millionths === 0n;
  }

  exceeds(other: Amount): boolean {
    return this.millionths > other.millionths;
  }

  /**
   * Its part of a whole in hundredths of a percent, from 0 to 10,000, for drawing. What is more than nothing is at least
   * 1, and what is less than the whole at most 9,999. Of nothing, everything is the whole.
   */
  partOf(whole: Amount): number {
    if (this.millionths <= 0n) return 0;
    if (whole.millionths <= this.millionths) return 10_000;
    const part = (this.millionths * 10_000n) / whole.millionths;
    return Math.max(1, Number(part));
  }

  /** As on the wire: no trailing zeros, no exponent. */
  toString(): string {
    const { sign, whole, places } = this.digits();
    return `${sign}${whole}${places && `.${places}`}`;
  }

  /** Its sign, the digits before the point, and those after it without trailing zeros. */
  digits(): { sign: "" | "-"; whole: bigint; places: string } {
    const absolute = this.isNegative ? -this.millionths : this.millionths;
    const places = (absolute % ONE).toString().padStart(PLACES, "0").replace(/0+$/, "");
    return { sign: this.isNegative ? "-" : "", whole: absolute / ONE, places };
  }
}
