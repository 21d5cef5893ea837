import type { ColumnType } from "../../shared/schema/column-type.js";
import type { TableColumn } from "../../shared/schema/table-schema.js";
import { thriftTypes, type ThriftWriter } from "./thrift-writer.js";
import type { ValueBounds } from "./value-bounds.js";

/**
 * The numbers and structs of the Parquet format that our files use.
 * https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
 */
export const parquetEncodings = { plain: 0, levels: 3, delta: 5, "delta-length": 6, dictionary: 8 } as const;
export type ParquetEncoding = keyof typeof parquetEncodings;

export const parquetCodecs = { none: 0, zstd: 6 } as const;
export type ParquetCodec = keyof typeof parquetCodecs;

const physicalTypes: Record<ColumnType, number> = { boolean: 0, long: 2, double: 5, string: 6, timestamp: 2, json: 6 };
const pageTypes = { data: 0, dictionary: 2 } as const;
const convertedTypes = { utf8: 0, timestampMicros: 10 } as const;
const { i32, i64, struct, binary } = thriftTypes;

export interface PageHeader {
  readonly kind: keyof typeof pageTypes;
  readonly encoding: ParquetEncoding;
  /** Nulls included. */
  readonly values: number;
  readonly bytes: number;
  readonly compressedBytes: number;
}

export function writePageHeader(out: ThriftWriter, header: PageHeader): void {
  out.beginStruct();
  out.integer(1, i32, pageTypes[header.kind]);
  out.integer(2, i32, header.bytes);
  out.integer(3, i32, header.compressedBytes);
  out.beginStruct(header.kind === "data" ? 5 : 7);
  out.integer(1, i32, header.values);
  out.integer(2, i32, parquetEncodings[header.encoding]);
  if (header.kind === "data") {
    out.integer(3, i32, parquetEncodings.levels);
    out.integer(4, i32, parquetEncodings.levels);
  }
  out.endStruct();
  out.endStruct();
}

/** What the footer says of one column in one row group. Offsets are in the file, bytes include page headers. */
export interface ColumnChunk {
  readonly column: TableColumn;
  readonly codec: ParquetCodec;
  readonly encodings: readonly ParquetEncoding[];
  readonly values: number;
  readonly bytes: number;
  readonly compressedBytes: number;
  /** Null where there is no dictionary. */
  readonly dictionaryOffset: number | null;
  readonly dataOffset: number;
  /** Null where the file has no statistics. */
  readonly statistics: { readonly nulls: number; readonly bounds: ValueBounds | null } | null;
  /** Its Bloom filter, header included. */
  readonly filter?: { readonly offset: number; readonly bytes: number };
}

export interface RowGroup {
  readonly rows: number;
  readonly chunks: readonly ColumnChunk[];
}

export interface FileMetadata {
  readonly columns: readonly TableColumn[];
  readonly rowGroups: readonly RowGroup[];
}

export function writeFileMetadata(out: ThriftWriter, { columns, rowGroups }: FileMetadata): void {
  out.beginStruct();
  out.integer(1, i32, 2);
  out.beginList(2, struct, columns.length + 1);
  out.beginStruct();
  out.text(4, "table");
  out.integer(5, i32, columns.length);
  out.endStruct();
  for (const column of columns) writeSchemaElement(out, column);
  out.integer(
    3,
    i64,
    rowGroups.reduce((sum, { rows }) => sum + rows, 0),
  );
  out.beginList(4, struct, rowGroups.length);
  for (const [ordinal, group] of rowGroups.entries()) writeRowGroup(out, group, ordinal);
  out.text(6, "miniodb version 1 (build 1)");
  // Bounds count only where the order of a column's values is said: the one that its type defines.
  out.beginList(7, struct, columns.length);
  for (const _ of columns) {
    out.beginStruct();
    out.emptyStruct(1);
    out.endStruct();
  }
  out.endStruct();
}

function writeSchemaElement(out: ThriftWriter, { name, type, required, fieldId }: TableColumn): void {
  const isText = type === "string" || type === "json";
  out.beginStruct();
  out.integer(1, i32, physicalTypes[type]);
  out.integer(3, i32, required ? 0 : 1);
  out.text(4, name);
  if (isText) out.integer(6, i32, convertedTypes.utf8);
  if (type === "timestamp") out.integer(6, i32, convertedTypes.timestampMicros);
  out.integer(9, i32, fieldId);
  if (isText) {
    out.beginStruct(10);
    out.emptyStruct(1);
    out.endStruct();
  }
  if (type === "timestamp") {
    out.beginStruct(10);
    out.beginStruct(8);
    out.boolean(1, true);
    out.beginStruct(2);
    out.emptyStruct(2);
    out.endStruct();
    out.endStruct();
    out.endStruct();
  }
  out.endStruct();
}

function writeRowGroup(out: ThriftWriter, { rows, chunks }: RowGroup, ordinal: number): void {
  const total = (bytesOf: (chunk: ColumnChunk) => number): number =>
    chunks.reduce((sum, chunk) => sum + bytesOf(chunk), 0);
  out.beginStruct();
  out.beginList(1, struct, chunks.length);
  for (const chunk of chunks) writeColumnChunk(out, chunk);
  out.integer(
    2,
    i64,
    total(({ bytes }) => bytes),
  );
  out.integer(3, i64, rows);
  out.integer(
    6,
    i64,
    total(({ compressedBytes }) => compressedBytes),
  );
  // 16 bits: readers do without it in the few files that have more.
  if (ordinal < 32_768) out.integer(7, thriftTypes.i16, ordinal);
  out.endStruct();
}

function writeColumnChunk(out: ThriftWriter, chunk: ColumnChunk): void {
  out.beginStruct();
  out.integer(2, i64, 0);
  out.beginStruct(3);
  out.integer(1, i32, physicalTypes[chunk.column.type]);
  out.beginList(2, i32, chunk.encodings.length);
  for (const encoding of chunk.encodings) out.integerItem(parquetEncodings[encoding]);
  out.beginList(3, binary, 1);
  out.binaryItem(Buffer.from(chunk.column.name));
  out.integer(4, i32, parquetCodecs[chunk.codec]);
  out.integer(5, i64, chunk.values);
  out.integer(6, i64, chunk.bytes);
  out.integer(7, i64, chunk.compressedBytes);
  out.integer(9, i64, chunk.dataOffset);
  if (chunk.dictionaryOffset !== null) out.integer(11, i64, chunk.dictionaryOffset);
  if (chunk.statistics !== null) {
    const { nulls, bounds } = chunk.statistics;
    out.beginStruct(12);
    out.integer(3, i64, nulls);
    if (bounds !== null) {
      out.binary(5, bounds.upper);
      out.binary(6, bounds.lower);
    }
    out.endStruct();
  }
  if (chunk.filter !== undefined) {
    out.integer(14, i64, chunk.filter.offset);
    out.integer(15, i32, chunk.filter.bytes);
  }
  out.endStruct();
  out.endStruct();
}
