import { closeSync, openSync, writeSync } from "node:fs";
import { BloomFilter } from "./bloom-filter.js";
import { ByteBuffer } from "./byte-buffer.js";
import { writeColumnChunk } from "./column-chunk.js";
import type { ColumnEncoding } from "./column-encodings.js";
import { writeFileMetadata, type ColumnChunk, type ParquetCodec, type RowGroup } from "./parquet-format.js";
import { windowsOf, type RowsToWrite } from "./row-windows.js";
import { ThriftWriter } from "./thrift-writer.js";

export interface ParquetFormat {
  /** ZSTD, or no compression. */
  readonly compression: ParquetCodec;
  /** Per row group and column, for readers that skip row groups. */
  readonly statistics: boolean;
  readonly rowGroupRows: number;
  /** Columns that are not named are plain; texts then have their lengths apart. */
  readonly encodings: ReadonlyMap<string, ColumnEncoding>;
  /** A column of texts that gets a Bloom filter. */
  readonly filterFieldId?: number;
}

const magic = Buffer.from("PAR1");
/** Small pieces are written together. */
const writeBytes = 256 * 1024;

/**
 * Writes rows as one Parquet file, column by column straight from the record's bytes, reading nothing twice. In memory are one
 * page of values and the encoded pages of one column and row group.
 *
 * ```
 * "PAR1" | row group: column chunk, column chunk, ... | row group | ... | FileMetaData | u32 its length | "PAR1"
 * column chunk: dictionary page, where there is one | data pages
 * Bloom filter: behind its row group
 * ```
 */
export function writeRows(path: string, source: RowsToWrite, format: ParquetFormat): void {
  const chunks = writeChunks(path, source, format);
  while (chunks.next().done !== true);
}

/** As writeRows, and waits for `pause` after each column chunk, so that a thread gets to what it does besides. */
export async function writeRowsWithPauses(
  path: string,
  source: RowsToWrite,
  format: ParquetFormat,
  pause: () => Promise<void>,
): Promise<void> {
  for (const _chunk of writeChunks(path, source, format)) await pause();
}

/** Yields behind each column chunk; scratch memory of the thread is nobody's then. The file is closed at the end, whatever the end is. */
function* writeChunks(path: string, source: RowsToWrite, format: ParquetFormat): Generator<undefined, undefined> {
  const file = new FileWriter(path);
  try {
    file.write(magic);
    const rowGroups: RowGroup[] = [];
    for (const window of windowsOf(source, format.rowGroupRows)) {
      rowGroups.push(yield* writeRowGroup(file, window, format));
    }
    const footer = new ByteBuffer();
    writeFileMetadata(new ThriftWriter(footer), {
      columns: source.rows.columns.map(({ column }) => column),
      rowGroups,
    });
    footer.uint32(footer.length);
    footer.append(magic);
    file.write(footer.bytes);
    file.flush();
  } finally {
    file.close();
  }
}

/** Yields behind each column chunk. */
function* writeRowGroup(
  file: FileWriter,
  window: RowsToWrite,
  format: ParquetFormat,
): Generator<undefined, RowGroup, undefined> {
  const rows = window.to - window.from;
  const write = (bytes: Uint8Array): void => file.write(bytes);
  const filter = format.filterFieldId === undefined ? null : new BloomFilter(rows);
  const chunks: ColumnChunk[] = [];
  for (const column of window.rows.columns) {
    const isFiltered = column.column.fieldId === format.filterFieldId;
    const encoding = format.encodings.get(column.column.name) ?? "plain";
    const chunkFormat = { encoding, codec: format.compression, statistics: format.statistics };
    const target = { offset: file.bytes, write };
    chunks.push(writeColumnChunk(column, window, { ...chunkFormat, filter: isFiltered ? filter : null }, target));
    yield;
  }
  if (filter === null) return { rows, chunks };
  const filtered = chunks.map((chunk) => {
    if (chunk.column.fieldId !== format.filterFieldId) return chunk;
    const bytes = filter.encode();
    const place = { offset: file.bytes, bytes: bytes.length };
    file.write(bytes);
    return { ...chunk, filter: place };
  });
  return { rows, chunks: filtered };
}

class FileWriter {
  /** Written so far, the waiting ones included. */
  bytes = 0;
  readonly #fd: number;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;

  constructor(path: string) {
    this.#fd = openSync(path, "wx");
  }

  /** Keeps `bytes` until they are written. */
  write(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.bytes += bytes.length;
    if (this.#waitingBytes >= writeBytes) this.flush();
  }

  flush(): void {
    const bytes = Buffer.concat(this.#waiting, this.#waitingBytes);
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
