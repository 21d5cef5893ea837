import {
  Bool,
  Field,
  Float64,
  Int64,
  Schema,
  Table,
  TimestampMicrosecond,
  Utf8,
  tableToIPC,
  type DataType,
} from "apache-arrow";
import { BufferRegion, FieldNode, Message, RecordBatch } from "apache-arrow/ipc/metadata/message";
import { assert } from "../../shared/assert.js";
import type { ColumnType } from "../../shared/schema/column-type.js";
import type { TableColumn } from "../../shared/schema/table-schema.js";
import {
  gatherBooleans,
  gatherOffsets,
  gatherText,
  gatherValidity,
  gatherWords,
  select,
  shorten,
  type Selection,
} from "./gather.js";
import { windowsOf, type RowsToWrite } from "./row-windows.js";
import { isText, noWords, type TypedColumn, type TypedRows } from "./typed-rows.js";

/**
 * A chunk is in memory three times for a moment: gathered, copied into WebAssembly memory, and parsed there. Its size
 * sets the high-water mark of both memories.
 */
const chunkRowsMax = 65_536;
const chunkBytesMax = 6 * 1024 * 1024;

/** Rows as a whole Arrow IPC stream. Valid until the writer's next chunk. */
export interface ArrowChunk {
  readonly rowCount: number;
  readonly bytes: Uint8Array;
}

/**
 * Rows as Arrow IPC streams of one record batch each, gathered straight into the stream's bytes: no Arrow objects, no
 * second copy. https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format
 *
 * ```
 * schema message | ffffffff | i32 metadata bytes | RecordBatch flatbuffer, padded | body | ffffffff 00000000
 * body, per column: validity (only where a null is possible) | offsets or values | text, each padded to 8
 * ```
 */
export class ArrowStreamWriter {
  readonly #source: RowsToWrite;
  /** Of the window in hand. */
  #rows: TypedRows;
  readonly #chunkRows: number;
  readonly #schemaMessage: Uint8Array;
  readonly #bodyOffset: number;
  /** By column; null where it is not text. */
  readonly #offsets: readonly (Int32Array | null)[];
  #scratch = new Uint8Array(0);

  constructor(source: RowsToWrite) {
    const { rows } = source;
    this.#source = source;
    this.#rows = rows;
    this.#chunkRows = Math.min(chunkRowsOf(rows.columns), rows.rowCount);
    this.#schemaMessage = schemaMessage(rows.columns.map(({ column }) => column));
    this.#offsets = rows.columns.map(({ column }) =>
      isText(column.type) ? new Int32Array(this.#chunkRows + 1) : null,
    );
    // The flatbuffer's size depends on the number of columns only, as no number in it is zero.
    const { regions } = this.#layout(1);
    const metadata = batchMetadata({ rowCount: 1, regions, bodyBytes: 8, nulls: regions.map(() => 1) });
    this.#bodyOffset = padTo8(this.#schemaMessage.length + 8 + metadata.length);
  }

  /** In chunks of bounded size. */
  *chunks(): Generator<ArrowChunk, undefined> {
    for (const { rows, order, from, to } of windowsOf(this.#source, this.#chunkRows)) {
      this.#rows = rows;
      for (let position = from; position < to;) {
        const chunk = this.#write(select(rows, order, position, to));
        position += chunk.rowCount;
        yield chunk;
      }
    }
  }

  #write(wanted: Selection): ArrowChunk {
    const rowCount = this.#gatherOffsets(wanted);
    const selection = rowCount === wanted.rowCount ? wanted : shorten(wanted, rowCount);
    const { regions, bodyBytes } = this.#layout(rowCount);
    const total = this.#bodyOffset + bodyBytes + endOfStream.length;
    if (this.#scratch.length < total) this.#scratch = new Uint8Array(total + (total >> 3));
    const scratch = this.#scratch;
    const nulls = regions.map((region, index) => this.#gatherColumn(index, region, selection));
    const metadata = batchMetadata({ rowCount, regions, bodyBytes, nulls });
    const head = this.#schemaMessage.length;
    const metadataBytes = this.#bodyOffset - head - 8;
    assert(metadata.length <= metadataBytes, "the metadata fits the room left for it");
    scratch.set(this.#schemaMessage, 0);
    const view = new DataView(scratch.buffer);
    view.setUint32(head, 0xffff_ffff, true);
    view.setInt32(head + 4, metadataBytes, true);
    scratch.set(metadata, head + 8);
    scratch.fill(0, head + 8 + metadata.length, this.#bodyOffset);
    scratch.set(endOfStream, total - endOfStream.length);
    return { rowCount, bytes: scratch.subarray(0, total) };
  }

  /** Fills `#offsets`, and returns how many of the rows have text that fits a chunk: at least one. */
  #gatherOffsets(selection: Selection): number {
    let fitting = selection.rowCount;
    const texts: Int32Array[] = [];
    for (const [index, column] of this.#rows.columns.entries()) {
      const offsets = this.#offsets[index] ?? null;
      if (offsets === null) continue;
      fitting = Math.min(fitting, gatherOffsets(column, selection, offsets, chunkBytesMax));
      texts.push(offsets);
    }
    const bytesOf = (rows: number): number => texts.reduce((sum, offsets) => sum + (offsets[rows] as number), 0);
    let low = 1;
    while (low < fitting) {
      const middle = (low + fitting + 1) >> 1;
      if (bytesOf(middle) <= chunkBytesMax) low = middle;
      else fitting = middle - 1;
    }
    return low;
  }

  #layout(rowCount: number): { readonly regions: ColumnRegions[]; readonly bodyBytes: number } {
    const bitmapBytes = (rowCount + 7) >> 3;
    let at = 0;
    const region = (bytes: number): Region => {
      const start = at;
      at = padTo8(at + bytes);
      return { offset: start, bytes };
    };
    const regions = this.#rows.columns.map(({ column, hasNulls }, index) => {
      const validity = region(hasNulls ? bitmapBytes : 0);
      const texts = this.#offsets[index] ?? null;
      if (texts === null) {
        return { validity, offsets: null, values: region(column.type === "boolean" ? bitmapBytes : rowCount * 8) };
      }
      return { validity, offsets: region((rowCount + 1) * 4), values: region(texts[rowCount] as number) };
    });
    return { regions, bodyBytes: at };
  }

