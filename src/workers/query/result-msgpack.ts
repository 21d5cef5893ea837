import type { DuckDBDataChunk, DuckDBType } from "@duckdb/node-api";
import { DuckDBTypeId } from "../../shared/duckdb-api.js";
import { assert } from "../../shared/assert.js";
import { tooLarge } from "./result-sink.js";
import { MsgpackBuffer } from "./result-msgpack-buffer.js";
import {
  type ColumnBytes,
  columnBytes,
  gatherSlackBytes,
  gatherTexts,
  isValid,
  textLengths,
  textWidth,
} from "./result-vectors.js";

/**
 * Chunks of a result as one MessagePack map of columns, for results that a client takes into memory as a whole.
 * https://github.com/msgpack/msgpack/blob/master/spec.md
 *
 * ```
 *   { "types": { name: DuckDB's type, ... }, "columns": { name: [value of row 0, of row 1, ...], ... } }
 * ```
 * | column                                  | value                                                            |
 * |-----------------------------------------|------------------------------------------------------------------|
 * | BOOLEAN                                 | bool                                                             |
 * | integers up to 64 bits                  | int or uint, of the fewest bytes                                 |
 * | FLOAT, DOUBLE                           | float 32, float 64; NaN and infinities as they are               |
 * | TIMESTAMP (_NS), TIMESTAMPTZ            | timestamp (extension -1); infinite ones nil                      |
 * | VARCHAR                                 | str                                                              |
 * | BLOB                                    | bin                                                              |
 * | NULL                                    | nil                                                              |
 *
 * All others come as text: msgpackExpression of result-portable.ts says how.
 */
export class MsgpackResult {
  readonly #columns: readonly MsgpackColumn[];
  readonly #bytesMax: number;

  /** Columns as msgpackSelectList leaves them; `typeText` is what the statement's own column was. */
  constructor(
    columns: readonly { readonly name: string; readonly type: DuckDBType; readonly typeText: string }[],
    bytesMax: number,
  ) {
    this.#columns = columns.map((column) => new MsgpackColumn(column.name, column.type, column.typeText));
    this.#bytesMax = bytesMax;
  }

