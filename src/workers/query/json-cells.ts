import type { DuckDBDataChunk, DuckDBType } from "@duckdb/node-api";
import { DATE, DuckDBDateValue, DuckDBDecimalType, DuckDBTypeId } from "../../shared/duckdb-api.js";
import { assert } from "../../shared/assert.js";
import { writeAscii, writeNull } from "./json-bytes.js";
import { doubleBytesMax, writeDouble, writeInteger } from "./json-numbers.js";
import { JsonTextCells } from "./json-text-cells.js";
import { JsonTimestampCells } from "./json-timestamp-cells.js";
import { decimalDigitsOfDouble, jsonWriter } from "./json-values.js";
import { columnBytes, decimalWidth, isValid, readLongs } from "./result-vectors.js";

/**
 * One column of a result as JSON, from DuckDB's bytes to UTF-8 without a JavaScript value per cell: 40 ns each, where
 * values take 1,000, by the rules of json-values.ts. `load` takes the next chunk, then `write` its cells.
 */
export interface JsonCells {
  /** Takes a column of the chunk. Returns the most bytes that a cell of it takes. */
  load(chunk: DuckDBDataChunk, column: number, rows: number): number;
  /** Writes the cell to `out` from `at` on, where there is room for it and `slackBytes` more. Returns where it ends. */
  write(row: number, out: DataView, at: number): number;
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
  return new JsonTextCells(true);
}

function fastCells(type: DuckDBType): JsonCells | null {
  if (type instanceof DuckDBDecimalType) {
    return type.width <= decimalDigitsOfDouble ? decimalCells(type) : null;
  }
  // DuckDB's JSON type is text with an alias.
  if (type.alias !== undefined) return null;
  return cellsByType[type.typeId]?.() ?? null;
}

const cellsByType: Readonly<Partial<Record<DuckDBTypeId, () => JsonCells>>> = {
  [DuckDBTypeId.BOOLEAN]: () => new BooleanCells(),
  [DuckDBTypeId.TINYINT]: () => new IntegerCells(numbers(Int8Array)),
  [DuckDBTypeId.SMALLINT]: () => new IntegerCells(numbers(Int16Array)),
  [DuckDBTypeId.INTEGER]: () => new IntegerCells(numbers(Int32Array)),
  [DuckDBTypeId.UTINYINT]: () => new IntegerCells(numbers(Uint8Array)),
  [DuckDBTypeId.USMALLINT]: () => new IntegerCells(numbers(Uint16Array)),
  [DuckDBTypeId.UINTEGER]: () => new IntegerCells(numbers(Uint32Array)),
  [DuckDBTypeId.BIGINT]: () => new IntegerCells(longs),
  [DuckDBTypeId.UBIGINT]: () => new IntegerCells(unsignedLongs),
  [DuckDBTypeId.HUGEINT]: () => new IntegerCells(hugeIntegers),
  [DuckDBTypeId.FLOAT]: () => new DoubleCells(numbers(Float32Array)),
  [DuckDBTypeId.DOUBLE]: () => new DoubleCells(numbers(Float64Array)),
  [DuckDBTypeId.VARCHAR]: () => new JsonTextCells(false),
  [DuckDBTypeId.DATE]: () => new DateCells(),
  [DuckDBTypeId.TIMESTAMP]: () => new JsonTimestampCells(),
  [DuckDBTypeId.TIMESTAMP_TZ]: () => new JsonTimestampCells(),
};

/** How a column's values become doubles: one loop then writes them, whatever their type was. */
interface NumberForm {
  /** Bytes of a value in DuckDB. */
  readonly width: number;
  /** As near as a double comes, by row. */
  readonly read: (data: Uint8Array, rows: number, target: Float64Array) => void;
  /** All digits of an integer that is no safe one as a double. */
  readonly exact?: (view: DataView, row: number) => bigint;
}

interface NumberArray {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, offset: number, length: number): ArrayLike<number>;
}

function numbers(array: NumberArray): NumberForm {
  return {
    width: array.BYTES_PER_ELEMENT,
    read: ({ buffer, byteOffset }, rows, target) => target.set(new array(buffer, byteOffset, rows)),
  };
}

const wordValues = 4_294_967_296;

const longs: NumberForm = { width: 8, read: readLongs, exact: (view, row) => view.getBigInt64(row * 8, true) };

const unsignedLongs: NumberForm = {
  width: 8,
  read: ({ buffer, byteOffset }, rows, target) => {
    const words = new Uint32Array(buffer, byteOffset, rows * 2);
    for (let row = 0; row < rows; row++) {
      target[row] = (words[row * 2 + 1] as number) * wordValues + (words[row * 2] as number);
    }
  },
  exact: (view, row) => view.getBigUint64(row * 8, true),
};

const hugeIntegers: NumberForm = {
  width: 16,
  read: ({ buffer, byteOffset }, rows, target) => {
    const words = new Uint32Array(buffer, byteOffset, rows * 4);
    for (let row = 0; row < rows; row++) {
      const high = ((words[row * 4 + 3] as number) | 0) * wordValues + (words[row * 4 + 2] as number);
      target[row] = (high * wordValues + (words[row * 4 + 1] as number)) * wordValues + (words[row * 4] as number);
    }
  },
  exact: (view, row) => view.getBigInt64(row * 16 + 8, true) * 2n ** 64n + view.getBigUint64(row * 16, true),
};

/** The loaded chunk's bytes, and its values as doubles. */
class LoadedNumbers {
  validity: Uint8Array | null = null;
  values = new Float64Array(0);
  readonly #form: NumberForm;
  #view: DataView = new DataView(new ArrayBuffer(0));

