import { ByteWindow } from "./byte-window.js";
import { digitsValue } from "./digits.js";
import { readDecimal } from "./read-decimal.js";

const minus = 0x2d;
const plus = 0x2b;
const point = 0x2e;
const zero = 0x30;
const colon = 0x3a;
const letterT = 0x74;
const letterZ = 0x7a;
const space = 0x20;
/** "e" or "E", after `| 0x20`. */
const exponentMark = 0x65;

/** What the readers here answer instead of a position. */
export const invalidTimestamp = -1;
export const timestampOutOfRange = -2;

/** 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z. */
const secondsMin = -62_135_596_800;
const secondsMax = 253_402_300_799;

/**
 * The minute that was read last, as its 16 bytes ("2026-11-22T19:20") and its seconds since 1970: rows arrive in time
 * order or nearly so, and most share their minute with the row before.
 */
const minuteWords = new Int32Array(4).fill(-1);
const minuteSeconds = new Float64Array(1);

/**
 * Reads an RFC 3339 timestamp at `start` (behind the quote) into out[2 × index], out[2 × index + 1] as µs since 1970.
 * Returns the position behind it, or `invalidTimestamp`, or `timestampOutOfRange` (years other than 1 to 9999 in UTC).
 * Digits past the microsecond are cut off. Lower-case "t" and "z" and a space for "T" are taken (section 5.6), and a
 * leap second counts as the second after it.
 */
export function readTimestampText(source: ByteWindow, start: number, out: Int32Array, index: number): number {
  const { bytes, view } = source;
  const failure = readMinute(bytes, view, start);
  if (failure < 0) return failure;
  const tens = ((bytes[start + 17] as number) - zero) >>> 0;
  const ones = ((bytes[start + 18] as number) - zero) >>> 0;
  let seconds = Math.imul(tens, 10) + ones;
  if (bytes[start + 16] !== colon || tens > 6 || ones > 9 || seconds > 60) return invalidTimestamp;
  let at = start + 19;
  let micros = 0;
  if (bytes[at] === point) {
    let digit = ((bytes[++at] as number) - zero) >>> 0;
    if (digit > 9) return invalidTimestamp;
    let weight = 100_000;
    while (digit < 10) {
      micros += Math.imul(digit, weight);
      weight = (weight / 10) | 0;
      digit = ((bytes[++at] as number) - zero) >>> 0;
    }
  }
  // Local time so far; an offset says how much of it is not UTC.
  seconds += minuteSeconds[0] as number;
  const zone = bytes[at] as number;
  if ((zone | 0x20) === letterZ) at++;
  else {
    const offset = offsetSeconds(bytes, at);
    if (offset === undefined) return invalidTimestamp;
    seconds -= offset;
    at += 6;
  }
  if (seconds < secondsMin || seconds > secondsMax) return timestampOutOfRange;
  storeMicros(out, index, seconds, micros);
  return at;
}

/** Makes `minuteSeconds` the minute at `start`; returns 0, or why it cannot be. */
function readMinute(bytes: Uint8Array, view: DataView, start: number): number {
  const word0 = view.getInt32(start, true);
  const word1 = view.getInt32(start + 4, true);
  const word2 = view.getInt32(start + 8, true);
  const word3 = view.getInt32(start + 12, true);
  const known =
    word3 === minuteWords[3] && word2 === minuteWords[2] && word1 === minuteWords[1] && word0 === minuteWords[0];
  if (known) return 0;
  const days = daysSince1970(bytes, start);
  const hour = twoDigits(bytes, start + 11);
  const minute = twoDigits(bytes, start + 14);
  const separator = bytes[start + 10] as number;
  if ((separator | 0x20) !== letterT && separator !== space) return invalidTimestamp;
  if (days !== days || hour > 23 || bytes[start + 13] !== colon || minute > 59) return invalidTimestamp;
  if (days === -Infinity) return timestampOutOfRange;
  minuteSeconds[0] = days * 86_400 + hour * 3_600 + minute * 60;
  minuteWords[0] = word0;
  minuteWords[1] = word1;
  minuteWords[2] = word2;
  minuteWords[3] = word3;
  return 0;
}

/** Of "YYYY-MM-DD" at `start`: NaN where that is no date, -Infinity in year 0. */
function daysSince1970(bytes: Uint8Array, start: number): number {
  const century = twoDigits(bytes, start);
  const yearOfCentury = twoDigits(bytes, start + 2);
  const month = twoDigits(bytes, start + 5);
  const day = twoDigits(bytes, start + 8);
  if (century > 99 || yearOfCentury > 99 || bytes[start + 4] !== minus || bytes[start + 7] !== minus) return Number.NaN;
  const year = century * 100 + yearOfCentury;
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const monthDays =
    month === 2 ? (isLeap ? 29 : 28) : month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
  if (month < 1 || month > 12 || day < 1 || day > monthDays) return Number.NaN;
  if (year === 0) return -Infinity;
  // Years that start in March put the leap day last (Hinnant, "chrono-compatible low-level date algorithms").
  const shifted = month > 2 ? year : year - 1;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  return (
    shifted * 365 +
    Math.floor(shifted / 4) -
    Math.floor(shifted / 100) +
    Math.floor(shifted / 400) +
    dayOfYear -
    719_468
  );
}

