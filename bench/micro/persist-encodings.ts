/**
 * Each column alone in each encoding, by our encoder and by parquet-wasm: `node dist/bench/micro/persist-encodings.js`.
 * Files are read back by DuckDB before a number is printed. ns and bytes are per value; the best of several runs.
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import type { ColumnEncoding } from "../../src/workers/persist/column-encodings.js";
import { writeRows, type ParquetFormat } from "../../src/workers/persist/parquet-writer.js";
import type { RowsToWrite } from "../../src/workers/persist/row-windows.js";
import { rowsInRange } from "../../src/workers/persist/row-source.js";
import { typeRows, type TypedColumn } from "../../src/workers/persist/typed-rows.js";
import { writeRowsWithWasm } from "../../src/workers/persist/wasm-parquet.js";
import { canCompress } from "../../src/workers/persist/zstd-frame.js";
import { benchRows } from "./persist-rows.js";

const rows = 131_072;
const repeats = 12;
const folder = mkdtempSync(join(tmpdir(), "miniodb-bench-encodings-"));
const encodings: Readonly<Record<string, readonly ColumnEncoding[]>> = {
  timestamp: ["plain", "delta"],
  value: ["plain", "dictionary"],
  count: ["plain", "delta", "dictionary"],
  device: ["delta-length", "dictionary"],
  region: ["delta-length", "dictionary"],
};

type Encoder = (path: string, source: RowsToWrite, format: ParquetFormat) => void | Promise<void>;
const encoders: Readonly<Record<string, Encoder>> = { own: writeRows, "parquet-wasm": writeRowsWithWasm };

async function measure(encode: Encoder, source: RowsToWrite, format: ParquetFormat): Promise<string> {
  let bestMs = Number.POSITIVE_INFINITY;
  let bytes = 0;
  for (let repeat = 0; repeat < repeats; repeat++) {
    const path = join(folder, `${randomUUID()}.parquet`);
    const start = performance.now();
    await encode(path, source, format);
    bestMs = Math.min(bestMs, performance.now() - start);
    bytes = statSync(path).size;
    if (repeat === 0) await check(path);
    rmSync(path);
  }
  return `${((bestMs * 1e6) / rows).toFixed(0).padStart(5)} ns ${(bytes / rows).toFixed(2).padStart(6)} B`;
}

const duckdb = await (await DuckDBInstance.create(":memory:")).connect();

async function check(path: string): Promise<void> {
  const result = await duckdb.runAndReadAll(`SELECT count(*) FROM read_parquet('${path}')`);
  if (Number(result.getRows()[0]?.[0]) !== rows) throw new Error("the file lost rows");
}

async function measureColumn(column: TypedColumn, typed: RowsToWrite["rows"]): Promise<void> {
  const { name } = column.column;
  const source = { rows: { ...typed, columns: [column] }, order: null, from: 0, to: rows };
  for (const encoding of encodings[name] ?? []) {
    const cells: string[] = [];
    for (const compression of ["zstd", "none"] as const) {
      for (const [encoder, encode] of Object.entries(encoders)) {
        const format = { compression, statistics: true, rowGroupRows: rows, encodings: new Map([[name, encoding]]) };
        cells.push(`${encoder} ${compression} ${await measure(encode, source, format)}`);
      }
    }
    console.log(`${name.padEnd(10)} ${encoding.padEnd(13)} ${cells.join("   ")}`);
  }
}

try {
  console.log(canCompress ? "ZSTD is Node's" : "this Node has no ZSTD: our frames are stored");
  const { slice, schema } = benchRows(rows, 8_192, 0);
  const typed = typeRows(rowsInRange(slice, { afterSequence: 0, lastSequence: rows }), schema);
  for (const column of typed.columns) await measureColumn(column, typed);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