  constructor(form: NumberForm) {
    this.#form = form;
  }

  load(chunk: DuckDBDataChunk, column: number, rows: number): void {
    const { data, validity } = columnBytes(chunk, column, this.#form.width);
    if (this.values.length < rows) this.values = new Float64Array(rows);
    this.#form.read(data, rows, this.values);
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.validity = validity;
  }

  exact(row: number): string {
    const { exact } = this.#form;
    assert(exact !== undefined, "integers of up to 32 bits are safe ones");
    return String(exact(this.#view, row));
  }
}

class IntegerCells implements JsonCells {
  readonly #loaded: LoadedNumbers;

  constructor(form: NumberForm) {
    this.#loaded = new LoadedNumbers(form);
  }

  load(chunk: DuckDBDataChunk, column: number, rows: number): number {
    this.#loaded.load(chunk, column, rows);
    return hugeBytesMax;
  }

  write(row: number, out: DataView, at: number): number {
    const { values, validity } = this.#loaded;
    if (!isValid(validity, row)) return writeNull(out, at);
    const value = values[row] as number;
    if (Number.isSafeInteger(value)) return writeInteger(value, out, at);
    return writeAscii(this.#loaded.exact(row), out, at);
  }
}

/** -2^127 has so many digits, and a sign. */
const hugeBytesMax = 40;

class DoubleCells implements JsonCells {
  readonly #loaded: LoadedNumbers;

  constructor(form: NumberForm) {
    this.#loaded = new LoadedNumbers(form);
  }

  load(chunk: DuckDBDataChunk, column: number, rows: number): number {
    this.#loaded.load(chunk, column, rows);
    return doubleBytesMax;
  }

  write(row: number, out: DataView, at: number): number {
    const { values, validity } = this.#loaded;
    return isValid(validity, row) ? writeDouble(values[row] as number, out, at) : writeNull(out, at);
  }
}

const decimalForms: Readonly<Record<number, NumberForm>> = { 2: numbers(Int16Array), 4: numbers(Int32Array), 8: longs };

/** As doubles, which hold up to 15 digits. */
function decimalCells({ width, scale }: DuckDBDecimalType): JsonCells {
  const form = decimalForms[decimalWidth(width)];
  assert(form !== undefined, "a decimal of up to 15 digits has 8 bytes at most");
  const divisor = 10 ** scale;
  const read: NumberForm["read"] = (data, rows, target) => {
    form.read(data, rows, target);
    for (let row = 0; row < rows; row++) target[row] = (target[row] as number) / divisor;
  };
  return new DoubleCells({ width: form.width, read });
}

class BooleanCells implements JsonCells {
  #data: Uint8Array = new Uint8Array(0);
  #validity: Uint8Array | null = null;

  load(chunk: DuckDBDataChunk, column: number): number {
    const { data, validity } = columnBytes(chunk, column, 1);
    this.#data = data;
    this.#validity = validity;
    return "false".length;
  }

  write(row: number, out: DataView, at: number): number {
    if (!isValid(this.#validity, row)) return writeNull(out, at);
    return writeAscii(this.#data[row] === 0 ? "false" : "true", out, at);
  }
}

const dayMs = 86_400_000;
/** Days since 1970 of years 0 to 9999, which have four digits. */
const plainDays = [-719_528, 2_932_896] as const;
const dateBytesMax = 40;

class DateCells implements JsonCells {
  readonly #write = jsonWriter(DATE);
  #days: Int32Array = new Int32Array(0);
  #validity: Uint8Array | null = null;
  /** Of neighbours, many are the same day. */
  #day = Number.NaN;
  #text = "";

  load(chunk: DuckDBDataChunk, column: number, rows: number): number {
    const { data, validity } = columnBytes(chunk, column, 4);
    this.#days = new Int32Array(data.buffer, data.byteOffset, rows);
    this.#validity = validity;
    return dateBytesMax;
  }

  write(row: number, out: DataView, at: number): number {
    if (!isValid(this.#validity, row)) return writeNull(out, at);
    return writeAscii(this.#textOf(this.#days[row] as number), out, at);
  }

  #textOf(day: number): string {
    if (day === this.#day) return this.#text;
    const isPlain = day >= plainDays[0] && day <= plainDays[1];
    this.#day = day;
    this.#text = isPlain
      ? `"${new Date(day * dayMs).toISOString().slice(0, 10)}"`
      : this.#write(new DuckDBDateValue(day));
    return this.#text;
  }
}

const textEncoder = new TextEncoder();

/** Any type, through a JavaScript value per cell. */
class ValueCells implements JsonCells {
  readonly #write: ReturnType<typeof jsonWriter>;
  #cells: Uint8Array[] = [];

  constructor(type: DuckDBType) {
    this.#write = jsonWriter(type);
  }

  load(chunk: DuckDBDataChunk, column: number, rows: number): number {
    const vector = chunk.getColumnVector(column);
    this.#cells = [];
    let bytesMax = 0;
    for (let row = 0; row < rows; row++) {
      const cell = textEncoder.encode(this.#write(vector.getItem(row)));
      this.#cells.push(cell);
      bytesMax = Math.max(bytesMax, cell.length);
    }
    return bytesMax;
  }

  write(row: number, out: DataView, at: number): number {
    const cell = this.#cells[row] as Uint8Array;
    new Uint8Array(out.buffer, at, cell.length).set(cell);
    return at + cell.length;
  }
}
