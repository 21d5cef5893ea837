import {
  DATE,
  type DuckDBDataChunk,
  DuckDBDateValue,
  DuckDBDecimalType,
  type DuckDBType,
  DuckDBTypeId,
} from "@duckdb/node-api";
import { assert } from "../../shared/assert.js";
import { decimalDigitsOfDouble, doubleText, jsonWriter, rfc3339 } from "./json-values.js";
import { decimalWidth } from "./result-arrow.js";
import { type ColumnBytes, columnBytes, gatherTexts, isValid, textLengths, textWidth } from "./result-vectors.js";

/**
 * One column of a result as JSON, from DuckDB's bytes to UTF-8 without a JavaScript value per cell: about ten times as
 * fast as values, by the rules of json-values.ts. `load` takes the next chunk, then `write` its cells.
 */
export interface JsonCells {
  /** The most bytes that a cell of the loaded chunk takes. */
  readonly bytesMax: number;
  load(chunk: DuckDBDataChunk, column: number, rows: number): void;
  /** Writes the cell to `out` from `at` on, where there is room for `bytesMax`. Returns where it ends. */
  write(row: number, out: Uint8Array, at: number): number;
}

/** True where the type's cells are written from bytes; all others go value by value. */
export function hasFastCells(type: DuckDBType): boolean {
  return fastCells(type) !== null;
}

export function jsonCells(type: DuckDBType): JsonCells {
  return fastCells(type) ?? new ValueCells(type);
}

/** Cells of a text column that holds JSON already. */
export function rawJsonCells(): JsonCells {
  return new TextCells(true);
}

function fastCells(type: DuckDBType): JsonCells | null {
  if (type instanceof DuckDBDecimalType) {
    return type.width <= decimalDigitsOfDouble ? decimalCells(type) : null;
  }
  // DuckDB's JSON type is text with an alias.
  if (type.alias !== undefined) return null;
  return cellsByType[type.typeId]?.() ?? null;
}

type ReadNumber = (view: DataView, row: number) => number;

const cellsByType: Readonly<Partial<Record<DuckDBTypeId, () => JsonCells>>> = {
  [DuckDBTypeId.BOOLEAN]: () => new BooleanCells(),
  [DuckDBTypeId.TINYINT]: () => integerCells(1, (view, row) => view.getInt8(row)),
  [DuckDBTypeId.SMALLINT]: () => integerCells(2, (view, row) => view.getInt16(row * 2, true)),
  [DuckDBTypeId.INTEGER]: () => integerCells(4, (view, row) => view.getInt32(row * 4, true)),
  [DuckDBTypeId.UTINYINT]: () => integerCells(1, (view, row) => view.getUint8(row)),
  [DuckDBTypeId.USMALLINT]: () => integerCells(2, (view, row) => view.getUint16(row * 2, true)),
  [DuckDBTypeId.UINTEGER]: () => integerCells(4, (view, row) => view.getUint32(row * 4, true)),
  [DuckDBTypeId.BIGINT]: () => new LongCells(8, readInt64),
  [DuckDBTypeId.UBIGINT]: () => new LongCells(8, readUint64),
  [DuckDBTypeId.HUGEINT]: () => new LongCells(16, readInt128),
  [DuckDBTypeId.FLOAT]: () => doubleCells(4, (view, row) => view.getFloat32(row * 4, true)),
  [DuckDBTypeId.DOUBLE]: () => doubleCells(8, (view, row) => view.getFloat64(row * 8, true)),
  [DuckDBTypeId.VARCHAR]: () => new TextCells(false),
  [DuckDBTypeId.DATE]: () => new DateCells(),
  [DuckDBTypeId.TIMESTAMP]: () => new TimestampCells(),
  [DuckDBTypeId.TIMESTAMP_TZ]: () => new TimestampCells(),
};

const quote = 0x22;
const backslash = 0x5c;
const minus = 0x2d;
const point = 0x2e;
const zero = 0x30;
const nullBytes = 4;

function writeNull(out: Uint8Array, at: number): number {
  out[at] = 0x6e;
  out[at + 1] = 0x75;
  out[at + 2] = 0x6c;
  out[at + 3] = 0x6c;
  return at + nullBytes;
}

function writeAscii(text: string, out: Uint8Array, at: number): number {
  for (let index = 0; index < text.length; index++) out[at + index] = text.charCodeAt(index);
  return at + text.length;
}

/** `count` digits of a whole number below 2^31, with zeros in front. */
function writePadded(value: number, count: number, out: Uint8Array, at: number): number {
  let rest = value | 0;
  for (let place = at + count - 1; place >= at; place--) {
    const next = (rest / 10) | 0;
    out[place] = zero + rest - next * 10;
    rest = next;
  }
  return at + count;
}

