import type { ByteWindow } from "./byte-window.js";
import { digitsValue } from "./digits.js";

const minus = 0x2d;
const point = 0x2e;
const zero = 0x30;
const exponentMark = 0x65;

/** What `readInteger` answers instead of a position. */
export const notAnInteger = -1;
export const integerTooLarge = -2;

/**
 * Reads the JSON integer at `start` exactly into out[2 × index] (low half) and out[2 × index + 1] (high half, two's
 * complement). Returns the position behind it; `notAnInteger` where there is none or a fraction or an exponent
 * follows; `integerTooLarge` where 64 bits do not hold it.
 */
export function readInteger(source: ByteWindow, start: number, out: Int32Array, index: number): number {
  const bytes = source.bytes;
  let at = start;
  if (bytes[at] === minus) at++;
  const first = at;
  let value = ((bytes[at] as number) - zero) >>> 0;
  if (value > 9) return notAnInteger;
  let digit = ((bytes[++at] as number) - zero) >>> 0;
  if (value === 0 && digit < 10) return notAnInteger;
  while (digit < 10) {
    value = (Math.imul(value, 10) + digit) | 0;
    digit = ((bytes[++at] as number) - zero) >>> 0;
  }
  // With more than nine digits `value` has wrapped around: those are read again, from their two ends.
  const next = bytes[at] as number;
  if (next === point || (next | 0x20) === exponentMark) return notAnInteger;
  if (at - first > 9) return storeLong(bytes, start, at, { out, index }) ? at : integerTooLarge;
  if (first !== start) value = -value | 0;
  out[index * 2] = value;
  out[index * 2 + 1] = value >> 31;
  return at;
}

interface LongPlace {
  readonly out: Int32Array;
  readonly index: number;
}

/** Stores ten or more digits and their sign; false where 64 bits do not hold them. */
function storeLong(bytes: Uint8Array, start: number, end: number, place: LongPlace): boolean {
  const negative = bytes[start] === minus;
  const first = negative ? start + 1 : start;
  if (end - first > 19) return false;
  // upper × 10^9 + lower, with upper in 16-bit limbs, so that every product and sum stays below 2^53.
  const upper = digitsValue(bytes, first, end - 9);
  const lower = digitsValue(bytes, end - 9, end);
  const upperHigh = Math.floor(upper / 0x1_0000);
  const bottom = (upper - upperHigh * 0x1_0000) * 1e9 + lower;
  const carry = Math.floor(bottom / 0x1_0000);
  const top = upperHigh * 1e9 + carry;
  const high = Math.floor(top / 0x1_0000);
  const low = ((top - high * 0x1_0000) * 0x1_0000 + (bottom - carry * 0x1_0000)) | 0;
  if (high >= 0x8000_0000 && !(negative && high === 0x8000_0000 && low === 0)) return false;
  place.out[place.index * 2] = negative ? -low | 0 : low;
  place.out[place.index * 2 + 1] = negative ? (low === 0 ? -high : ~high) | 0 : high;
  return true;
}
