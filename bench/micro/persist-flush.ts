/**
 * Flush and seal against DuckDB's COPY of the same rows, in one run: `node dist/bench/micro/persist-flush.js [rows]`.
 * CPU time is of the whole process, compiler threads included. The rows that were written are counted before a number
 * is printed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultCatalogOptions } from "../../src/shared/iceberg/catalog-options.js";
import { initialSchema } from "../../src/shared/schema/table-schema.js";
import { StoreHealth } from "../../src/shared/store/store-health.js";
import { flushRows } from "../../src/workers/persist/flush.js";
import { parquetMemoryBytes } from "../../src/workers/persist/parquet-engine.js";
import { openPersistContext } from "../../src/workers/persist/persist-context.js";
import { sealRows } from "../../src/workers/persist/seal.js";
import { benchRows, type BenchRows } from "./persist-rows.js";

const stream = "66666666-6666-4666-8666-666666666666";
const rows = Number(process.argv[2] ?? 1_000_000);
const repeats = 5;
const mebibyte = 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), "miniodb-bench-persist-"));

interface Timing {
  readonly wallMs: number;
  readonly cpuMs: number;
}

/** The best of the repeats, by wall time. */
async function best(count: number, act: (repeat: number) => Promise<void>): Promise<Timing> {
  let best: Timing = { wallMs: Number.POSITIVE_INFINITY, cpuMs: 0 };
  for (let repeat = 0; repeat < count; repeat++) {
    const cpu = process.cpuUsage();
    const start = performance.now();
    await act(repeat);
    const wallMs = performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    if (wallMs < best.wallMs) best = { wallMs, cpuMs: (user + system) / 1000 };
  }
  return best;
}

function print(what: string, timing: Timing, count: number): void {
  const perCore = ((count / timing.cpuMs) * 1000) / 1e6;
  const columns = [
    what.padEnd(44),
    `${timing.wallMs.toFixed(2).padStart(9)} ms`,
    `${timing.cpuMs.toFixed(1).padStart(9)} ms CPU`,
  ];
  console.log([...columns, `${perCore.toFixed(2).padStart(6)} M rows/s per core`].join("  "));
}

async function benchFlush(name: string, { slice, schema }: BenchRows): Promise<void> {
  const context = await openPersistContext({
    store: { kind: "local", folder: join(folder, "warehouse") },
    temporaryFolder: join(folder, "temporary"),
    partitionsPerRound: 100,
    compactionMemoryBytes: 128 * mebibyte,
    catalog: defaultCatalogOptions,
    lowPriority: false,
    storeHealth: new StoreHealth().memory,
    stopWord: new SharedArrayBuffer(4),
  });
  const { identity } = await context.catalog.createTable({ name, schema: initialSchema, settings: {} });
  const range = { afterSequence: 0, lastSequence: rows };
  let bytes = 0;
  const timing = await best(repeats, async (repeat) => {
    // A stream of its own for each repeat: the positions of all begin at 0.
    const task = {
      kind: "flush",
      identity,
      stream: `${stream}-${repeat}`,
      schema,
      settings: {},
      slice,
      ...range,
    } as const;
    const { delta } = await flushRows(context, task);
    const added = delta?.added ?? [];
    if (added.reduce((sum, file) => sum + file.rows, 0) !== rows) throw new Error("the flush lost rows");
    bytes = added.reduce((sum, file) => sum + file.bytes, 0);
  });
  print(`flush ${name}, ${(bytes / rows).toFixed(1)} B/row`, timing, rows);
}

async function benchSeal(count: number): Promise<void> {
  const { slice, schema } = benchRows(count, 1_000, 0);
  const path = join(folder, `seal-${count}.parquet`);
  const task = { kind: "seal", slice, schema, afterSequence: 0, lastSequence: count, path } as const;
  const timing = await best(200, async () => {
    if ((await sealRows(task)).rows !== count) throw new Error("the seal lost rows");
  });
  print(`seal ${count} rows`, timing, count);
}

async function benchDuckDB({ slice, schema }: BenchRows): Promise<void> {
  const path = join(folder, "all.parquet");
  await sealRows({ kind: "seal", slice, schema, afterSequence: 0, lastSequence: rows, path });
  const { DuckDBInstance } = await import("@duckdb/node-api");
  for (const threads of [1, 2]) {
    const instance = await DuckDBInstance.create(":memory:", { threads: String(threads) });
    const connection = await instance.connect();
    await connection.run(`CREATE TABLE t AS SELECT * FROM read_parquet('${path}')`);
    for (const order of ["", ' ORDER BY "timestamp"']) {
      const target = join(folder, "copy.parquet");
      const timing = await best(repeats, async () => {
        await connection.run(
          `COPY (SELECT * FROM t${order}) TO '${target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072)`,
        );
      });
      print(`DuckDB COPY${order === "" ? "" : " sorted"}, ZSTD, ${threads} threads`, timing, rows);
    }
    connection.closeSync();
    instance.closeSync();
  }
}

try {
  const inOrder = benchRows(rows, 8_192, 0);
  await benchFlush("in_order", inOrder);
  await benchFlush("nearly_in_order", benchRows(rows, 1_000, 5_000));
  await benchFlush("shuffled", benchRows(rows, 1_000, 10_000_000));
  for (const count of [100, 1_000, 8_000]) await benchSeal(count);
  const rss = process.resourceUsage().maxRSS / 1024;
  console.log(`peak RSS ${rss.toFixed(0)} MiB, WebAssembly memory ${(parquetMemoryBytes() / mebibyte).toFixed(0)} MiB`);
  await benchDuckDB(inOrder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
