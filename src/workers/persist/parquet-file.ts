import { rmSync } from "node:fs";
import { assert } from "../../shared/assert.js";
import { gainsByCompression } from "./compression-gain.js";
import { readParquetFooter, type ParquetFooter } from "./parquet-footer.js";
import { writeRows, writeRowsWithPauses, type ParquetFormat } from "./parquet-writer.js";
import type { RowsToWrite } from "./row-windows.js";
import { canCompress } from "./zstd-frame.js";

export interface ParquetFile {
  readonly bytes: number;
  readonly footer: ParquetFooter;
}

/**
 * Writes the rows as one Parquet file and reads its footer back. Not durable: the file may be in the page cache only. On
 * an error no file is left.
 *
 * With `pause`, other work of this thread comes between its columns, or chunks of rows. Our own encoder does it, but where ZSTD
 * is wanted, this Node has none (before 22.15), and a column would gain by it.
 */
export async function writeParquetFile(
  path: string,
  source: RowsToWrite,
  format: ParquetFormat,
  pause?: () => Promise<void>,
): Promise<ParquetFile> {
  try {
    const isLackingZstd = format.compression === "zstd" && !canCompress;
    // parquet-wasm has no Bloom filters: they are worth more to who asked for them than the bytes.
    const isOurs = !isLackingZstd || format.filterFieldId !== undefined;
    if (!isOurs && gainsByCompression(source.rows, format.encodings)) {
      // Loaded where it is needed only: it brings the Arrow library and a WebAssembly module with it.
      const { writeRowsWithWasm } = await import("./wasm-parquet.js");
      await writeRowsWithWasm(path, source, format, pause);
    } else if (pause === undefined) writeRows(path, source, format);
    else await writeRowsWithPauses(path, source, format, pause);
    const { footer, bytes } = readParquetFooter(path);
    assert(footer.rows === source.to - source.from, "the footer counts every row that was to be written");
    return { bytes, footer };
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}
