import { renameSync, rmSync } from "node:fs";
import { assert } from "../../shared/assert.js";
import { failpoint } from "../../shared/failpoints.js";
import type { ReplacedIds, SealResult, SealTask } from "../../shared/messages.js";
import { writeParquetFile } from "./parquet-file.js";
import type { ParquetFormat } from "./parquet-writer.js";
import { writeIdFile } from "./id-file.js";
import { findReplaced, type Replaced } from "./replaced-rows.js";
import { isOfRows, recordsInRange, rowSourceOf } from "./row-source.js";
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

const everything: Replaced = { order: null, ids: null };

/**
 * Writes the rows of the range that live at its end, in the order of their sequences, as a hot segment, and the ids of which
 * it takes earlier rows out, as a file beside it. Nothing is durable when it returns: a crash loses the files, and the rows
 * come back from the log. Readers see a whole file or none; on an error neither is left.
 */
export async function sealRows(task: SealTask): Promise<SealResult> {
  try {
    return await writeFiles(task);
  } catch (error) {
    // Nobody hears of them any more, and the next seal has names of its own.
    for (const suffix of ["", ".tmp", ".ids", ".ids.tmp"]) removeQuietly(task.path + suffix);
    throw error;
  }
}

async function writeFiles(task: SealTask): Promise<SealResult> {
  const { slice, schema, path, afterSequence, lastSequence } = task;
  const parts = recordsInRange(slice, task);
  const rowSource = rowSourceOf(parts.filter(isOfRows));
  const { order, ids } = task.withReplaced === true ? everything : findReplaced(parts, rowSource);
  const rows = order === null ? rowSource.rowCount : order.length;
  assert(rows > 0 || ids !== null, "a seal has rows, or takes some out");
  const replaced = ids === null ? null : await writeIds(path, ids);
  const range = { firstSequence: afterSequence + 1, lastSequence, replaced };
  if (rows === 0) return { kind: "sealed", rows: 0, bytes: 0, ...range };
  const temporary = `${path}.tmp`;
  rmSync(temporary, { force: true });
  const source = { rows: typeRows(rowSource, schema), order, from: 0, to: rows };
  const { bytes } = await writeParquetFile(temporary, source, hotFormat);
  failpoint("seal.file.written");
  renameSync(temporary, path);
  failpoint("seal.file.named");
  return { kind: "sealed", rows, bytes, ...range };
}

async function writeIds(path: string, ids: NonNullable<Replaced["ids"]>): Promise<ReplacedIds> {
  const idPath = `${path}.ids`;
  const temporary = `${idPath}.tmp`;
  rmSync(temporary, { force: true });
  const written = await writeIdFile(temporary, ids, hotFormat);
  renameSync(temporary, idPath);
  return { ...written, path: idPath };
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The error that led here says more; what stays goes at the next start.
  }
}
