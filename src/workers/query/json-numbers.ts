import { writeAscii } from "./json-cell-buffer.js";
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
export function writeInteger(value: number, view: DataView, at: number): number {
  if ((value | 0) === value && value >= 0) return writeCount(value | 0, view, at);
  if (value < 0) {
    view.setUint8(at, minus);
    return writeInteger(-value, view, at + 1);
  }
  // 2 to 9,007,199 billions, and nine digits below them.
  const high = Math.floor(value / billion);
  return writePadded(value - high * billion, 9, view, writeCount(high | 0, view, at));
}

/** A whole number from 0 to 2^31 - 1. */
function writeCount(value: number, view: DataView, at: number): number {
  const end = at + digitsOf(value);
  let rest = value;
  let place = end;
  while (rest >= 100) {
    const next = (rest / 100) | 0;
    place -= 2;
    view.setUint16(place, twoDigits[rest - next * 100] as number, true);
    rest = next;
  }
  if (rest >= 10) view.setUint16(place - 2, twoDigits[rest] as number, true);
  else view.setUint8(place - 1, zero + rest);
  return end;
}

/** Of a whole number from 0 to 2^31 - 1. */
function digitsOf(value: number): number {
  if (value < 1e4) return value < 100 ? (value < 10 ? 1 : 2) : value < 1e3 ? 3 : 4;
  if (value < 1e7) return value < 1e5 ? 5 : value < 1e6 ? 6 : 7;
  return value < 1e8 ? 8 : value < 1e9 ? 9 : 10;
}

/** `count` digits of a whole number below 2^31, with zeros in front. */
export function writePadded(value: number, count: number, view: DataView, at: number): number {
  let rest = value | 0;
  for (let place = at + count - 1; place >= at; place--) {
    const next = (rest / 10) | 0;
    view.setUint8(place, zero + rest - next * 10);
    rest = next;
  }
  return at + count;
}

/** A point and three digits of a number from 0 to 999. */
export function writeThousandths(value: number, view: DataView, at: number): number {
  view.setInt32(at, pointAndDigits[value] as number, true);
  return at + 4;
}

export const doubleBytesMax = 26;
/** Decimals of 15 digits are the shortest form of their double: no other of as few digits reads back the same. */
const shortScaledMax = 1e15;

/**
 * Doubles that are a decimal of three or of six places, which are most of those that people store, need no search for
 * their shortest digits.
 */
export function writeDouble(value: number, view: DataView, at: number): number {
  const size = Math.abs(value);
  const thousandths = Math.round(size * 1e3);
  if (thousandths < shortScaledMax && thousandths / 1e3 === size && (value !== 0 || 1 / value > 0)) {
    const whole = Math.floor(thousandths / 1e3);
    const end = writeInteger(whole, view, signed(value, view, at));
    return writePlaces(thousandths - whole * 1e3, view, end);
  }
  const millionths = Math.round(size * 1e6);
  if (millionths < shortScaledMax && millionths / 1e6 === size && value !== 0) {
    const whole = Math.floor(millionths / 1e6);
    const places = (millionths - whole * 1e6) | 0;
    const high = (places / 1e3) | 0;
    const end = writeThousandths(high, view, writeInteger(whole, view, signed(value, view, at)));
    // There is a digit among the last three, else three places would have done: the point is not needed there.
    const low = pointAndDigits[places - high * 1e3] as number;
    view.setInt32(end, low >> 8, true);
    return end + (placesLength[places - high * 1e3] as number) - 1;
  }
  return writeAscii(doubleText(value), view, at);
}

function signed(value: number, view: DataView, at: number): number {
  if (value >= 0) return at;
  view.setUint8(at, minus);
  return at + 1;
}

/** A point and the digits of so many thousandths, without zeros at their end. */
function writePlaces(thousandths: number, view: DataView, at: number): number {
  view.setInt32(at, pointAndDigits[thousandths] as number, true);
  return at + (placesLength[thousandths] as number);
}
