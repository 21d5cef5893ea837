import { invalidTimestamp, readTimestampText, timestampOutOfRange } from "../../shared/bytes/read-timestamp.js";
import { ByteWindow } from "../../shared/bytes/byte-window.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import type { RowErrorCode } from "../../shared/columns/row-account.js";
import type { ColumnType } from "../../shared/schema/column-type.js";
import { ArrowJson } from "./arrow-json.js";
import type { TimestampUnit } from "./arrow-schema.js";
import type {
  ArrowValues,
  DoubleValues,
  LongValues,
  TextValues,
  TimestampValues,
  ValuesContext,
} from "./arrow-values.js";
import { copyBits, isBitSet } from "./bulk-bits.js";
import {
  areMicrosInRange,
  storeEpochDouble,
  storeEpochLong,
  storeMillis,
  storeNanos,
  storeSeconds,
  textOfInteger,
} from "./bulk-epoch.js";
import type { BulkRows } from "./bulk-rows.js";
import { appendTexts } from "./bulk-text.js";

/** Position of the column `id` in every table. */
const idIndex = 1;

/** The column type that values of each form make where the column is new. */
const naturalTypes = {
  long: "long",
  double: "double",
  boolean: "boolean",
  text: "string",
  timestamp: "timestamp",
  json: "json",
} as const satisfies Record<Exclude<ArrowValues["kind"], "null">, ColumnType>;

const wanted: Readonly<Record<ColumnType, string>> = {
  boolean: "booleans",
  long: "integers",
  double: "numbers",
  string: "strings",
  timestamp: "timestamps",
  json: "nested values",
};

const valueNames = {
  long: "integers",
  double: "floating-point numbers",
  boolean: "booleans",
  text: "strings",
  timestamp: "timestamps",
  json: "nested values",
} as const;

/**
 * Fills the column of this name with a record batch's values, with the JSON decoder's rules: an unknown column is
 * added; what does not fit rejects its rows, not the batch; a column without any value adds nothing.
 *
 * | column    | takes                                                                                     |
 * |-----------|-------------------------------------------------------------------------------------------|
 * | long      | integers below 2^63; doubles that are whole: one that is not widens the column, by rule   |
 * | double    | integers, finite doubles, decimals                                                        |
 * | boolean   | booleans                                                                                  |
 * | string    | UTF-8; for the column id also integers, as their digits                                   |
 * | timestamp | timestamps and dates of any unit, RFC 3339 text, epoch numbers, of years 1 to 9999        |
 * | json      | lists, structs, maps                                                                      |
 *
 * The copy comes first and the look for bad values after it, in a loop of its own: such loops have no calls in them,
 * and rows that turn out bad are moved over when the batch is taken.
 */
export function appendArrowColumn(bulk: BulkRows, key: string, values: ArrowValues, context: ValuesContext): void {
  if (values.kind === "null" || values.nullCount === values.length) return;
  const { builder } = bulk;
  let index = builder.indexOf(key);
  if (index < 0) {
    const added = builder.addColumn(key, naturalTypes[values.kind]);
    if (added === null) return;
    if (typeof added !== "number") return rejectPresent(bulk, key, values, { code: added });
    index = added;
  }
  const name = builder.schema.columns[index]?.name ?? key;
  let column = bulk.open(index);
  if (values.kind === "double" && column.type === "long" && needsDouble(values)) {
    const refusal = builder.widenToDouble(index);
    if (refusal === undefined) column = bulk.open(index);
  }
  const { type } = column;
  // Integers are taken as ids, by their digits.
  const append = index === idIndex && values.kind === "long" ? appendDigits : appenders[`${type}<${values.kind}`];
  if (append === undefined) {
    const message = `the column takes ${wanted[type]}; the values are ${valueNames[values.kind]}`;
    return rejectPresent(bulk, name, values, { code: "TYPE_MISMATCH", message });
  }
  append({ bulk, column, name, context }, values);
  appendValidity(bulk, column, values);
}

interface Destination {
  readonly bulk: BulkRows;
  readonly column: ColumnBuilder;
  readonly name: string;
  readonly context: ValuesContext;
}

type Append = (destination: Destination, values: ArrowValues) => void;

