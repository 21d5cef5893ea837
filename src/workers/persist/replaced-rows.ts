import { assert } from "../../shared/assert.js";
import type { ColumnBatch, ColumnData } from "../../shared/columns/column-batch.js";
import { IdTable } from "../../shared/columns/id-table.js";
import { recordKinds } from "../../shared/formats/wal-record-v1.js";
import { idFieldId } from "../../shared/schema/table-schema.js";
import { isOfRows, type RecordPart, type RowSource } from "./row-source.js";
import { bitAt } from "./typed-rows.js";

/** What the replacing rows and tombstones of a range mean for the rows before them. */
export interface Replaced {
  /** Numbers of the source's rows that live, ascending; null: all of them. */
  readonly order: Uint32Array | null;
  /** Ids whose rows before the range do not count any more, each once, as the id column of a batch; null: there is none. */
  readonly ids: ColumnBatch | null;
}

const nothing: Replaced = { order: null, ids: null };

/**
 * Which rows of a range live at its end. `source` has the parts that are of rows, in their order:
 *
 * ```
 * sequence   1    2    3    4*   5    6†   7         * replaces   † tombstone
 * id         a    b    a    a    b    b    b
 * lives      -    -    -    x    -         x         ids: a (up to 4), b (up to 6)
 * ```
 * Ranges without such records cost nothing: that is the rule.
 */
export function findReplaced(parts: readonly RecordPart[], source: RowSource): Replaced {
  const acting = parts.filter(({ kind }) => kind !== recordKinds.rows);
  if (acting.length === 0) return nothing;
  const table = new IdTable(acting.reduce((sum, { from, to }) => sum + to - from, 0));
  for (const part of acting) note(table, part);
  const order = new Uint32Array(source.rowCount);
  let row = 0;
  let living = 0;
  for (const part of parts) {
    if (!isOfRows(part)) continue;
    living = keepLiving(table, part, { order, row, living });
    row += part.to - part.from;
  }
  assert(row === source.rowCount, "the source has the parts with rows");
  return { order: living === row ? null : order.subarray(0, living), ids: batchOf(table) };
}

function note(table: IdTable, { batch, from, to, firstSequence }: RecordPart): void {
  const { values, offsets, nullCount } = idsOf(batch);
  assert(offsets !== null && nullCount === 0, "what replaces and what is deleted has an id");
  for (let row = from; row < to; row++) {
    table.put(values, offsets[row] as number, offsets[row + 1] as number, firstSequence + row);
  }
}

/** Adds the part's rows that live; returns how many live so far. */
function keepLiving(
  table: IdTable,
  { batch, from, to, firstSequence }: RecordPart,
  found: { readonly order: Uint32Array; readonly row: number; readonly living: number },
): number {
  const { order, row: firstRow } = found;
  let { living } = found;
  const ids = batch.columns.find((column) => column.fieldId === idFieldId);
  for (let row = from; row < to; row++) {
    const isNull = ids === undefined || (ids.validity !== null && bitAt(ids.validity, row) === 0);
    if (!isNull) {
      const start = ids.offsets?.[row] ?? 0;
      const end = ids.offsets?.[row + 1] ?? 0;
      if (table.sequenceOf(ids.values, start, end) > firstSequence + row) continue;
    }
    order[living++] = firstRow + row - from;
  }
  return living;
}

function idsOf(batch: ColumnBatch): ColumnData {
  const ids = batch.columns.find((column) => column.fieldId === idFieldId);
  assert(ids !== undefined, "what replaces and what is deleted has an id");
  return ids;
}

function batchOf(table: IdTable): ColumnBatch {
  const { values, offsets } = table.texts();
  const column: ColumnData = { fieldId: idFieldId, type: "string", nullCount: 0, validity: null, values, offsets };
  return { rowCount: table.size, columns: [column] };
}
