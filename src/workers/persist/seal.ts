import { renameSync, rmSync } from "node:fs";
import { assert } from "../../shared/assert.js";
import { failpoint } from "../../shared/failpoints.js";
import type { SealResult, SealTask } from "../../shared/messages.js";
import { writeParquetFile } from "./parquet-file.js";
import type { ParquetFormat } from "./parquet-writer.js";
import { rowsInRange } from "./row-source.js";
import { typeRows } from "./typed-rows.js";

/**
 * Hot segments are written once and read a few times within seconds: what counts is the time of both. No compression,
 * no dictionary, no statistics.
 */
const hotFormat: ParquetFormat = {
  compression: "none",
  statistics: false,
  rowGroupRows: 122_880,
  encodings: new Map(),
};

/**
 * Writes the rows of the range, in the order of their sequences, as a hot segment. Nothing is durable when it returns:
 * a crash loses the file, and the rows come back from the log. Readers see the whole file or none.
 */
export async function sealRows(task: SealTask): Promise<SealResult> {
  const { slice, schema, path, afterSequence, lastSequence } = task;
  const rows = typeRows(rowsInRange(slice, task), schema);
  assert(rows.rowCount > 0, "a seal has rows");
  const temporary = `${path}.tmp`;
  rmSync(temporary, { force: true });
  const source = { rows, order: null, from: 0, to: rows.rowCount };
  const { bytes } = await writeParquetFile(temporary, source, hotFormat);
  failpoint("seal.file.written");
  renameSync(temporary, path);
  failpoint("seal.file.named");
  return { kind: "sealed", rows: rows.rowCount, bytes, firstSequence: afterSequence + 1, lastSequence };
}