/** By column type and form of the values; pairs that are not here do not fit. */
const appenders: Readonly<Record<string, Append | undefined>> = {
  "long<long": guard("long", appendLongs),
  "long<double": guard("double", appendIntegralDoubles),
  "double<double": guard("double", appendDoubles),
  "double<long": guard("long", appendLongsAsDoubles),
  "boolean<boolean": guard("boolean", ({ bulk, column }, { bits }) => {
    copyBits(bits, bulk.count, column.bits, bulk.base);
    column.length = bulk.base + bulk.count;
  }),
  "string<text": guard("text", ({ bulk, column, name }, values) => appendTexts(bulk, column, name, values)),
  "timestamp<timestamp": guard("timestamp", appendTimestamps),
  "timestamp<text": guard("text", appendTimestampTexts),
  "timestamp<long": guard("long", appendEpochLongs),
  "timestamp<double": guard("double", appendEpochDoubles),
  "json<json": guard("json", (destination, { array }) => {
    new ArrowJson(destination.context).append(destination.bulk, destination.column, destination.name, array);
  }),
};

/** Narrows the values to the kind that the table's key already says. */
function guard<Kind extends ArrowValues["kind"]>(
  kind: Kind,
  append: (destination: Destination, values: Extract<ArrowValues, { kind: Kind }>) => void,
): Append {
  const matches = (values: ArrowValues): values is Extract<ArrowValues, { kind: Kind }> => values.kind === kind;
  return (destination, values) => {
    if (matches(values)) append(destination, values);
  };
}

/** Rows before `base` have their bits; those of nulls are cleared, and their slots made zero like any null's. */
function appendValidity({ base, count }: BulkRows, column: ColumnBuilder, values: ArrowValues): void {
  const { validity, nullCount } = values;
  if (validity === null) return;
  copyBits(validity, count, column.ensureValidity(), base);
  column.nullCount += nullCount;
  if (column.ints.length === 0) return;
  const { ints } = column;
  for (let row = 0; row < count; row++) {
    if (isBitSet(validity, row)) continue;
    ints[(base + row) * 2] = 0;
    ints[(base + row) * 2 + 1] = 0;
  }
}

function isPresent(values: ArrowValues, row: number): boolean {
  return values.validity === null || isBitSet(values.validity, row);
}

/** Why a whole column's values are not taken. */
interface Refusal {
  readonly code: RowErrorCode;
  readonly message?: string;
}

function rejectPresent(bulk: BulkRows, name: string, values: ArrowValues, { code, message }: Refusal): void {
  for (let row = 0; row < values.length; row++) if (isPresent(values, row)) bulk.reject(row, code, name, message);
}

/** The slots of these rows as bytes: where whole buffers of 8-byte values are copied to. */
function copySlots({ base, count }: BulkRows, column: ColumnBuilder, source: Int32Array | Float64Array): void {
  const target = new Uint8Array(column.ints.buffer, column.ints.byteOffset + base * 8, count * 8);
  target.set(new Uint8Array(source.buffer, source.byteOffset, count * 8));
  column.length = base + count;
}

const appendDigits: Append = guard("long", ({ bulk, column }, { words, unsigned }) => {
  for (let row = 0; row < bulk.count; row++) {
    column.setString(bulk.base + row, textOfInteger(words, row, unsigned));
  }
});

/** One copy; only of unsigned values can one be out of range. */
function appendLongs({ bulk, column, name }: Destination, values: LongValues): void {
  copySlots(bulk, column, values.words);
  if (!values.unsigned) return;
  for (let row = 0; row < bulk.count; row++) {
    if ((values.words[row * 2 + 1] as number) < 0 && isPresent(values, row)) {
      bulk.reject(row, "NUMBER_OUT_OF_RANGE", name);
    }
  }
}

/** True where one of the values is finite and no integer that a double holds for certain. */
function needsDouble(values: DoubleValues): boolean {
  for (let row = 0; row < values.length; row++) {
    const value = values.doubles[row] as number;
    if (Number.isSafeInteger(value) || !Number.isFinite(value)) continue;
    if (isPresent(values, row)) return true;
  }
  return false;
}

/** Doubles into a long column that was not widened: either all are whole, or the table's rules refuse the others. */
function appendIntegralDoubles({ bulk, column, name }: Destination, values: DoubleValues): void {
  const { base, count } = bulk;
  const { ints } = column;
  for (let row = 0; row < count; row++) {
    const value = values.doubles[row] as number;
    if (Number.isSafeInteger(value)) {
      const hi = Math.floor(value / 0x1_0000_0000);
      ints[(base + row) * 2] = value - hi * 0x1_0000_0000;
      ints[(base + row) * 2 + 1] = hi;
    } else if (isPresent(values, row)) {
      if (!Number.isFinite(value)) bulk.reject(row, "NUMBER_OUT_OF_RANGE", name);
      else bulk.reject(row, "TYPE_MISMATCH", name, "the column takes integers; the value has a fraction");
    }
  }
  column.length = base + count;
}