  /** Takes the first `rows` rows. Throws RESULT_TOO_LARGE. */
  append(chunk: DuckDBDataChunk, rows: number): void {
    let bytes = 0;
    for (const [index, column] of this.#columns.entries()) {
      column.append(columnBytes(chunk, index, column.width), rows);
      bytes += column.bytes;
    }
    if (bytes > this.#bytesMax) throw tooLarge(this.#bytesMax);
  }

  finish(): Uint8Array {
    const out = new MsgpackBuffer(64 * 1024);
    out.map(2);
    out.text("types");
    out.map(this.#columns.length);
    for (const { name, typeText } of this.#columns) {
      out.text(name);
      out.text(typeText);
    }
    out.text("columns");
    out.map(this.#columns.length);
    for (const column of this.#columns) {
      out.text(column.name);
      out.array(column.rows);
      out.raw(column.values());
    }
    return out.bytes();
  }
}

type Put = (out: MsgpackBuffer, view: DataView, at: number) => void;

interface MsgpackForm {
  /** Bytes of a value in DuckDB. */
  readonly width: number;
  /** Absent for texts. */
  readonly put?: Put;
}

/** DuckDB's infinity of timestamps, in any unit; minus infinity is its negative. */
const infinite = 2n ** 63n - 1n;

/** Seconds since 1970 and nanoseconds of `count` units of a second's `perSecond`-th part. */
function putTimestamp(out: MsgpackBuffer, count: bigint, perSecond: bigint): void {
  if (count === infinite || count === -infinite) return out.nil();
  let seconds = count / perSecond;
  let rest = count % perSecond;
  if (rest < 0n) [seconds, rest] = [seconds - 1n, rest + perSecond];
  out.timestamp(seconds, Number(rest * (1_000_000_000n / perSecond)));
}

/** Exact for what a double holds, which is most: BigInt costs four times as much. */
function putMicros(out: MsgpackBuffer, view: DataView, at: number): void {
  const micros = view.getInt32(at + 4, true) * 4_294_967_296 + view.getUint32(at, true);
  if (!Number.isSafeInteger(micros)) return putTimestamp(out, view.getBigInt64(at, true), 1_000_000n);
  const seconds = Math.floor(micros / 1_000_000);
  const nanos = (micros - seconds * 1_000_000) * 1000;
  if (seconds < 0 || seconds >= 2 ** 34) return out.timestamp(BigInt(seconds), nanos);
  out.timestamp64(seconds, nanos);
}

/** Both words as one double tell whether 32 bits do; what is beyond goes through BigInt, which keeps every digit. */
function putInt64(out: MsgpackBuffer, view: DataView, at: number): void {
  const number = view.getInt32(at + 4, true) * 4_294_967_296 + view.getUint32(at, true);
  if (number >= -0x80000000 && number <= 0xffffffff) out.integer(number);
  else out.int64(view.getBigInt64(at, true));
}

function putUint64(out: MsgpackBuffer, view: DataView, at: number): void {
  if (view.getUint32(at + 4, true) === 0) out.integer(view.getUint32(at, true));
  else out.uint64(view.getBigUint64(at, true));
}

const forms: Readonly<Partial<Record<DuckDBTypeId, MsgpackForm>>> = {
  [DuckDBTypeId.BOOLEAN]: { width: 1, put: (out, view, at) => out.boolean(view.getUint8(at) !== 0) },
  [DuckDBTypeId.TINYINT]: { width: 1, put: (out, view, at) => out.integer(view.getInt8(at)) },
  [DuckDBTypeId.SMALLINT]: { width: 2, put: (out, view, at) => out.integer(view.getInt16(at, true)) },
  [DuckDBTypeId.INTEGER]: { width: 4, put: (out, view, at) => out.integer(view.getInt32(at, true)) },
  [DuckDBTypeId.BIGINT]: { width: 8, put: putInt64 },
  [DuckDBTypeId.UTINYINT]: { width: 1, put: (out, view, at) => out.integer(view.getUint8(at)) },
  [DuckDBTypeId.USMALLINT]: { width: 2, put: (out, view, at) => out.integer(view.getUint16(at, true)) },
  [DuckDBTypeId.UINTEGER]: { width: 4, put: (out, view, at) => out.integer(view.getUint32(at, true)) },
  [DuckDBTypeId.UBIGINT]: { width: 8, put: putUint64 },
  [DuckDBTypeId.FLOAT]: { width: 4, put: (out, view, at) => out.float32(view.getFloat32(at, true)) },
  [DuckDBTypeId.DOUBLE]: { width: 8, put: (out, view, at) => out.float64(view.getFloat64(at, true)) },
  [DuckDBTypeId.TIMESTAMP]: { width: 8, put: putMicros },
  [DuckDBTypeId.TIMESTAMP_TZ]: { width: 8, put: putMicros },
  [DuckDBTypeId.TIMESTAMP_NS]: {
    width: 8,
    put: (out, view, at) => putTimestamp(out, view.getBigInt64(at, true), 1_000_000_000n),
  },
  [DuckDBTypeId.VARCHAR]: { width: textWidth },
  [DuckDBTypeId.BLOB]: { width: textWidth },
};

/** The values of one column as they will stand in its array, whose length is known in the end only. */
class MsgpackColumn {
  readonly name: string;
  readonly typeText: string;
  readonly width: number;
  readonly #put: Put | undefined;
  readonly #isBlob: boolean;
  readonly #out = new MsgpackBuffer(4096);
  #lengths = new Uint32Array(0);
  #rows = 0;

  constructor(name: string, type: DuckDBType, typeText: string) {
    const form = forms[type.typeId];
    assert(form !== undefined, "a column that MessagePack has no form for is selected as text");
    this.name = name;
    this.typeText = typeText;
    this.width = form.width;
    this.#put = form.put;
    this.#isBlob = type.typeId === DuckDBTypeId.BLOB;
  }

  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    return this.#out.length;
  }

  values(): Uint8Array {
    return this.#out.bytes();
  }

  append(column: ColumnBytes, rows: number): void {
    const { data, validity } = column;
    const put = this.#put;
    this.#rows += rows;
    if (put === undefined) return this.#appendTexts(column, rows);
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    for (let row = 0; row < rows; row++) {
      if (isValid(validity, row)) put(this.#out, view, row * this.width);
      else this.#out.nil();
    }
  }

  #appendTexts(column: ColumnBytes, rows: number): void {
    if (this.#lengths.length < rows) this.#lengths = new Uint32Array(rows);
    const texts = new Uint8Array(textLengths(column, rows, this.#lengths) + gatherSlackBytes);
    gatherTexts(column, rows, this.#lengths, texts);
    for (let row = 0, at = 0; row < rows; row++) {
      const length = this.#lengths[row] as number;
      if (!isValid(column.validity, row)) {
        this.#out.nil();
        continue;
      }
      if (this.#isBlob) this.#out.blobHead(length);
      else this.#out.textHead(length);
      this.#out.part(texts, at, length);
      at += length;
    }
  }
}
