import type { ColumnType } from "../schema/column-type.js";

/**
 * Rows as typed columns, in Arrow's memory layout and immutable. The same bytes serve the WAL record, the table
 * buffer and the Arrow table that Parquet is written from; the arrays may be views on shared memory.
 */
export interface ColumnBatch {
  readonly rowCount: number;
  /** A schema column that is absent here is null in every row. */
  readonly columns: readonly ColumnData[];
}

export interface ColumnData {
  readonly fieldId: number;
  /** The type when the rows were accepted; a later schema may have widened long to double. */
  readonly type: ColumnType;
  readonly nullCount: number;
  /** Bit per row, least significant first, 1 = present; null when nullCount is 0. */
  readonly validity: Uint8Array | null;
  /**
   * 8 little-endian bytes per row (long, timestamp in µs since 1970, double), bits (boolean), or text bytes (UTF-8).
   */
  readonly values: Uint8Array;
  /** Start of each row's text in `values`, rowCount + 1 entries; null for types of fixed width. */
  readonly offsets: Int32Array | null;
}