const billion = 1e9;

/** A whole number within ±2^53, at most 17 bytes. */
function writeInteger(value: number, out: Uint8Array, at: number): number {
  if (value < 0) {
    out[at] = minus;
    return writeInteger(-value, out, at + 1);
  }
  if (value >= billion) {
    const high = Math.floor(value / billion);
    return writePadded(value - high * billion, 9, out, writePadded(high, digitsOf(high), out, at));
  }
  return writePadded(value, digitsOf(value), out, at);
}

/** Of a whole number below 10^9. */
function digitsOf(value: number): number {
  if (value < 1e4) return value < 100 ? (value < 10 ? 1 : 2) : value < 1e3 ? 3 : 4;
  if (value < 1e6) return value < 1e5 ? 5 : 6;
  return value < 1e7 ? 7 : value < 1e8 ? 8 : 9;
}

/** What columns of values of one width have in common: where the loaded chunk's bytes are. */
abstract class FixedCells implements JsonCells {
  abstract readonly bytesMax: number;
  protected view: DataView = new DataView(new ArrayBuffer(0));
  readonly #width: number;
  #validity: Uint8Array | null = null;

  constructor(width: number) {
    this.#width = width;
  }

  load(chunk: DuckDBDataChunk, column: number): void {
    const { data, validity } = columnBytes(chunk, column, this.#width);
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.#validity = validity;
  }

  write(row: number, out: Uint8Array, at: number): number {
    return isValid(this.#validity, row) ? this.writeValue(row, out, at) : writeNull(out, at);
  }

  protected abstract writeValue(row: number, out: Uint8Array, at: number): number;
}

class BooleanCells extends FixedCells {
  readonly bytesMax = 5;

  constructor() {
    super(1);
  }

  protected override writeValue(row: number, out: Uint8Array, at: number): number {
    return writeAscii(this.view.getUint8(row) === 0 ? "false" : "true", out, at);
  }
}

interface NumberForm {
  readonly width: number;
  readonly bytesMax: number;
  readonly read: ReadNumber;
  readonly write: (value: number, out: Uint8Array, at: number) => number;
}

/** Values that a double holds whatever they are. */
class NumberCells extends FixedCells {
  readonly bytesMax: number;
  readonly #read: NumberForm["read"];
  readonly #write: NumberForm["write"];

  constructor({ width, bytesMax, read, write }: NumberForm) {
    super(width);
    this.bytesMax = bytesMax;
    this.#read = read;
    this.#write = write;
  }

  protected override writeValue(row: number, out: Uint8Array, at: number): number {
    return this.#write(this.#read(this.view, row), out, at);
  }
}

function integerCells(width: number, read: ReadNumber): JsonCells {
  return new NumberCells({ width, bytesMax: 11, read, write: writeInteger });
}

function doubleCells(width: number, read: ReadNumber): JsonCells {
  return new NumberCells({ width, bytesMax: doubleBytesMax, read, write: writeDouble });
}

const wordValues = 4_294_967_296;

interface LongReader {
  /** As near as a double comes. */
  readonly near: ReadNumber;
  readonly exact: (view: DataView, row: number) => bigint;
}

const readInt64: LongReader = {
  near: (view, row) => view.getInt32(row * 8 + 4, true) * wordValues + view.getUint32(row * 8, true),
  exact: (view, row) => view.getBigInt64(row * 8, true),
};
const readUint64: LongReader = {
  near: (view, row) => view.getUint32(row * 8 + 4, true) * wordValues + view.getUint32(row * 8, true),
  exact: (view, row) => view.getBigUint64(row * 8, true),
};
const readInt128: LongReader = {
  near: (view, row) => {
    const at = row * 16;
    const high = view.getInt32(at + 12, true) * wordValues + view.getUint32(at + 8, true);
    return (high * wordValues + view.getUint32(at + 4, true)) * wordValues + view.getUint32(at, true);
  },
  exact: (view, row) => view.getBigInt64(row * 16 + 8, true) * 2n ** 64n + view.getBigUint64(row * 16, true),
};

/** Integers beyond what a double holds; most are not, and need no BigInt. */
class LongCells extends FixedCells {
  readonly bytesMax = 40;
  readonly #reader: LongReader;

  constructor(width: number, reader: LongReader) {
    super(width);
    this.#reader = reader;
  }

  protected override writeValue(row: number, out: Uint8Array, at: number): number {
    const near = this.#reader.near(this.view, row);
    if (Number.isSafeInteger(near)) return writeInteger(near, out, at);
    return writeAscii(String(this.#reader.exact(this.view, row)), out, at);
  }
}

const doubleBytesMax = 26;
/** Doubles of so many places are most of those that people store, and need no search for their shortest digits. */
const shortPlaces = 3;
const shortFactor = 10 ** shortPlaces;
/** Up to 15 digits a decimal is the shortest form of its double, as no other decimal of as few digits is the same. */
const shortScaledMax = 1e15;

function writeDouble(value: number, out: Uint8Array, at: number): number {
  const scaled = Math.round(Math.abs(value) * shortFactor);
  if (scaled < shortScaledMax && scaled / shortFactor === Math.abs(value) && !Object.is(value, -0)) {
    return writeShort(scaled, out, value < 0 ? writeAscii("-", out, at) : at);
  }
  return writeAscii(doubleText(value), out, at);
}

/** A number of thousandths: `1.0`, `1.5`, `1.125`. */
function writeShort(scaled: number, out: Uint8Array, at: number): number {
  const whole = Math.floor(scaled / shortFactor);
  const places = scaled - whole * shortFactor;
  let end = writeInteger(whole, out, at);
  out[end++] = point;
  end = writePadded(places, shortPlaces, out, end);
  while (out[end - 1] === zero && out[end - 2] !== point) end--;
  return end;
}

const decimalReaders: Readonly<Record<number, ReadNumber>> = {
  2: (view, row) => view.getInt16(row * 2, true),
  4: (view, row) => view.getInt32(row * 4, true),
  8: readInt64.near,
};

/** As doubles, which hold up to 15 digits. */
function decimalCells({ width, scale }: DuckDBDecimalType): JsonCells {
  const bytes = decimalWidth(width);
  const read = decimalReaders[bytes];
  assert(read !== undefined, "a decimal of up to 15 digits has 8 bytes at most");
  const divisor = 10 ** scale;
  return doubleCells(bytes, (view, row) => read(view, row) / divisor);
}

const dayMs = 86_400_000;
const dayPrefixBytes = '"YYYY-MM-DDT'.length;

/** Microseconds since 1970 as RFC 3339 in UTC. The date is made once for rows of the same day. */
class TimestampCells extends FixedCells {
  readonly bytesMax = 40;
  readonly #prefix = new Uint8Array(dayPrefixBytes);
  #day = Number.NaN;

  constructor() {
    super(8);
  }

  protected override writeValue(row: number, out: Uint8Array, at: number): number {
    const micros = readInt64.near(this.view, row);
    // Years 1685 to 2255: four digits, and exact.
    if (!Number.isSafeInteger(micros)) {
      return writeTimestampText(this.view.getBigInt64(row * 8, true), out, at);
    }
    const millis = Math.floor(micros / 1000);
    const restMicros = micros - millis * 1000;
    const day = Math.floor(millis / dayMs);
    if (day !== this.#day) {
      writeAscii(`"${new Date(day * dayMs).toISOString().slice(0, dayPrefixBytes - 1)}`, this.#prefix, 0);
      this.#day = day;
    }
    for (let index = 0; index < dayPrefixBytes; index++) out[at + index] = this.#prefix[index] as number;
    const ofDay = millis - day * dayMs;
    const seconds = Math.floor(ofDay / 1000);
    const minutes = (seconds / 60) | 0;
    const hours = (minutes / 60) | 0;
    let end = writePadded(hours, 2, out, at + dayPrefixBytes);
    out[end++] = colon;
    end = writePadded(minutes - hours * 60, 2, out, end);
    out[end++] = colon;
    end = writePadded(seconds - minutes * 60, 2, out, end);
    out[end++] = point;
    end = writePadded(ofDay - seconds * 1000, 3, out, end);
    if (restMicros !== 0) end = writePadded(restMicros, 3, out, end);
    out[end++] = letterZ;
    out[end++] = quote;
    return end;
  }
}

/** Days since 1970 of years 0 to 9999, which have four digits. */
const plainDays = [-719_528, 2_932_896] as const;

class DateCells extends FixedCells {
  readonly bytesMax = 40;
  readonly #write = jsonWriter(DATE);

  constructor() {
    super(4);
  }

  protected override writeValue(row: number, out: Uint8Array, at: number): number {
    const days = this.view.getInt32(row * 4, true);
    const isPlain = days >= plainDays[0] && days <= plainDays[1];
    if (!isPlain) return writeAscii(this.#write(new DuckDBDateValue(days)), out, at);
    return writeAscii(`"${new Date(days * dayMs).toISOString().slice(0, 10)}"`, out, at);
  }
}

const colon = 0x3a;
const letterZ = 0x5a;
/** DuckDB's infinity of timestamps; minus infinity is its negative. */
const infiniteMicros = 2n ** 63n - 1n;

function writeTimestampText(micros: bigint, out: Uint8Array, at: number): number {
  if (micros === infiniteMicros || micros === -infiniteMicros) return writeNull(out, at);
  return writeAscii(rfc3339(micros * 1000n), out, at);
}

/** What stands for a byte in a JSON string: 0 the byte itself, 1 `\u00XX`, else a backslash and this byte. */
const escapes = new Uint8Array(256);
escapes.fill(1, 0, 0x20);
escapes[quote] = quote;
escapes[backslash] = backslash;
for (const [byte, letter] of [
  [0x08, "b"],
  [0x09, "t"],
  [0x0a, "n"],
  [0x0c, "f"],
  [0x0d, "r"],
] as const) {
  escapes[byte] = letter.charCodeAt(0);
}

const hexDigits = "0123456789ABCDEF";
/** `\u00XX` for one byte. */
const escapedBytesMax = 6;
/** From here on a text is looked through first, and copied as a whole where nothing needs an escape. */
const longText = 64;

/** Texts, gathered per chunk where DuckDB has them outside of the vector. */
class TextCells implements JsonCells {
  readonly #isJson: boolean;
  #column: ColumnBytes = { data: new Uint8Array(0), validity: null };
  #lengths = new Uint32Array(0);
  #offsets = new Uint32Array(0);
  #texts = new Uint8Array(0);
  #bytesMax = 0;

  constructor(isJson: boolean) {
    this.#isJson = isJson;
  }

  get bytesMax(): number {
    return this.#bytesMax;
  }

  load(chunk: DuckDBDataChunk, column: number, rows: number): void {
    this.#column = columnBytes(chunk, column, textWidth);
    if (this.#lengths.length < rows) {
      this.#lengths = new Uint32Array(rows);
      this.#offsets = new Uint32Array(rows);
    }
    const total = textLengths(this.#column, rows, this.#lengths);
    if (this.#texts.length < total) this.#texts = new Uint8Array(total * 2);
    gatherTexts(this.#column, rows, this.#lengths, this.#texts);
    let longest = 0;
    for (let row = 0, at = 0; row < rows; row++) {
      const length = this.#lengths[row] as number;
      this.#offsets[row] = at;
      at += length;
      if (length > longest) longest = length;
    }
    this.#bytesMax = this.#isJson ? longest + nullBytes : longest * escapedBytesMax + nullBytes;
  }

  write(row: number, out: Uint8Array, at: number): number {
    if (!isValid(this.#column.validity, row)) return writeNull(out, at);
    const from = this.#offsets[row] as number;
    const to = from + (this.#lengths[row] as number);
    if (this.#isJson) return this.#copy(from, to, out, at);
    out[at] = quote;
    const isPlain = to - from >= longText && this.#isPlain(from, to);
    const end = isPlain ? this.#copy(from, to, out, at + 1) : this.#escape(from, to, out, at + 1);
    out[end] = quote;
    return end + 1;
  }

  #copy(from: number, to: number, out: Uint8Array, at: number): number {
    out.set(this.#texts.subarray(from, to), at);
    return at + to - from;
  }

  #escape(from: number, to: number, out: Uint8Array, start: number): number {
    const texts = this.#texts;
    let at = start;
    for (let index = from; index < to; index++) {
      const byte = texts[index] as number;
      const escape = escapes[byte] as number;
      if (escape === 0) out[at++] = byte;
      else if (escape === 1) {
        at = writeAscii(`\\u00${hexDigits[byte >> 4]}${hexDigits[byte & 15]}`, out, at);
      } else {
        out[at++] = backslash;
        out[at++] = escape;
      }
    }
    return at;
  }

  #isPlain(from: number, to: number): boolean {
    for (let index = from; index < to; index++) if (escapes[this.#texts[index] as number] !== 0) return false;
    return true;
  }
}

const textEncoder = new TextEncoder();

/** Any type, through a JavaScript value per cell. */
class ValueCells implements JsonCells {
  readonly #write: ReturnType<typeof jsonWriter>;
  #cells: Uint8Array[] = [];
  #bytesMax = 0;

  constructor(type: DuckDBType) {
    this.#write = jsonWriter(type);
  }

  get bytesMax(): number {
    return this.#bytesMax;
  }

  load(chunk: DuckDBDataChunk, column: number, rows: number): void {
    const vector = chunk.getColumnVector(column);
    this.#cells = [];
    this.#bytesMax = 0;
    for (let row = 0; row < rows; row++) {
      const cell = textEncoder.encode(this.#write(vector.getItem(row)));
      this.#cells.push(cell);
      this.#bytesMax = Math.max(this.#bytesMax, cell.length);
    }
  }

  write(row: number, out: Uint8Array, at: number): number {
    const cell = this.#cells[row] as Uint8Array;
    out.set(cell, at);
    return at + cell.length;
  }
}
