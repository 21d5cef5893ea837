import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { assert } from "../../shared/assert.js";
import { decodeThriftStruct, type ThriftStruct, type ThriftValue } from "./thrift-compact.js";

/** What a Parquet file says of itself at its end. */
export interface ParquetFooter {
  readonly rows: number;
  /** By leaf column, in file order; -1 where the writer gave none. */
  readonly fieldIds: readonly number[];
  /** Of all column chunks, decompressed; texts of a dictionary count once per row group. */
  readonly uncompressedBytes: number;
  /** Per row group and leaf column in file order; null where the writer left statistics out. */
  readonly statistics: readonly (readonly (ChunkStatistics | null)[])[];
}

/** Of one column in one row group. Bounds are PLAIN-encoded values; texts may be cut, but bound all the same. */
export interface ChunkStatistics {
  readonly values: number;
  readonly nulls: number;
  readonly lower: Buffer | null;
  readonly upper: Buffer | null;
}

/**
 * Reads the footer and the file's length back after a write: the streaming writer of parquet-wasm drops without a word
 * what it fails to write, and the bounds that an encoder has computed on its way need not be computed again.
 *
 * ```
 * file            "PAR1" | row groups | FileMetaData | u32 length of FileMetaData | "PAR1"
 * FileMetaData    2 list<SchemaElement>, 3 num_rows, 4 list<RowGroup>
 * SchemaElement   5 num_children (inner nodes only: the first, in our files), 9 field_id
 * RowGroup        1 list<ColumnChunk>, 2 total_byte_size, 3 num_rows
 * ColumnChunk     3 ColumnMetaData
 * ColumnMetaData  5 num_values (nulls included), 12 Statistics
 * Statistics      3 null_count, 5 max_value, 6 min_value
 * ```
 * https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
 */
export function readParquetFooter(path: string): { readonly footer: ParquetFooter; readonly bytes: number } {
  const fd = openSync(path, "r");
  try {
    const { footer, footerOffset } = readFooterBytes(fd);
    return { footer: parseFooter(decodeThriftStruct(footer)), bytes: footerOffset + footer.length + tailBytes };
  } finally {
    closeSync(fd);
  }
}

/** Behind FileMetaData. */
const tailBytes = 8;

/** FileMetaData as it stands in the file, and where. */
export function readFooterBytes(fd: number): { readonly footer: Buffer; readonly footerOffset: number } {
  const { size } = fstatSync(fd);
  const tail = readAt(fd, Math.max(0, size - tailBytes), Math.min(size, tailBytes));
  assert(
    tail.length === tailBytes && tail.toString("latin1", 4) === "PAR1",
    "a Parquet file ends with its magic bytes",
  );
  const footerBytes = tail.readUInt32LE(0);
  assert(footerBytes + 12 <= size, "a Parquet footer lies within its file");
  const footerOffset = size - tailBytes - footerBytes;
  return { footer: readAt(fd, footerOffset, footerBytes), footerOffset };
}

function parseFooter(metadata: ThriftStruct): ParquetFooter {
  const groups = listOf(metadata.get(4)).map(structOf);
  const leaves = listOf(metadata.get(2))
    .map(structOf)
    .filter((element) => element.get(5) === undefined);
  return {
    rows: integerOf(metadata.get(3)),
    fieldIds: leaves.map((leaf) => integerOf(leaf.get(9) ?? -1)),
    uncompressedBytes: groups.reduce((sum, group) => sum + integerOf(group.get(2)), 0),
    statistics: groups.map((group) =>
      listOf(group.get(1)).map((chunk) => parseStatistics(structOf(structOf(chunk).get(3)))),
    ),
  };
}

function parseStatistics(column: ThriftStruct): ChunkStatistics | null {
  const statistics = column.get(12);
  if (statistics === undefined) return null;
  const fields = structOf(statistics);
  return {
    values: integerOf(column.get(5)),
    nulls: integerOf(fields.get(3) ?? 0),
    lower: bytesOf(fields.get(6)),
    upper: bytesOf(fields.get(5)),
  };
}

function structOf(value: ThriftValue | undefined): ThriftStruct {
  assert(value instanceof Map, "a struct is where the footer should have one");
  return value;
}

function listOf(value: ThriftValue | undefined): readonly ThriftValue[] {
  assert(Array.isArray(value), "a list is where the footer should have one");
  return value as readonly ThriftValue[];
}

function integerOf(value: ThriftValue | undefined): number {
  assert(typeof value === "number", "an integer is where the footer should have one");
  return value;
}

function bytesOf(value: ThriftValue | undefined): Buffer | null {
  return Buffer.isBuffer(value) ? value : null;
}

function readAt(fd: number, position: number, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  let done = 0;
  while (done < bytes) {
    const read = readSync(fd, buffer, done, bytes - done, position + done);
    assert(read > 0, "a file does not shrink while it is read");
    done += read;
  }
  return buffer;
}
