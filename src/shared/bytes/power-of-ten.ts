import { assert } from "../assert.js";

/** Powers of ten that a double holds exactly. */
export const exactPowers: Float64Array = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));

/**
 * Exponents of `powerOfTen`: inside them no product of 19 digits and a power, nor its error terms, leaves the normal
 * range.
 */
export const powerExponentMax = 250;

/** 10^exponent as an unevaluated sum of two doubles; the error is below 2^-106 of the value. */
export interface PowerOfTen {
  readonly high: number;
  readonly low: number;
}

const powers: (PowerOfTen | undefined)[] = [];

/** Made when first asked for: numbers of one kind need a handful of the 501. */
export function powerOfTen(exponent: number): PowerOfTen {
  assert(Math.abs(exponent) <= powerExponentMax, "a power of ten within the table");
  const index = exponent + powerExponentMax;
  return (powers[index] ??= exponent >= 0 ? largePower(exponent) : smallPower(-exponent));
}

function largePower(exponent: number): PowerOfTen {
  const exact = 10n ** BigInt(exponent);
  const high = Number(exact);
  return { high, low: Number(exact - BigInt(high)) };
}

/** 10^-exponent, through an integer quotient of at least 200 bits. */
function smallPower(exponent: number): PowerOfTen {
  const halfBits = Math.ceil((200 + exponent * 3.33) / 2);
  const scaled = (1n << BigInt(halfBits * 2)) / 10n ** BigInt(exponent);
  const high = Number(scaled);
  const low = Number(scaled - BigInt(high));
  // In two steps, because 2^-bits itself may be below the normal range; powers of two are exact factors.
  const half = 2 ** -halfBits;
  return { high: high * half * half, low: low * half * half };
}
