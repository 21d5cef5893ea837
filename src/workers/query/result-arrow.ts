import type { DuckDBDataChunk, DuckDBType } from "@duckdb/node-api";
import { DuckDBDecimalType, DuckDBTypeId } from "../../shared/duckdb-api.js";
import {
  Binary,
  Bool,
  type DataType,
  DateDay,
  Decimal,
  Field,
  Float32,
  Float64,
  Int16,
  Int32,
  Int64,
  Int8,
  Schema,
  Table,
  tableToIPC,
  TimeMicrosecond,
  TimestampMicrosecond,
  TimestampNanosecond,
  Uint16,
  Uint32,
  Uint64,
  Uint8,
  Utf8,
} from "apache-arrow";
import { BufferRegion, FieldNode, Message, RecordBatch } from "apache-arrow/ipc/metadata/message";
import { assert } from "../../shared/assert.js";
import { ArrowColumn, type ArrowColumnKind } from "./result-arrow-column.js";
import { decimalWidth } from "./result-vectors.js";

/** Rows and text of one record batch, so that a reader can work batch by batch; a chunk more than the rows fits in. */
const batchRowsMax = 65_536;
const batchTextBytesMax = 16 * 1024 * 1024;

/**
 * Chunks of a result as an Arrow IPC stream, copied column by column.
 * https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format
 *
 * ```
 * schema message | per batch: ffffffff | i32 metadata bytes | RecordBatch flatbuffer, padded | body | ffffffff 00000000
 * body, per column: validity (none without NULL) | offsets of texts | values, each padded to 8
 * ```
 */
export class ArrowResult {
  readonly #columns: readonly ArrowColumn[];
  readonly #head: Uint8Array;
  #rows = 0;

  /** Types for which `arrowForm` has a form. */
  constructor(columns: readonly { readonly name: string; readonly type: DuckDBType }[]) {
    const fields: Field[] = [];
    this.#columns = columns.map(({ name, type }) => {
      const form = arrowForm(type);
      assert(form !== null, "a column that Arrow has no form for is not sent as one");
      fields.push(new Field(name, form.type, true));
      return new ArrowColumn(form.kind);
    });
    const stream = tableToIPC(new Table(new Schema(fields)), "stream");
    this.#head = stream.slice(0, stream.length - endOfStream.length);
  }

  /** What a stream begins with. */
  get head(): Uint8Array {
    return this.#head;
  }

  /** There are as many rows or bytes as a batch should have. */
  get isFull(): boolean {
    return this.#rows >= batchRowsMax || this.#columns.some((column) => column.textBytes >= batchTextBytesMax);
  }

  get rows(): number {
    return this.#rows;
  }

  /** Copies the first `rows` rows of the chunk. */
  append(chunk: DuckDBDataChunk, rows: number): void {
    for (const [index, column] of this.#columns.entries()) column.append(chunk, index, rows);
    this.#rows += rows;
  }

  /** The rows since the last batch as the next one, in parts that are valid until the next `append`. */
  takeBatch(): Uint8Array[] {
    const nodes: FieldNode[] = [];
    const regions: BufferRegion[] = [];
    const parts: Uint8Array[] = [];
    let bodyBytes = 0;
    for (const column of this.#columns) {
      nodes.push(new FieldNode(this.#rows, column.nulls));
      for (const buffer of column.buffers()) {
        regions.push(new BufferRegion(bodyBytes, buffer.length));
        parts.push(buffer, padding.subarray(0, padTo8(buffer.length) - buffer.length));
        bodyBytes += padTo8(buffer.length);
      }
    }
    const metadata = Message.encode(Message.from(new RecordBatch(this.#rows, nodes, regions, null), bodyBytes));
    const metadataBytes = padTo8(metadata.length);
    const head = new Uint8Array(8 + metadataBytes);
    const words = new DataView(head.buffer);
    words.setUint32(0, 0xffffffff, true);
    words.setInt32(4, metadataBytes, true);
    head.set(metadata, 8);
    for (const column of this.#columns) column.clear();
    this.#rows = 0;
    return [head, ...parts];
  }
}

const padding = new Uint8Array(8);

/** What a stream ends with. */
export const endOfStream = new Uint8Array([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

function padTo8(bytes: number): number {
  return (bytes + 7) & ~7;
}

interface ArrowForm {
  readonly type: DataType;
  readonly kind: ArrowColumnKind;
}

/** Null: the type is nested, or not one of those that portableExpression leaves. */
export function arrowForm(type: DuckDBType): ArrowForm | null {
  if (type instanceof DuckDBDecimalType) {
    return {
      type: new Decimal(type.scale, type.width, 128),
      kind: { values: "decimal", width: decimalWidth(type.width) },
    };
  }
  return forms[type.typeId] ?? null;
}

function fixed(type: DataType, width: number): ArrowForm {
  return { type, kind: { values: "fixed", width } };
}

/** Where DuckDB and Arrow have the same bytes, but for booleans, decimals and texts. */
const forms: Readonly<Partial<Record<DuckDBTypeId, ArrowForm>>> = {
  [DuckDBTypeId.BOOLEAN]: { type: new Bool(), kind: { values: "boolean", width: 1 } },
  [DuckDBTypeId.TINYINT]: fixed(new Int8(), 1),
  [DuckDBTypeId.SMALLINT]: fixed(new Int16(), 2),
  [DuckDBTypeId.INTEGER]: fixed(new Int32(), 4),
  [DuckDBTypeId.BIGINT]: fixed(new Int64(), 8),
  [DuckDBTypeId.UTINYINT]: fixed(new Uint8(), 1),
  [DuckDBTypeId.USMALLINT]: fixed(new Uint16(), 2),
  [DuckDBTypeId.UINTEGER]: fixed(new Uint32(), 4),
  [DuckDBTypeId.UBIGINT]: fixed(new Uint64(), 8),
  [DuckDBTypeId.FLOAT]: fixed(new Float32(), 4),
  [DuckDBTypeId.DOUBLE]: fixed(new Float64(), 8),
  [DuckDBTypeId.DATE]: fixed(new DateDay(), 4),
  [DuckDBTypeId.TIME]: fixed(new TimeMicrosecond(), 8),
  [DuckDBTypeId.TIMESTAMP]: fixed(new TimestampMicrosecond(), 8),
  [DuckDBTypeId.TIMESTAMP_TZ]: fixed(new TimestampMicrosecond("UTC"), 8),
  [DuckDBTypeId.TIMESTAMP_NS]: fixed(new TimestampNanosecond(), 8),
  [DuckDBTypeId.VARCHAR]: { type: new Utf8(), kind: { values: "text", width: 16 } },
  [DuckDBTypeId.BLOB]: { type: new Binary(), kind: { values: "text", width: 16 } },
};
