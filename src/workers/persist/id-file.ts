import { assert } from "../../shared/assert.js";
import type { ColumnBatch } from "../../shared/columns/column-batch.js";
import type { ReplacedIds } from "../../shared/messages.js";
import { idColumn, idFieldId, type TableSchema } from "../../shared/schema/table-schema.js";
import { writeParquetFile } from "./parquet-file.js";
import type { ParquetFormat } from "./parquet-writer.js";
import { rowSourceOf } from "./row-source.js";
import { typeRows } from "./typed-rows.js";

/** Of one column, so that DuckDB joins with it. */
const idSchema: TableSchema = {
  version: 0,
  lastFieldId: idFieldId,
  columns: [{ fieldId: idFieldId, name: idColumn, type: "string", required: true }],
};

const textDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Writes a batch of ids, each there once, as a Parquet file of the column `id`. Not durable. */
export async function writeIdFile(path: string, ids: ColumnBatch, format: ParquetFormat): Promise<ReplacedIds> {
  const rows = typeRows(rowSourceOf([{ batch: ids, from: 0, to: ids.rowCount }]), idSchema);
  const { bytes } = await writeParquetFile(path, { rows, order: null, from: 0, to: ids.rowCount }, format);
  const { lower, upper } = boundsOf(ids);
  return { path, bytes, count: ids.rowCount, lower: textDecoder.decode(lower), upper: textDecoder.decode(upper) };
}

/** By their bytes, as Iceberg and Parquet order texts. */
function boundsOf({ rowCount, columns }: ColumnBatch): { readonly lower: Uint8Array; readonly upper: Uint8Array } {
  const [ids] = columns;
  assert(ids !== undefined && ids.offsets !== null && rowCount > 0, "a file of ids has some");
  const { values, offsets } = ids;
  const idAt = (row: number): Uint8Array => values.subarray(offsets[row], offsets[row + 1]);
  let lower = idAt(0);
  let upper = lower;
  for (let row = 1; row < rowCount; row++) {
    const id = idAt(row);
    if (Buffer.compare(id, lower) < 0) lower = id;
    else if (Buffer.compare(id, upper) > 0) upper = id;
  }
  return { lower, upper };
}
