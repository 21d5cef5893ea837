import { writeAscii } from "./json-bytes.js";
import { doubleText } from "./json-values.js";

/** Numbers as JSON text, into bytes; see json-values.ts for the rules. All return where the text ends. */

const zero = 0x30;
const minus = 0x2d;
const point = 0x2e;

/** "00" to "99", as they are stored with the low byte first. */
const twoDigits = Uint16Array.from({ length: 100 }, (_, value) => {
  return (zero + Math.floor(value / 10)) | ((zero + (value % 10)) << 8);
});

/** ".000" to ".999", as they are stored with the low byte first. */
const pointAndDigits = Int32Array.from({ length: 1000 }, (_, value) => {
  return point | ((twoDigits[Math.floor(value / 10)] as number) << 8) | ((zero + (value % 10)) << 24);
});

/** How long `pointAndDigits` is without the zeros at its end; `.0` at least. */
const placesLength = Uint8Array.from({ length: 1000 }, (_, value) => {
  return value % 100 === 0 ? 2 : value % 10 === 0 ? 3 : 4;
});

/** Bytes of a whole number within ±2^53. */
export const integerBytesMax = 17;
const billion = 1e9;

/** A whole number within ±2^53. */
export function writeInteger(value: number, out: DataView, at: number): number {
  if ((value | 0) === value && value >= 0) return writeCount(value | 0, out, at);
  if (value < 0) {
    out.setUint8(at, minus);
    return writeInteger(-value, out, at + 1);
  }
  // 2 to 9,007,199 billions, and nine digits below them.
  const high = Math.floor(value / billion);
  return writePadded(value - high * billion, 9, out, writeCount(high | 0, out, at));
}

/** A whole number from 0 to 2^31 - 1. */
function writeCount(value: number, out: DataView, at: number): number {
  const end = at + digitsOf(value);
  let rest = value;
  let place = end;
  while (rest >= 100) {
    const next = (rest / 100) | 0;
    place -= 2;
    out.setUint16(place, twoDigits[rest - next * 100] as number, true);
    rest = next;
  }
  if (rest >= 10) out.setUint16(place - 2, twoDigits[rest] as number, true);
  else out.setUint8(place - 1, zero + rest);
  return end;
}

/** Of a whole number from 0 to 2^31 - 1. */
function digitsOf(value: number): number {
  if (value < 1e4) return value < 100 ? (value < 10 ? 1 : 2) : value < 1e3 ? 3 : 4;
  if (value < 1e7) return value < 1e5 ? 5 : value < 1e6 ? 6 : 7;
  return value < 1e8 ? 8 : value < 1e9 ? 9 : 10;
}

/** `count` digits of a whole number below 2^31, with zeros in front. */
export function writePadded(value: number, count: number, out: DataView, at: number): number {
  let rest = value | 0;
  for (let place = at + count - 1; place >= at; place--) {
    const next = (rest / 10) | 0;
    out.setUint8(place, zero + rest - next * 10);
    rest = next;
  }
  return at + count;
}

/** A point and three digits of a number from 0 to 999. */
export function writeThousandths(value: number, out: DataView, at: number): number {
  out.setInt32(at, pointAndDigits[value] as number, true);
  return at + 4;
}

export const doubleBytesMax = 26;
/** Decimals of 15 digits are the shortest form of their double: no other of as few digits reads back the same. */
const shortScaledMax = 1e15;

/**
 * Doubles that are a decimal of three or of six places, which are most of those that people store, need no search for
 * their shortest digits.
 */
export function writeDouble(value: number, out: DataView, at: number): number {
  const size = Math.abs(value);
  const thousandths = Math.round(size * 1e3);
  if (thousandths < shortScaledMax && thousandths / 1e3 === size && (value !== 0 || 1 / value > 0)) {
    const whole = Math.floor(size);
    const places = (thousandths - whole * 1e3) | 0;
    const end = writeInteger(whole, out, signed(value, out, at));
    out.setInt32(end, pointAndDigits[places] as number, true);
    return end + (placesLength[places] as number);
  }
  const millionths = Math.round(size * 1e6);
  if (millionths < shortScaledMax && millionths / 1e6 === size && value !== 0) {
    return writeMillionths(millionths, out, signed(value, out, at));
  }
  return writeAscii(doubleText(value), out, at);
}

/** With more than three places. */
function writeMillionths(millionths: number, out: DataView, at: number): number {
  const whole = Math.floor(millionths / 1e6);
  const places = (millionths - whole * 1e6) | 0;
  const high = (places / 1e3) | 0;
  const low = places - high * 1e3;
  const end = writeThousandths(high, out, writeInteger(whole, out, at));
  // The digits without the point before them.
  out.setInt32(end, (pointAndDigits[low] as number) >> 8, true);
  return end + (placesLength[low] as number) - 1;
}

function signed(value: number, out: DataView, at: number): number {
  if (value >= 0) return at;
  out.setUint8(at, minus);
  return at + 1;
}
