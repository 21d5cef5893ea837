import { ReadableStream, type UnderlyingSource } from "node:stream/web";
import { closeSync, openSync, writeSync } from "node:fs";
import type { RecordBatch, Table, WriterProperties, WriterPropertiesBuilder } from "parquet-wasm";
import { assert } from "../../shared/assert.js";
import { MiniodbError } from "../../shared/errors.js";
import { ArrowStreamWriter, type ArrowChunk } from "./arrow-stream.js";
import { discardParquetEngine, isParquetTrap, parquetEngine } from "./parquet-engine.js";
import type { ParquetFormat } from "./parquet-writer.js";
import type { RowsToWrite } from "./row-windows.js";

/** A row group's encoded bytes are in memory until it is complete. */
const rowGroupBytesMax = 32 * 1024 * 1024;

/**
 * As writeRows, through parquet-wasm. It has a ZSTD of its own, at 10 to 15 ns per byte, and takes four times as long for
 * the rest: for columns that need compression on a Node without it. It drops without a word what its stream fails to
 * write, so the caller must count the rows in the footer.
 *
 * With `pause`, other work of this thread comes between its chunks, of 65,536 rows or less: parquet-wasm's own promises never
 * let the event loop go on.
 */
export async function writeRowsWithWasm(
  path: string,
  source: RowsToWrite,
  format: ParquetFormat,
  pause?: () => Promise<void>,
): Promise<void> {
  const fd = openSync(path, "wx");
  const write = (piece: Uint8Array): void => {
    for (let done = 0; done < piece.length;) done += writeSync(fd, piece, done);
  };
  try {
    const chunks = new ArrowStreamWriter(source).chunks();
    await encode(chunks, writerProperties(format), { write, pause });
  } catch (error) {
    if (!isParquetTrap(error)) throw error;
    discardParquetEngine();
    throw new MiniodbError("INTERNAL", "the Parquet encoder failed", { path }, error);
  } finally {
    closeSync(fd);
  }
}

interface Output {
  readonly write: (bytes: Uint8Array) => void;
  readonly pause: (() => Promise<void>) | undefined;
}

/** One chunk alone takes the synchronous way, which has no stream to set up. */
async function encode(chunks: Iterator<ArrowChunk>, properties: WriterProperties, output: Output): Promise<void> {
  const { Table, writeParquet } = parquetEngine();
  const first = chunks.next();
  assert(first.done !== true, "a file has rows");
  const table = Table.fromIPCStream(first.value.bytes);
  const second = chunks.next();
  if (second.done === true) {
    output.write(writeParquet(table, properties));
    return;
  }
  const secondTable = Table.fromIPCStream(second.value.bytes);
  const batches = new BatchFeed([firstBatchOf(table), firstBatchOf(secondTable)], chunks);
  await encodeStream(batches, properties, output);
}

/** The source of the stream that parquet-wasm pulls record batches from. */
class BatchFeed {
  /** What went wrong while a chunk was made; parquet-wasm would drop it. */
  failure: { readonly error: unknown } | undefined;
  /** After a failed write nothing more is to be read: what chunks are views of is reused. */
  isStopped = false;
  readonly #ready: RecordBatch[];
  readonly #chunks: Iterator<ArrowChunk>;

  constructor(ready: RecordBatch[], chunks: Iterator<ArrowChunk>) {
    this.#ready = ready;
    this.#chunks = chunks;
  }

  next(): RecordBatch | undefined {
    if (this.isStopped) return undefined;
    const ready = this.#ready.shift();
    if (ready !== undefined) return ready;
    try {
      const chunk = this.#chunks.next();
      if (chunk.done === true) return undefined;
      return firstBatchOf(parquetEngine().Table.fromIPCStream(chunk.value.bytes));
    } catch (error) {
      this.failure = { error };
      return undefined;
    }
  }
}

async function encodeStream(batches: BatchFeed, properties: WriterProperties, output: Output): Promise<void> {
  const { write, pause } = output;
  const source: UnderlyingSource<RecordBatch> = {
    pull: async (controller) => {
      await pause?.();
      const batch = batches.next();
      if (batch === undefined) controller.close();
      else controller.enqueue(batch);
    },
  };
  // Nothing is made ahead of demand: at most one batch waits in the encoder's memory.
  const stream = new ReadableStream(source, { highWaterMark: 0 });
  try {
    const encoded: ReadableStream<Uint8Array> = await parquetEngine().transformParquetStream(stream, properties);
    for await (const bytes of encoded) write(bytes);
  } finally {
    batches.isStopped = true;
  }
  if (batches.failure !== undefined) throw batches.failure.error;
}

function firstBatchOf(table: Table): RecordBatch {
  const batch = table.recordBatch(0);
  table.free();
  assert(batch !== undefined, "a chunk is one record batch");
  return batch;
}

function writerProperties(format: ParquetFormat): WriterProperties {
  const { Compression, EnabledStatistics, Encoding, WriterPropertiesBuilder } = parquetEngine();
  let builder: WriterPropertiesBuilder = new WriterPropertiesBuilder()
    .setCreatedBy("miniodb")
    .setCompression(format.compression === "zstd" ? Compression.ZSTD : Compression.UNCOMPRESSED)
    .setDictionaryEnabled(false)
    .setMaxRowGroupSize(format.rowGroupRows)
    .setMaxRowGroupBytes(rowGroupBytesMax)
    .setStatisticsEnabled(format.statistics ? EnabledStatistics.Chunk : EnabledStatistics.None);
  for (const [name, encoding] of format.encodings) {
    if (encoding === "dictionary") builder = builder.setColumnDictionaryEnabled(name, true);
    else if (encoding === "delta") builder = builder.setColumnEncoding(name, Encoding.DELTA_BINARY_PACKED);
    else if (encoding === "delta-length") builder = builder.setColumnEncoding(name, Encoding.DELTA_LENGTH_BYTE_ARRAY);
  }
  return builder.build();
}
