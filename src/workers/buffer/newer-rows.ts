import { IdTable } from "../../shared/columns/id-table.js";
import { MiniodbError } from "../../shared/errors.js";
import { parseRows } from "../../shared/formats/wal-record-v1-parse.js";
import { idFieldId } from "../../shared/schema/table-schema.js";
import type { ReadIds } from "./id-reader.js";
import type { TableBuffer } from "./table-buffer.js";

/**
 * Throws COMMIT_CONFLICT where a row of one of these ids was taken, replaced or deleted after `sequence`, or nobody knows any
 * more, as what came after it was flushed: then nothing may be done that rests on what was seen at that sequence. All rows of
 * the table must be in the buffer, the round's too, but for those that ask.
 */
export function refuseNewer(buffer: TableBuffer, ids: Pick<ReadIds, "count" | "column">, sequence: number): void {
  if (buffer.lastSequence <= sequence) return;
  if (buffer.flushedSequence <= sequence && !isNamedAfter(buffer, ids, sequence)) return;
  throw new MiniodbError("COMMIT_CONFLICT", "Rows of these ids were written at the same time: nothing was changed");
}

function isNamedAfter(
  buffer: TableBuffer,
  { count, column }: Pick<ReadIds, "count" | "column">,
  sequence: number,
): boolean {
  const table = new IdTable(count);
  for (let id = 0; id < count; id++) {
    table.put(column.text, column.offsets[id] as number, column.offsets[id + 1] as number, 1);
  }
  const { records } = buffer;
  for (let index = records.length - 1; index >= 0; index--) {
    const record = records[index];
    if (record === undefined || record.firstSequence + record.rowCount - 1 <= sequence) break;
    const { columns, rowCount } = parseRows(record.block.bytes, record.offset).batch;
    const named = columns.find(({ fieldId }) => fieldId === idFieldId);
    // A row without an id has an empty text, which no id is.
    for (let row = Math.max(0, sequence + 1 - record.firstSequence); named !== undefined && row < rowCount; row++) {
      const { values, offsets } = named;
      if (table.sequenceOf(values, offsets?.[row] ?? 0, offsets?.[row + 1] ?? 0) > 0) return true;
    }
  }
  return false;
}
