/** Queries for one id over many files, with and without Bloom filters on the ids (`bloom_filter`), and what filters cost. */
import type { GeneratedTable } from "../generate/generated-table.js";
import { Generator } from "../generate/generator.js";
import type { BenchContext, BenchServer, Suite } from "../harness/bench-context.js";
import { compactTable } from "../harness/compact-table.js";
import { expectRows, flushTable, sendBody } from "../harness/load-table.js";
import { formatCount, formatMegabytes, type Measurement, median } from "../harness/measurement.js";
import { uncachedFlags } from "../harness/query-flags.js";

const files = 20;
const rowsPerBody = 100_000;
const flags = [
  uncachedFlags,
  ["--flush-rows", "100000000", "--flush-bytes", "4GiB", "--flush-interval-ms", "1d"],
  ["--ingest-buffered-bytes-max", "4GiB", "--wal-bytes-max", "16GiB"],
].flat();
const tables = { filtered: true, plain: false } as const;
type TableName = keyof typeof tables;

/** UUIDs, of which no two files have different ranges, in one day. */
function eventTable(rows: number): GeneratedTable {
  return {
    name: "events",
    rows,
    select: (from, to) => `
      SELECT
        to_timestamp(1451606400 + i * 80000 // ${rows}) AS "timestamp",
        ${uuidSql("i")} AS id,
        concat('host_', i % 1000) AS host,
        (hash(i) % 100000) / 7 AS value
      FROM range(${from}, ${to}) AS numbers(i)`,
  };
}

function uuidSql(number: string): string {
  return `substr(md5((${number})::VARCHAR), 1, 8) || '-' || substr(md5((${number})::VARCHAR), 9, 4) || '-4' || substr(md5((${number})::VARCHAR), 13, 3) || '-8' || substr(md5((${number})::VARCHAR), 16, 3) || '-' || substr(md5((${number})::VARCHAR), 19, 12)`;
}

interface State {
  /** Of the flushes, or the compaction. */
  readonly writeMs: number;
  readonly bytes: number;
  readonly queryMs: number;
}

export const idFilters: Suite = {
  name: "id-filters",
  async run(context) {
    const rows = Number(process.env["MINIODB_BENCH_QUERY_ROWS"] ?? context.pick(10_000_000, 400_000));
    return context.withServer(flags, async (server) => {
      const flushMs = await load(context, server, rows);
      const ids = await someIds(server, rows);
      const flushed = await states(server, ids, flushMs);
      const merge: Record<TableName, number> = { filtered: 0, plain: 0 };
      for (const name of names()) merge[name] = (await compactTable(server, name)).elapsed_ms;
      const merged = await states(server, ids, merge);
      return [
        measurement(`one id among ${formatCount(rows)} in ${files} flushed files`, "flush", flushed),
        measurement(`the same after a compaction`, "compaction", merged),
      ];
    });
  },
};

function names(): readonly TableName[] {
  return Object.keys(tables) as TableName[];
}

/** Each table gets the same rows. What its flushes took, in ms. */
async function load(
  context: BenchContext,
  server: BenchServer,
  rows: number,
): Promise<Readonly<Record<TableName, number>>> {
  const generator = await Generator.open(context.makeFolder("generator"));
  const generated = eventTable(rows);
  const flushMs: Record<TableName, number> = { filtered: 0, plain: 0 };
  for (const name of names()) {
    const body = { table_name: name, config: { bloom_filter: tables[name] } };
    const reply = await server.client.sendJson("/v1/tables", body);
    if (reply.status !== 200) throw new Error(`create answered ${reply.status} ${JSON.stringify(reply.body)}`);
  }
  for (let file = 0; file < files; file++) {
    const [first, end] = [file, file + 1].map((n) => Math.floor((rows * n) / files)) as [number, number];
    for (let from = first; from < end; from += rowsPerBody) {
      const body = await generator.arrow(generated, from, Math.min(end, from + rowsPerBody));
      for (const name of names()) {
        await sendBody(server, `/v1/tables/${name}/rows`, "application/vnd.apache.arrow.stream", body);
      }
    }
    for (const name of names()) {
      const startMs = performance.now();
      await flushTable(server, name);
      flushMs[name] += performance.now() - startMs;
    }
  }
  generator.close();
  for (const name of names()) await expectRows(server, name, rows);
  context.progress(`2 × ${files} files`);
  return flushMs;
}

async function someIds(server: BenchServer, rows: number): Promise<string[]> {
  const numbers = Array.from({ length: 15 }, (_, index) => Math.floor((rows * (index * 2 + 1)) / 30));
  const selects = numbers.map((number) => `SELECT ${uuidSql(String(number))} AS id`);
  const found = await server.client.query<{ id: string }>(selects.join(" UNION ALL "));
  return found.map(({ id }) => id);
}

/** In turns, so that what else the machine does meets both tables. */
async function states(
  server: BenchServer,
  ids: readonly string[],
  writeMs: Readonly<Record<TableName, number>>,
): Promise<Readonly<Record<TableName, State>>> {
  const times: Record<TableName, number[]> = { filtered: [], plain: [] };
  for (const [turn, id] of ids.entries()) {
    for (const name of names()) {
      const startMs = performance.now();
      const found = await server.client.query(`SELECT * FROM ${name} WHERE id = '${id}'`);
      if (found.length !== 1) throw new Error(`${found.length} rows of ${name} have the id ${id}`);
      // The first ones open the files.
      if (turn > 1) times[name].push(performance.now() - startMs);
    }
  }
  const result: Partial<Record<TableName, State>> = {};
  for (const name of names()) {
    result[name] = { writeMs: writeMs[name], bytes: await bytesOf(server, name), queryMs: median(times[name]) };
  }
  return result as Record<TableName, State>;
}

async function bytesOf(server: BenchServer, name: string): Promise<number> {
  const { body } = await server.client.send(`/v1/tables/${name}`);
  const { table_info } = body as { readonly table_info: { readonly stats: { readonly size_bytes: number } } };
  return table_info.stats.size_bytes;
}

function measurement(
  measure: string,
  written: string,
  { filtered, plain }: Readonly<Record<TableName, State>>,
): Measurement {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
  return {
    measure,
    target: "",
    reached: `${filtered.queryMs.toFixed(1)} ms with bloom_filter`,
    reference: `${plain.queryMs.toFixed(1)} ms without`,
    verdict: "info",
    note: `${written} ${seconds(filtered.writeMs)} and ${seconds(plain.writeMs)}; ${formatMegabytes(filtered.bytes)} and ${formatMegabytes(plain.bytes)}`,
  };
}