/** "+HH:MM" or "-HH:MM" in seconds, or undefined where there is none. */
function offsetSeconds(bytes: Uint8Array, at: number): number | undefined {
  const sign = bytes[at];
  const hours = twoDigits(bytes, at + 1);
  const minutes = twoDigits(bytes, at + 4);
  if ((sign !== plus && sign !== minus) || hours > 23 || bytes[at + 3] !== colon || minutes > 59) return undefined;
  const seconds = hours * 3_600 + minutes * 60;
  return sign === minus ? -seconds : seconds;
}

/** 0 to 99, or more than 99 where one of the two is no digit. */
function twoDigits(bytes: Uint8Array, at: number): number {
  const tens = ((bytes[at] as number) - zero) >>> 0;
  const ones = ((bytes[at + 1] as number) - zero) >>> 0;
  return tens > 9 || ones > 9 ? 100 : tens * 10 + ones;
}

/**
 * Reads an epoch number (JSON grammar) at `start` as µs since 1970, like `readTimestampText`. The number of integer
 * digits tells the unit, which is right for every time from 1973 on: up to 11 seconds, up to 14 milliseconds, up to
 * 17 microseconds, up to 19 nanoseconds. A fraction counts down to the microsecond; what is below is rounded down.
 */
export function readEpoch(source: ByteWindow, start: number, out: Int32Array, index: number): number {
  const bytes = source.bytes;
  const first = bytes[start] === minus ? start + 1 : start;
  const integerEnd = digitsEnd(bytes, first);
  if (integerEnd === first || (bytes[first] === zero && integerEnd > first + 1)) return invalidTimestamp;
  let end = integerEnd;
  if (bytes[integerEnd] === point) {
    end = digitsEnd(bytes, integerEnd + 1);
    if (end === integerEnd + 1) return invalidTimestamp;
  }
  if (((bytes[end] as number) | 0x20) === exponentMark) return readEpochDouble(source, start, out, index);
  const unit = epochUnit(integerEnd - first);
  if (unit < 0) return timestampOutOfRange;
  let seconds = digitsValue(bytes, first, integerEnd - unit);
  let below = false;
  let micros = 0;
  // The digits behind the place of the second: six count, whatever they were called.
  let place = 0;
  for (let at = integerEnd - unit; at < end; at++) {
    const digit = ((bytes[at] as number) - zero) >>> 0;
    if (digit > 9) continue;
    if (place < 6) micros = micros * 10 + digit;
    else if (digit !== 0) below = true;
    place++;
  }
  for (; place < 6; place++) micros *= 10;
  if (first !== start) {
    // Downwards of a negative number is away from zero: -0.5 s is second -1 and 500,000 µs.
    if (below) micros++;
    seconds = -seconds;
    if (micros > 0) {
      seconds--;
      micros = 1_000_000 - micros;
    }
  }
  if (seconds < secondsMin || seconds > secondsMax) return timestampOutOfRange;
  storeMicros(out, index, seconds, micros);
  return end;
}

const expanded = new ByteWindow(64);
const double = new Float64Array(1);

/** With an exponent: rare enough to be written out without one and read again. */
function readEpochDouble(source: ByteWindow, start: number, out: Int32Array, index: number): number {
  const end = readDecimal(source, start, double, 0);
  if (end < 0) return invalidTimestamp;
  const value = double[0] as number;
  if (Math.abs(value) >= 1e19) return timestampOutOfRange;
  const text = Buffer.from(value.toFixed(6));
  expanded.load(text, 0, text.length);
  const outcome = readEpoch(expanded, 0, out, index);
  return outcome < 0 ? outcome : end;
}

/** Decimal places between the integer's last digit and the second, by the number of digits; -1 past nanoseconds. */
function epochUnit(digits: number): number {
  if (digits <= 11) return 0;
  if (digits <= 14) return 3;
  if (digits <= 17) return 6;
  return digits <= 19 ? 9 : -1;
}

/** Behind the digits from `start` on, if any. */
function digitsEnd(bytes: Uint8Array, start: number): number {
  let at = start;
  while (((bytes[at] as number) - zero) >>> 0 < 10) at++;
  return at;
}

/** seconds × 10^6 + micros in 64 bits: past the year 2255 a double does not hold it, so it goes in 16-bit limbs. */
export function storeMicros(out: Int32Array, index: number, seconds: number, micros: number): void {
  const upper = Math.floor(seconds / 0x1_0000);
  const bottom = (seconds - upper * 0x1_0000) * 1e6 + micros;
  const carry = Math.floor(bottom / 0x1_0000);
  const top = upper * 1e6 + carry;
  const high = Math.floor(top / 0x1_0000);
  out[index * 2] = ((top - high * 0x1_0000) * 0x1_0000 + (bottom - carry * 0x1_0000)) | 0;
  out[index * 2 + 1] = high | 0;
}
