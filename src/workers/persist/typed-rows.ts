import { assert } from "../../shared/assert.js";
import type { ColumnData } from "../../shared/columns/column-batch.js";
import { columnTypeTable, type ColumnType } from "../../shared/schema/column-type.js";
import { isDroppedField, type TableColumn, type TableSchema } from "../../shared/schema/table-schema.js";
import type { RowSource } from "./row-source.js";

/** The rows of a source under one schema: what is sorted, gathered and encoded. Parts are those of the source. */
export interface TypedRows {
  readonly rowCount: number;
  /** First row number of each part, then `rowCount`. */
  readonly starts: Uint32Array;
  /** Where in its views each part's rows start. */
  readonly froms: Uint32Array;
  readonly columns: readonly TypedColumn[];
}

/** One column over all parts. */
export interface TypedColumn {
  readonly column: TableColumn;
  /** By part; null where no row of the part has a value. */
  readonly views: readonly (ColumnView | null)[];
  readonly hasNulls: boolean;
}

/** A part's column. One shape for all types keeps the gather loops monomorphic; what a type lacks is empty. */
export interface ColumnView {
  readonly validity: Uint8Array | null;
  /** long, timestamp, double: [lo, hi] per row. */
  readonly words: Int32Array;
  /** boolean: bits; string, json: text. */
  readonly bytes: Uint8Array;
  readonly offsets: Int32Array;
  /** Accepted as long, to be written as double. */
  readonly isLongOfDouble: boolean;
}

export const noWords: Int32Array = new Int32Array(0);
export const noBytes: Uint8Array = new Uint8Array(0);

export function isText(type: ColumnType): boolean {
  return columnTypeTable[type].width === -1;
}

/** 1 where the bit is set. */
export function bitAt(bits: Uint8Array, index: number): number {
  return ((bits[index >> 3] as number) >> (index & 7)) & 1;
}

/**
 * The schema's columns that have a value somewhere in the source, and the required ones. A column that became double
 * also takes what was accepted as long, under its own field id or under the one that it replaces.
 */
export function typeRows(source: RowSource, schema: TableSchema): TypedRows {
  const indexByFieldId = new Map<number, number>();
  for (const [index, column] of schema.columns.entries()) {
    indexByFieldId.set(column.fieldId, index);
    if (column.replacesFieldId !== undefined) indexByFieldId.set(column.replacesFieldId, index);
  }
  const views = schema.columns.map((): (ColumnView | null)[] => new Array<null>(source.parts.length).fill(null));
  const isNullable = schema.columns.map(() => false);
  for (const [part, { batch }] of source.parts.entries()) {
    for (const data of batch.columns) {
      const index = indexByFieldId.get(data.fieldId);
      // Values of a column that was dropped since they were accepted.
      if (index === undefined && isDroppedField(schema, data.fieldId)) continue;
      // Dropping others in silence would be worse than stopping: the log still has them.
      assert(index !== undefined, `field ${data.fieldId} of a record is in the schema`);
      if (data.nullCount === batch.rowCount) continue;
      (views[index] as (ColumnView | null)[])[part] = viewOf(data, schema.columns[index] as TableColumn);
      if (data.nullCount > 0) isNullable[index] = true;
    }
  }
  const columns: TypedColumn[] = [];
  for (const [index, column] of schema.columns.entries()) {
    const columnViews = views[index] as (ColumnView | null)[];
    if (!column.required && columnViews.every((view) => view === null)) continue;
    const hasNulls = isNullable[index] === true || columnViews.includes(null);
    assert(!hasNulls || !column.required, `required column ${column.name} has a value in every row`);
    columns.push({ column, views: columnViews, hasNulls });
  }
  const froms = Uint32Array.from(source.parts, (part) => part.from);
  return { rowCount: source.rowCount, starts: source.starts, froms, columns };
}

/** The part that holds this row number, by bisection. */
export function partOfRow(starts: Uint32Array, row: number): number {
  let low = 0;
  let high = starts.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] as number) <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}

function viewOf(data: ColumnData, column: TableColumn): ColumnView {
  const isLongOfDouble = data.type === "long" && column.type === "double";
  const fits = isLongOfDouble || columnTypeTable[data.type].iceberg === columnTypeTable[column.type].iceberg;
  assert(fits, `a ${data.type} of a record fits column ${column.name}, which is ${column.type}`);
  const { validity, values } = data;
  if (columnTypeTable[data.type].width === 8) {
    return { validity, words: wordsOf(values), bytes: noBytes, offsets: noWords, isLongOfDouble };
  }
  return { validity, words: noWords, bytes: values, offsets: data.offsets ?? noWords, isLongOfDouble };
}

/** Records keep values at multiples of 8; batches from elsewhere may not, and are copied. */
function wordsOf(values: Uint8Array): Int32Array {
  const aligned = values.byteOffset % 4 === 0 ? values : values.slice();
  return new Int32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >> 2);
}