/** One copy, then a look at the exponents. NaN behind a null (pandas writes it) is no value and does no harm. */
function appendDoubles({ bulk, column, name }: Destination, values: DoubleValues): void {
  copySlots(bulk, column, values.doubles);
  const { base, count } = bulk;
  const { ints } = column;
  for (let row = 0; row < count; row++) {
    // All bits of the exponent: infinite or not a number.
    if (((ints[(base + row) * 2 + 1] as number) & 0x7ff0_0000) !== 0x7ff0_0000) continue;
    if (isPresent(values, row)) bulk.reject(row, "NUMBER_OUT_OF_RANGE", name);
  }
}

/** Rounded to the nearest double past 2^53, as JSON numbers are. */
function appendLongsAsDoubles({ bulk, column }: Destination, values: LongValues): void {
  const { base, count } = bulk;
  const { words, unsigned } = values;
  const { doubles } = column;
  for (let row = 0; row < count; row++) {
    const hi = words[row * 2 + 1] as number;
    doubles[base + row] = (unsigned ? hi >>> 0 : hi) * 0x1_0000_0000 + ((words[row * 2] as number) >>> 0);
  }
  column.length = base + count;
}

type StoreTimestamp = (out: Int32Array, index: number, lo: number, hi: number) => RowErrorCode | undefined;

const storeByUnit: Record<Exclude<TimestampUnit, "us">, StoreTimestamp> = {
  s: (out, index, lo, hi) => storeSeconds(out, index, hi * 0x1_0000_0000 + (lo >>> 0), 0),
  ms: (out, index, lo, hi) => storeMillis(out, index, hi * 0x1_0000_0000 + (lo >>> 0)),
  ns: storeNanos,
};

/** Microseconds are copied as they are; other units go through a function per value. */
function appendTimestamps(destination: Destination, values: TimestampValues): void {
  if (values.unit !== "us") return appendStored(destination, values, storeByUnit[values.unit]);
  const { bulk, column, name } = destination;
  copySlots(bulk, column, values.words);
  for (let row = 0; row < bulk.count; row++) {
    if (areMicrosInRange(values.words, row) || !isPresent(values, row)) continue;
    bulk.reject(row, "TIMESTAMP_OUT_OF_RANGE", name);
  }
}

/** Integers in a timestamp column: seconds, ms, µs or ns by their magnitude. */
function appendEpochLongs(destination: Destination, values: LongValues): void {
  const store: StoreTimestamp = values.unsigned
    ? (out, index, lo, hi) => (hi < 0 ? "TIMESTAMP_OUT_OF_RANGE" : storeEpochLong(out, index, lo, hi))
    : storeEpochLong;
  appendStored(destination, values, store);
}

function appendStored(
  { bulk, column, name }: Destination,
  values: LongValues | TimestampValues,
  store: StoreTimestamp,
): void {
  const { base, count } = bulk;
  const { words } = values;
  for (let row = 0; row < count; row++) {
    if (!isPresent(values, row)) continue;
    const refusal = store(column.ints, base + row, words[row * 2] as number, words[row * 2 + 1] as number);
    if (refusal !== undefined) bulk.reject(row, refusal, name);
  }
  column.length = base + count;
}

function appendEpochDoubles({ bulk, column, name }: Destination, values: DoubleValues): void {
  const { base, count } = bulk;
  for (let row = 0; row < count; row++) {
    if (!isPresent(values, row)) continue;
    const value = values.doubles[row] as number;
    const refusal = Number.isNaN(value) ? "INVALID_TIMESTAMP" : storeEpochDouble(column.ints, base + row, value);
    if (refusal !== undefined) bulk.reject(row, refusal, name);
  }
  column.length = base + count;
}

/** "2026-11-22T19:20:21Z": a shorter text is none, and reading it would look at the text behind it. */
const timestampTextBytesMin = 20;

function appendTimestampTexts({ bulk, column, name }: Destination, values: TextValues): void {
  const { base, count } = bulk;
  const { offsets, text } = values;
  const window = new ByteWindow(offsets[count] as number);
  window.load(text, 0, offsets[count] as number);
  for (let row = 0; row < count; row++) {
    if (!isPresent(values, row)) continue;
    const start = offsets[row] as number;
    const stop = offsets[row + 1] as number;
    // Behind one text the next one follows at once: only a reading that ends with its own text is one.
    const isLongEnough = stop - start >= timestampTextBytesMin;
    const end = isLongEnough ? readTimestampText(window, start, column.ints, base + row) : invalidTimestamp;
    if (end === stop) continue;
    bulk.reject(row, end === timestampOutOfRange ? "TIMESTAMP_OUT_OF_RANGE" : "INVALID_TIMESTAMP", name);
  }
  column.length = base + count;
}