  /** Returns the column's nulls. */
  #gatherColumn(index: number, region: ColumnRegions, selection: Selection): number {
    const column = this.#rows.columns[index] as TypedColumn;
    const body = this.#scratch;
    const bytesOf = ({ offset, bytes }: Region): Uint8Array => {
      return body.subarray(this.#bodyOffset + offset, this.#bodyOffset + offset + bytes);
    };
    const wordsOf = ({ offset, bytes }: Region): Int32Array => {
      return new Int32Array(body.buffer, this.#bodyOffset + offset, bytes >> 2);
    };
    if (region.offsets !== null) {
      wordsOf(region.offsets).set((this.#offsets[index] ?? noWords).subarray(0, selection.rowCount + 1));
      gatherText(column, selection, bytesOf(region.values));
    } else if (column.column.type === "boolean") gatherBooleans(column, selection, bytesOf(region.values));
    else gatherWords(column, selection, wordsOf(region.values));
    return column.hasNulls ? gatherValidity(column, selection, bytesOf(region.validity)) : 0;
  }
}

interface Region {
  /** From the start of the body. */
  readonly offset: number;
  readonly bytes: number;
}

interface ColumnRegions {
  readonly validity: Region;
  readonly offsets: Region | null;
  readonly values: Region;
}

interface BatchLayout {
  readonly rowCount: number;
  readonly regions: readonly ColumnRegions[];
  readonly bodyBytes: number;
  /** By column. */
  readonly nulls: readonly number[];
}

const endOfStream = new Uint8Array([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

function batchMetadata({ rowCount, regions, bodyBytes, nulls }: BatchLayout): Uint8Array {
  const nodes = nulls.map((count) => new FieldNode(rowCount, count));
  const buffers: BufferRegion[] = [];
  for (const { validity, offsets, values } of regions) {
    buffers.push(new BufferRegion(validity.offset, validity.bytes));
    if (offsets !== null) buffers.push(new BufferRegion(offsets.offset, offsets.bytes));
    buffers.push(new BufferRegion(values.offset, values.bytes));
  }
  return Message.encode(Message.from(new RecordBatch(rowCount, nodes, buffers, null), bodyBytes));
}

const arrowTypes: Record<ColumnType, () => DataType> = {
  boolean: () => new Bool(),
  long: () => new Int64(),
  double: () => new Float64(),
  string: () => new Utf8(),
  timestamp: () => new TimestampMicrosecond("UTC"),
  json: () => new Utf8(),
};

/** Field ids travel to Parquet in the metadata key that arrow-rs and pyarrow agree on. */
function schemaMessage(columns: readonly TableColumn[]): Uint8Array {
  const fields = columns.map(({ name, type, required, fieldId }) => {
    return new Field(name, arrowTypes[type](), !required, new Map([["PARQUET:field_id", String(fieldId)]]));
  });
  const stream = tableToIPC(new Table(new Schema(fields)), "stream");
  return stream.subarray(0, stream.length - endOfStream.length);
}

function chunkRowsOf(columns: readonly TypedColumn[]): number {
  let rowBytes = 0;
  for (const { column } of columns) rowBytes += isText(column.type) ? 4 : column.type === "boolean" ? 1 : 8;
  return Math.max(1, Math.min(chunkRowsMax, Math.floor(chunkBytesMax / rowBytes)));
}

function padTo8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
