import { open, unlink } from "node:fs/promises";
import { assert } from "../../shared/assert.js";
import { discardParquetEngine, isParquetTrap, parquetEngine } from "../persist/parquet-engine.js";
import type { ExecuteTask, ExecutionPlace, ResultRows } from "./execute-statement.js";
import { tooLarge } from "./result-sink.js";
import type { ResultColumn } from "./result-columns.js";
import { copyResult, openSink } from "./result-copy.js";
import { portableSelectList } from "./result-portable.js";

/** parquet-wasm has the whole file in its memory, and the batches beside it. */
const parquetBytesMax = 256 * 1024 * 1024;
const options = "FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE 65536";

/**
 * Rows with nested columns as an Arrow IPC stream: DuckDB writes Parquet, parquet-wasm makes Arrow of it.
 * Takes longer than result-arrow.ts, but lists, structs and maps nest as they like. Throws RESULT_TOO_LARGE.
 */
export async function nestedArrow(
  task: ExecuteTask,
  place: ExecutionPlace,
  columns: readonly ResultColumn[],
): Promise<Omit<ResultRows, "columns">> {
  const bytesMax = Math.min(place.resultFileBytesMax, parquetBytesMax);
  const request = { columns, selectList: portableSelectList(columns), options };
  const { body, rows, hasMore } = await copyResult(task, { ...place, resultFileBytesMax: bytesMax }, request);
  assert(body.kind !== "pieces", "DuckDB writes Parquet to a file, of which a small one is read back");
  const parquet = body.kind === "bytes" ? body.bytes : await readAndRemove(body.path, body.bytes);
  const sink = openSink(place);
  try {
    await sink.write(arrowStream(parquet));
    return { body: await sink.finish(), rows, hasMore };
  } catch (error) {
    await sink.abandon();
    throw error;
  }
}

function arrowStream(parquet: Uint8Array): Uint8Array {
  try {
    return parquetEngine().readParquet(parquet, { batchSize: 65_536 }).intoIPCStream();
  } catch (error) {
    // A trap is its memory having come to its end, and leaves it unusable.
    if (!isParquetTrap(error)) throw error;
    discardParquetEngine();
    throw tooLarge(parquetBytesMax);
  }
}

async function readAndRemove(path: string, bytes: number): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    const { bytesRead, buffer } = await file.read(new Uint8Array(bytes), 0, bytes, 0);
    assert(bytesRead === bytes, "a result file is read to its end");
    return buffer;
  } finally {
    await file.close();
    await unlink(path).catch(() => {});
  }
}
