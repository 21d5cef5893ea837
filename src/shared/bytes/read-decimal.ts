import type { ByteWindow } from "./byte-window.js";
import { fourDigits } from "./digits.js";
import { exactPowers, powerExponentMax, powerOfTen } from "./power-of-ten.js";

const minus = 0x2d;
const plus = 0x2b;
const point = 0x2e;
const zero = 0x30;
/** "e" or "E", after `| 0x20`. */
const exponentMark = 0x65;

/** Exponents are cut here: every double is far inside. */
const exponentMax = 100_000;

/**
 * Reads the JSON number at `start` into out[index], correctly rounded: bit for bit what JSON.parse gives.
 * Returns the position behind it, or -1 where there is no JSON number or it is not finite as a double.
 *
 * Up to nine digits are one 32-bit mantissa and one division, exact by Clinger (1990): mantissa and power of ten
 * both have exact doubles, so the quotient is rounded once.
 */
export function readDecimal(source: ByteWindow, start: number, out: Float64Array, index: number): number {
  const bytes = source.bytes;
  let at = start;
  if (bytes[at] === minus) at++;
  const first = at;
  let mantissa = ((bytes[at] as number) - zero) >>> 0;
  if (mantissa > 9) return -1;
  let digit = ((bytes[++at] as number) - zero) >>> 0;
  if (mantissa === 0 && digit < 10) return -1;
  while (digit < 10) {
    mantissa = (Math.imul(mantissa, 10) + digit) | 0;
    digit = ((bytes[++at] as number) - zero) >>> 0;
  }
  let digits = at - first;
  let power = 1;
  if (bytes[at] === point) {
    // A digit nine places on means a long fraction, most likely; the long way is right for a short one too.
    const fraction = at + 1;
    if (((bytes[at + 9] as number) - zero) >>> 0 < 10) return readLongDecimal(source, start, out, index);
    digit = ((bytes[++at] as number) - zero) >>> 0;
    if (digit > 9) return -1;
    while (digit < 10) {
      mantissa = (Math.imul(mantissa, 10) + digit) | 0;
      digit = ((bytes[++at] as number) - zero) >>> 0;
    }
    digits += at - fraction;
    // Past the table only with a mantissa that has overflowed, which the next line sends the long way.
    if (digits <= 9) power = exactPowers[at - fraction] as number;
  }
  if (digits > 9 || ((bytes[at] as number) | 0x20) === exponentMark) return readLongDecimal(source, start, out, index);
  const magnitude = mantissa / power;
  out[index] = first === start ? magnitude : -magnitude;
  return at;
}

/**
 * Any JSON number. Significant digits are gathered as `high` (up to 15, exact in a double) and `low` (up to four
 * more); what has more than 19 of them goes to Number().
 */
function readLongDecimal(source: ByteWindow, start: number, out: Float64Array, index: number): number {
  const { bytes, view } = source;
  let at = bytes[start] === minus ? start + 1 : start;
  const first = at;
  let high = 0;
  let low = 0;
  let digits = 0;
  let pointAt = -1;
  for (;;) {
    if (digits > 0 && digits <= 11) {
      const four = fourDigits(view.getInt32(at, true));
      if (four >= 0) {
        high = high * 10_000 + four;
        digits += 4;
        at += 4;
        continue;
      }
    }
    const byte = bytes[at] as number;
    const digit = (byte - zero) >>> 0;
    if (digit < 10) {
      if (digits < 15) high = high * 10 + digit;
      else if (digits < 19) low = low * 10 + digit;
      // Leading zeros do not count.
      if (digit !== 0 || digits > 0) digits++;
    } else if (byte === point && pointAt < 0) {
      pointAt = at;
    } else break;
    at++;
  }
  const integerEnd = pointAt < 0 ? at : pointAt;
  if (integerEnd === first || at === pointAt + 1) return -1;
  if (bytes[first] === zero && integerEnd > first + 1) return -1;
  let exponent = pointAt < 0 ? 0 : pointAt + 1 - at;
  if (((bytes[at] as number) | 0x20) === exponentMark) {
    const end = exponentEnd(bytes, at);
    if (end < 0) return -1;
    exponent += exponentValue(bytes, at, end);
    at = end;
  }
  const magnitude = digits > 19 ? Number.NaN : scale(high, low, Math.max(0, digits - 15), exponent);
  // NaN: not decided here.
  const value = magnitude === magnitude ? magnitude : Number(numberText(bytes, first, at));
  if (value === Infinity) return -1;
  out[index] = first === start ? value : -value;
  return at;
}

/** Behind the exponent whose "e" is at `at`, or -1 where it has no digits. */
function exponentEnd(bytes: Uint8Array, at: number): number {
  let end = at + 1;
  if (bytes[end] === minus || bytes[end] === plus) end++;
  const digitsStart = end;
  while (((bytes[end] as number) - zero) >>> 0 < 10) end++;
  return end === digitsStart ? -1 : end;
}

function exponentValue(bytes: Uint8Array, at: number, end: number): number {
  let value = 0;
  for (let from = at + 1; from < end; from++) {
    const digit = ((bytes[from] as number) - zero) >>> 0;
    if (digit < 10) value = Math.min(value * 10 + digit, exponentMax);
  }
  return bytes[at + 1] === minus ? -value : value;
}

/** 2^27 + 1, which splits a double into two halves of 26 bits (Veltkamp). */
const splitter = 134_217_729;

/**
 * (high × 10^lowDigits + low) × 10^exponent, correctly rounded, or NaN where this way cannot tell.
 *
 * In double-double arithmetic (Dekker 1971): the mantissa is exact as a sum of two doubles, the power of ten is known
 * to 2^-106, so the product is known to better than 2^-100 of itself. If both ends of that interval round to the same
 * double, that is the answer; they do not only about once in 2^46 numbers, and in exact ties.
 */
function scale(high: number, low: number, lowDigits: number, exponent: number): number {
  if (high === 0) return 0;
  if (lowDigits === 0 && exponent <= 0 && exponent >= -22) return high / (exactPowers[-exponent] as number);
  if (lowDigits === 0 && exponent > 0 && exponent <= 22) return high * (exactPowers[exponent] as number);
  if (exponent > powerExponentMax || exponent < -powerExponentMax) return Number.NaN;
  // The mantissa as head + tail, exactly: high has 50 bits and the factor 14, so both partial products are exact.
  const factor = exactPowers[lowDigits] as number;
  const shifted = high * splitter;
  const upper = shifted - (shifted - high);
  const product = high * factor;
  const rest = upper * factor - product + (high - upper) * factor + low;
  const head = product + rest;
  const tail = product - head + rest;

  const power = powerOfTen(exponent);
  const main = head * power.high;
  const headShifted = head * splitter;
  const headUpper = headShifted - (headShifted - head);
  const headLower = head - headUpper;
  const powerShifted = power.high * splitter;
  const powerUpper = powerShifted - (powerShifted - power.high);
  const powerLower = power.high - powerUpper;
  const lost = headUpper * powerUpper - main + headUpper * powerLower + headLower * powerUpper + headLower * powerLower;
  const correction = lost + (head * power.low + tail * power.high);
  const doubt = main * 2 ** -100;
  const below = main + (correction - doubt);
  return below === main + (correction + doubt) ? below : Number.NaN;
}

/** For Number(): only ASCII of the number's grammar is in there. */
function numberText(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}
