import { ReadableStream, type UnderlyingSource } from "node:stream/web";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import type { RecordBatch, Table, WriterProperties, WriterPropertiesBuilder } from "parquet-wasm";
import { assert } from "../../shared/assert.js";
import { MiniodbError } from "../../shared/errors.js";
import type { ArrowChunk } from "./arrow-stream.js";
import type { ColumnEncoding } from "./column-encodings.js";
import { discardParquetEngine, isParquetTrap, parquetEngine } from "./parquet-engine.js";
import { readParquetFooter, type ParquetFooter } from "./parquet-footer.js";

export interface ParquetFormat {
  readonly compression: "zstd" | "lz4" | "none";
  /** Per row group and column, for readers that skip row groups. */
  readonly statistics: boolean;
  readonly rowGroupRows: number;
  /** Columns that are not named are plain. */
  readonly encodings: ReadonlyMap<string, ColumnEncoding>;
}

/** A row group's encoded bytes are in memory until it is complete. */
const rowGroupBytesMax = 32 * 1024 * 1024;

export interface ParquetFile {
  readonly bytes: number;
  readonly footer: ParquetFooter;
}

/**
 * Writes the chunks, which share one schema, as one Parquet file, and reads its footer back. Chunks are asked for
 * one at a time, so that a chunk may be a view on memory that the next one overwrites. Not durable: the file may be in
 * the page cache only. On an error no file is left.
 */
export async function writeParquetFile(
  path: string,
  chunks: Iterator<ArrowChunk>,
  format: ParquetFormat,
): Promise<ParquetFile> {
  const fd = openSync(path, "wx");
  let bytes = 0;
  let rows = 0;
  const write = (piece: Uint8Array): void => {
    for (let done = 0; done < piece.length;) done += writeSync(fd, piece, done);
    bytes += piece.length;
  };
  try {
    try {
      rows = await encode(chunks, writerProperties(format), write);
    } finally {
      closeSync(fd);
    }
    const footer = readParquetFooter(path);
    assert(footer.rows === rows, "the footer counts every row that was written");
    return { bytes, footer };
  } catch (error) {
    rmSync(path, { force: true });
    if (!isParquetTrap(error)) throw error;
    discardParquetEngine();
    throw new MiniodbError("INTERNAL", "the Parquet encoder failed", { path }, error);
  }
}

type Write = (bytes: Uint8Array) => void;

/** One chunk alone takes the synchronous way, which has no stream to set up. */
async function encode(chunks: Iterator<ArrowChunk>, properties: WriterProperties, write: Write): Promise<number> {
  const { Table, writeParquet } = parquetEngine();
  const first = chunks.next();
  assert(first.done !== true, "a file has rows");
  const { rowCount } = first.value;
  const table = Table.fromIPCStream(first.value.bytes);
  const second = chunks.next();
  if (second.done === true) {
    write(writeParquet(table, properties));
    return rowCount;
  }
  const secondTable = Table.fromIPCStream(second.value.bytes);
  const batches = new BatchFeed([firstBatchOf(table), firstBatchOf(secondTable)], chunks);
  await encodeStream(batches, properties, write);
  return batches.rowCount + rowCount + second.value.rowCount;
}

/** The source of the stream that parquet-wasm pulls record batches from. */
class BatchFeed {
  rowCount = 0;
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
      this.rowCount += chunk.value.rowCount;
      return firstBatchOf(parquetEngine().Table.fromIPCStream(chunk.value.bytes));
    } catch (error) {
      this.failure = { error };
      return undefined;
    }
  }
}

async function encodeStream(batches: BatchFeed, properties: WriterProperties, write: Write): Promise<void> {
  const source: UnderlyingSource<RecordBatch> = {
    pull: (controller) => {
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
  const compression = { zstd: Compression.ZSTD, lz4: Compression.LZ4_RAW, none: Compression.UNCOMPRESSED };
  let builder: WriterPropertiesBuilder = new WriterPropertiesBuilder()
    .setCreatedBy("miniodb")
    .setCompression(compression[format.compression])
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
