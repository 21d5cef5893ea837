import { assert } from "../../shared/assert.js";
import type { ColumnBounds } from "../../shared/messages.js";
import type { ColumnType } from "../../shared/schema/column-type.js";
import type { TableColumn } from "../../shared/schema/table-schema.js";
import type { ChunkStatistics, ParquetFooter } from "./parquet-footer.js";
import { lowerTextBound, upperTextBound } from "./text-bounds.js";

/** Iceberg's bounds of texts are about this short. */
const boundBytesMax = 16;

/**
 * A file's bounds and nulls by field id, from the statistics of its row groups; `columns` are the file's, in its order.
 * JSON-safe, as DataFile holds them.
 */
export function boundsOfFooter(
  footer: Pick<ParquetFooter, "statistics">,
  columns: readonly TableColumn[],
): Record<number, ColumnBounds> {
  const bounds: Record<number, ColumnBounds> = {};
  for (const [index, { fieldId, type }] of columns.entries()) {
    const chunks = footer.statistics.map((group) => {
      assert(group.length === columns.length, "a row group has every column of its file");
      return group[index] ?? null;
    });
    const { lower, upper, nulls } = mergeStatistics(chunks, type);
    bounds[fieldId] = { lower: lowerOf(lower, type), upper: upperOf(upper, type), nulls };
  }
  return bounds;
}

interface MergedStatistics {
  readonly lower: Buffer | null;
  readonly upper: Buffer | null;
  readonly nulls: number;
}

/** A row group that has values but no bounds leaves the whole file without. */
function mergeStatistics(chunks: readonly (ChunkStatistics | null)[], type: ColumnType): MergedStatistics {
  let merged: MergedStatistics = { lower: null, upper: null, nulls: 0 };
  let isUnbounded = false;
  for (const chunk of chunks) {
    assert(chunk !== null, "flushed files have statistics in every row group");
    const nulls = merged.nulls + chunk.nulls;
    if (chunk.lower === null || chunk.upper === null) {
      isUnbounded ||= chunk.nulls < chunk.values;
      merged = { ...merged, nulls };
      continue;
    }
    const isLower = merged.lower === null || compareValues(chunk.lower, merged.lower, type) < 0;
    const isUpper = merged.upper === null || compareValues(chunk.upper, merged.upper, type) > 0;
    merged = { lower: isLower ? chunk.lower : merged.lower, upper: isUpper ? chunk.upper : merged.upper, nulls };
  }
  return isUnbounded ? { lower: null, upper: null, nulls: merged.nulls } : merged;
}

function compareValues(left: Buffer, right: Buffer, type: ColumnType): number {
  switch (type) {
    case "long":
    case "timestamp": {
      const difference = left.readBigInt64LE(0) - right.readBigInt64LE(0);
      return difference < 0n ? -1 : difference > 0n ? 1 : 0;
    }
    case "double":
      return left.readDoubleLE(0) - right.readDoubleLE(0);
    case "boolean":
    case "string":
    case "json":
      return Buffer.compare(left, right);
  }
}

function lowerOf(bytes: Buffer | null, type: ColumnType): ColumnBounds["lower"] {
  if (bytes === null) return null;
  return type === "string" ? lowerTextBound(bytes, boundBytesMax) : valueOf(bytes, type);
}

function upperOf(bytes: Buffer | null, type: ColumnType): ColumnBounds["upper"] {
  if (bytes === null) return null;
  return type === "string" ? upperTextBound(bytes, boundBytesMax) : valueOf(bytes, type);
}

function valueOf(bytes: Buffer, type: Exclude<ColumnType, "string">): ColumnBounds["lower"] {
  switch (type) {
    case "long":
    case "timestamp":
      return bytes.readBigInt64LE(0).toString();
    case "double": {
      // JSON has no infinities: without a finite bound the file is not pruned by this column.
      const value = bytes.readDoubleLE(0);
      return Number.isFinite(value) ? value : null;
    }
    case "boolean":
      return bytes[0] === 1;
    // A bound on JSON text prunes nothing.
    case "json":
      return null;
  }
}
