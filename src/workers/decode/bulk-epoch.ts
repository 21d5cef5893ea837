import { storeMicros } from "../../shared/bytes/read-timestamp.js";
import type { RowErrorCode } from "../../shared/columns/row-account.js";

/**
 * Numbers as points in time. The magnitude tells the unit, as in `readEpoch` of the text formats: below 10^11 seconds,
 * below 10^14 milliseconds, below 10^17 microseconds, else nanoseconds.
 */
const secondsBound = 1e11;
const millisBound = 1e14;
const microsBound = 1e17;
/** What 64-bit integers hold is in the range of nanoseconds; more than 19 digits have no unit. */
const nanosBound = 1e19;
const twoTo32 = 0x1_0000_0000;
/** Milliseconds of the years 1685 to 2255, whose µs a double holds. */
const exactMillisBound = 9e12;

/** 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z in µs, as high and low words. */
const microsLeast = wordsOf(-62_135_596_800_000_000n);
const microsMost = wordsOf(253_402_300_799_999_999n);
const secondsLeast = -62_135_596_800;
const secondsMost = 253_402_300_799;

function wordsOf(micros: bigint): { readonly hi: number; readonly lo: number } {
  return { hi: Number(micros >> 32n), lo: Number(BigInt.asUintN(32, micros)) };
}

/** True when the µs in words[2 × index] and the next lie in years 1 to 9999. */
export function areMicrosInRange(words: Int32Array, index: number): boolean {
  const hi = words[index * 2 + 1] as number;
  if (hi > microsLeast.hi && hi < microsMost.hi) return true;
  if (hi < microsLeast.hi || hi > microsMost.hi) return false;
  const lo = (words[index * 2] as number) >>> 0;
  return hi === microsLeast.hi ? lo >= microsLeast.lo : lo <= microsMost.lo;
}

/** Stores seconds (an integer) and µs within the second; returns why not, where years 1 to 9999 do not hold them. */
export function storeSeconds(
  out: Int32Array,
  index: number,
  seconds: number,
  micros: number,
): RowErrorCode | undefined {
  if (!(seconds >= secondsLeast && seconds <= secondsMost)) return "TIMESTAMP_OUT_OF_RANGE";
  storeMicros(out, index, seconds, micros);
  return undefined;
}

/** An integer within ±2^53. */
function storeSafeMicros(out: Int32Array, index: number, micros: number): void {
  const hi = Math.floor(micros / twoTo32);
  out[index * 2] = (micros - hi * twoTo32) | 0;
  out[index * 2 + 1] = hi;
}

/** Stores an integer of milliseconds since 1970 as µs. */
export function storeMillis(out: Int32Array, index: number, millis: number): RowErrorCode | undefined {
  if (Math.abs(millis) < exactMillisBound) {
    storeSafeMicros(out, index, millis * 1000);
    return undefined;
  }
  const seconds = Math.floor(millis / 1000);
  return storeSeconds(out, index, seconds, (millis - seconds * 1000) * 1000);
}

/** Stores a signed 64-bit number of nanoseconds since 1970 as µs, rounded down. All of them are in range. */
export function storeNanos(out: Int32Array, index: number, lo: number, hi: number): undefined {
  // Long division by 1000 in base 2^32; the remainder's product stays below 2^42.
  const quotientHi = Math.floor(hi / 1000);
  const rest = (hi - quotientHi * 1000) * twoTo32 + (lo >>> 0);
  out[index * 2] = Math.floor(rest / 1000) | 0;
  out[index * 2 + 1] = quotientHi;
  return undefined;
}

/** Stores an epoch number given as a signed 64-bit integer. */
export function storeEpochLong(out: Int32Array, index: number, lo: number, hi: number): RowErrorCode | undefined {
  // Not exact past 2^53, where only the comparisons with far bounds use it.
  const value = hi * twoTo32 + (lo >>> 0);
  const magnitude = Math.abs(value);
  if (magnitude < secondsBound) return storeSeconds(out, index, value, 0);
  if (magnitude < millisBound) return storeMillis(out, index, value);
  if (magnitude >= microsBound) return storeNanos(out, index, lo, hi);
  out[index * 2] = lo;
  out[index * 2 + 1] = hi;
  return areMicrosInRange(out, index) ? undefined : "TIMESTAMP_OUT_OF_RANGE";
}

/** Stores an epoch number given as a double, rounded to the nearest µs (a double of seconds has no more in it). */
export function storeEpochDouble(out: Int32Array, index: number, value: number): RowErrorCode | undefined {
  const magnitude = Math.abs(value);
  if (magnitude >= secondsBound && magnitude < exactMillisBound) {
    storeSafeMicros(out, index, Math.round(value * 1000));
    return undefined;
  }
  if (!(magnitude < nanosBound)) return "TIMESTAMP_OUT_OF_RANGE";
  const unitsPerSecond =
    magnitude < secondsBound ? 1 : magnitude < millisBound ? 1e3 : magnitude < microsBound ? 1e6 : 1e9;
  const seconds = Math.floor(value / unitsPerSecond);
  const micros = Math.round((value - seconds * unitsPerSecond) * (1e6 / unitsPerSecond));
  return micros < 1e6 ? storeSeconds(out, index, seconds, micros) : storeSeconds(out, index, seconds + 1, 0);
}

/** The µs in words[2 × index] and the next, which are in range, as RFC 3339 text in UTC. */
export function isoOfMicros(words: Int32Array, index: number): string {
  const micros = (BigInt(words[index * 2 + 1] as number) << 32n) | BigInt((words[index * 2] as number) >>> 0);
  const below = Number(BigInt.asUintN(64, ((micros % 1000n) + 1000n) % 1000n));
  const millis = Number((micros - BigInt(below)) / 1000n);
  const text = new Date(millis).toISOString();
  return below === 0 ? text : `${text.slice(0, -1)}${String(below).padStart(3, "0")}Z`;
}

/** The 64-bit integer in words[2 × index] and the next as decimal text. */
export function textOfInteger(words: Int32Array, index: number, isUnsigned: boolean): string {
  const lo = words[index * 2] as number;
  const hi = words[index * 2 + 1] as number;
  const value = (isUnsigned ? hi >>> 0 : hi) * twoTo32 + (lo >>> 0);
  if (Number.isSafeInteger(value)) return String(value);
  return String((BigInt(isUnsigned ? hi >>> 0 : hi) << 32n) | BigInt(lo >>> 0));
}
