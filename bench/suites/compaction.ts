/**
 * Files of a table merged on request, against DuckDB's sorted COPY of the same files, and one-row writes beside merges. The
 * files lie one behind the other in time, as flushes of a live table leave them; in a second table each reaches over half
 * of the time, so that every row has to be sorted.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { cpuTable } from "../generate/cpu.js";
import type { GeneratedTable } from "../generate/generated-table.js";
import { Generator } from "../generate/generator.js";
import type { BenchContext, BenchServer, Suite } from "../harness/bench-context.js";
import { compactTable, rollBack, tagTable, type CompactionEnd } from "../harness/compact-table.js";
import { DuckDBReference } from "../harness/duckdb-reference.js";
import { expectRows, flushTable, sendBody, tableFiles } from "../harness/load-table.js";
import {
  formatCount,
  formatMegabytes,
  formatMicros,
  formatPercent,
  type Measurement,
  verdict,
} from "../harness/measurement.js";
import { queryFlags, queryMemoryBytes, queryThreads } from "../harness/query-flags.js";
import type { Latency } from "../load/job.js";

const mib = 1024 ** 2;
const rateShareMin = 0.6;
const sizeFactorMax = 1.05;
const p99FactorMax = 2;
/** Odd: one is the middle one. */
const besideTurns = 3;
const rowsPerSecond = 1_000;
const rowsPerBody = 100_000;
/** Enough to tell how many bytes a row has in a file. */
const sampleRows = 50_000;
/** Of the generated table's time: one day. */
const dayShare = 0.86;
/** What the writes go on beside. */
const table = "cpu";
/** Tag of the table with its small files. */
const before = "before";

/** A file is what a flush on request makes of it. */
const flags = [
  queryFlags,
  ["--flush-rows", "100000000", "--flush-bytes", "4GiB", "--flush-interval-ms", "1d"],
  ["--ingest-buffered-bytes-max", "4GiB", "--wal-bytes-max", "16GiB"],
].flat();

interface Shape {
  readonly name: string;
  readonly files: number;
  readonly fileBytes: number;
  /** Each file has rows of two times that lie half of all time apart. */
  readonly areOverlapping: boolean;
}

interface Rates {
  readonly shape: Shape;
  readonly merge: CompactionEnd;
  /** Of R's copies, before and after the merge. */
  readonly copyMs: readonly number[];
  readonly copyBytes: number;
}

export const compaction: Suite = {
  name: "compaction",
  async run(context) {
    return context.withServer(flags, async (server) => {
      const files = Number(process.env["MINIODB_BENCH_COMPACTION_FILES"] ?? context.pick(100, 10));
      const fileBytes = context.pick(10, 2) * mib;
      const generator = await Generator.open(context.makeFolder("generator"));
      const rowBytes = await bytesPerRow(context, server, generator);
      const shapes: readonly Shape[] = [
        { name: table, files, fileBytes, areOverlapping: false },
        { name: "late", files: Math.max(2, Math.round(files / 4)), fileBytes, areOverlapping: true },
      ];
      for (const shape of shapes) await loadFiles(context, server, { generator, shape, rowBytes });
      generator.close();
      await tagTable(server, table, before);
      const rows: Measurement[] = [];
      for (const shape of shapes) rows.push(...ratesRows(await race(context, server, shape)));
      return [...rows, await beside(context, server)];
    });
  },
};

interface Loading {
  readonly generator: Generator;
  readonly shape: Shape;
  readonly rowBytes: number;
}

/** Batches in the order of time, and a flush whenever there are rows for a file. */
async function loadFiles(
  context: BenchContext,
  server: BenchServer,
  { generator, shape, rowBytes }: Loading,
): Promise<void> {
  const { name, files, areOverlapping } = shape;
  const pieces = areOverlapping ? 2 : 1;
  const rowsPerPiece = Math.round(shape.fileBytes / rowBytes / pieces);
  const generated = cpuTable(Math.ceil((files * pieces * rowsPerPiece) / dayShare));
  for (let file = 0; file < files; file++) {
    for (let piece = 0; piece < pieces; piece++) {
      const start = (piece * files + file) * rowsPerPiece;
      const end = start + rowsPerPiece;
      for (let from = start; from < end; from += rowsPerBody) {
        await send(server, generator, { table: generated, from, to: Math.min(end, from + rowsPerBody) }, name);
      }
    }
    await flushTable(server, name);
  }
  const rowsPerFile = rowsPerPiece * pieces;
  await expectRows(server, name, files * rowsPerFile);
  context.progress(`${name}: ${files} files of ${formatCount(rowsPerFile)} rows`);
}

/** In a file that a flush makes of the same kind of rows, in a table of its own. */
async function bytesPerRow(context: BenchContext, server: BenchServer, generator: Generator): Promise<number> {
  const slice = { table: cpuTable(context.pick(10_000_000, 1_000_000)), from: 0, to: sampleRows };
  await send(server, generator, slice, "sample");
  await flushTable(server, "sample");
  const { files } = tableFiles(server.process.folder, "sample");
  return files.reduce((sum, file) => sum + statSync(file).size, 0) / sampleRows;
}

/** Rows [from, to). */
interface Slice {
  readonly table: GeneratedTable;
  readonly from: number;
  readonly to: number;
}

async function send(server: BenchServer, generator: Generator, slice: Slice, name: string): Promise<void> {
  const body = await generator.arrow(slice.table, slice.from, slice.to);
  await sendBody(server, `/v1/tables/${name}/rows`, "application/vnd.apache.arrow.stream", body);
}

/** R, the server, R again, over the same files: what else the machine does meets both. */
async function race(context: BenchContext, server: BenchServer, shape: Shape): Promise<Rates> {
  const { name, files } = shape;
  const sources = tableFiles(server.process.folder, name);
  if (sources.files.length !== files) throw new Error(`${sources.files.length} files instead of ${files}`);
  const folder = context.makeFolder(`copy-${name}`);
  const options = { threads: queryThreads, memoryBytes: queryMemoryBytes, folder, tables: [sources] };
  const reference = await DuckDBReference.open(options);
  const path = join(folder, "copy.parquet");
  const list = sources.files.map((file) => `'${file}'`).join(", ");
  const sql = `SELECT * FROM read_parquet([${list}], hive_partitioning = false) ORDER BY "timestamp"`;
  const copy = () => reference.ask("copy", { sql, path, options: "FORMAT parquet, COMPRESSION zstd" });
  const copyMs = [await copy()];
  const merge = await compactTable(server, name);
  copyMs.push(await copy());
  reference.close();
  if (merge.files_in !== files) throw new Error(`${merge.files_in} files were merged, not ${files}`);
  await expectRows(server, name, merge.rows);
  return { shape, merge, copyMs, copyBytes: statSync(path).size };
}

/** The mean of R's copies is what the server is held against. */
function ratesRows({ shape, merge, copyMs, copyBytes }: Rates): Measurement[] {
  const { files, areOverlapping } = shape;
  const kind = areOverlapping ? " that overlap" : "";
  const referenceMs = copyMs.reduce((sum, ms) => sum + ms, 0) / copyMs.length;
  const share = referenceMs / merge.elapsed_ms;
  const factor = merge.bytes_out / copyBytes;
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
  return [
    {
      measure: `compaction of ${files} files of ${formatMegabytes(merge.bytes_in / files)}${kind} on request`,
      target: `≥ ${formatPercent(rateShareMin)} of R's sorted COPY`,
      reached: `${seconds(merge.elapsed_ms)} = ${formatPercent(share)}`,
      reference: `R ${copyMs.map(seconds).join(" and ")}`,
      verdict: verdict(share >= rateShareMin),
      note: `${formatCount(merge.rows)} rows into ${merge.files_out} files, read back and compared before each commit; R copies into one file and compares nothing; ${queryThreads} threads each`,
    },
    {
      measure: `size after compaction of files${areOverlapping ? kind : " one behind the other"}`,
      target: `≤ ${sizeFactorMax} × R's COPY`,
      reached: `${formatMegabytes(merge.bytes_out)} = ${factor.toFixed(3)} ×`,
      reference: `R ${formatMegabytes(copyBytes)}`,
      verdict: verdict(factor <= sizeFactorMax),
      note: `${formatMegabytes(merge.bytes_in)} before`,
    },
  ];
}

/** Open loop, so that a write that waits counts for those behind it. Each turn's merges begin again from the state of before. */
async function beside(context: BenchContext, server: BenchServer): Promise<Measurement> {
  const job = {
    payload: "row-json",
    connections: 64,
    requestsPerSecond: rowsPerSecond,
    durationMs: context.pick(20_000, 4000),
  } as const;
  let rounds = 0;
  let mergedMs = 0;
  const merges = async ({ durationMs }: { readonly durationMs: number }): Promise<void> => {
    const endMs = performance.now() + durationMs;
    const isWanted = (): boolean => performance.now() < endMs;
    while (isWanted()) {
      await rollBack(server, table, before);
      mergedMs += (await compactTable(server, table, isWanted)).elapsed_ms;
      rounds++;
    }
  };
  const turns: Turn[] = [];
  for (let turn = 1; turn <= besideTurns; turn++) {
    const quiet = await context.load(server, { ...job, table: `quiet_rows_${turn}` });
    const busy = await context.load(server, { ...job, table: `busy_rows_${turn}` }, { beside: merges });
    turns.push({ quiet: quiet.latency, busy: busy.latency, factor: busy.latency.p99 / quiet.latency.p99 });
  }
  const { quiet, busy, factor } = turns.toSorted((left, right) => left.factor - right.factor)[besideTurns >> 1] as Turn;
  const factors = turns.map((turn) => turn.factor.toFixed(1)).join(", ");
  return {
    measure: "p99 of one-row writes beside a compaction",
    target: `≤ ${p99FactorMax} × without`,
    reached: `${formatMicros(busy.p99)} = ${factor.toFixed(1)} ×`,
    reference: `${formatMicros(quiet.p99)} without`,
    verdict: verdict(factor <= p99FactorMax),
    note: `the middle one of these turns: ${factors}; open loop, ${formatCount(rowsPerSecond)} rows/s; ${rounds} compactions, ${(mergedMs / 1000).toFixed(1)} of ${(besideTurns * job.durationMs) / 1000} s; p50 ${formatMicros(busy.p50)} and ${formatMicros(quiet.p50)}; slowest write ${formatMicros(Math.max(...turns.map((turn) => turn.busy.max)))}`,
  };
}

/** Writes without merges, and then beside them. */
interface Turn {
  readonly quiet: Latency;
  readonly busy: Latency;
  /** Of the p99. */
  readonly factor: number;
}
