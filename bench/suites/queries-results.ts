/** A million rows out over HTTP in each format, against DuckDB's own COPY of them to a file. */
import { tableFromIPC } from "apache-arrow";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { unpack } from "msgpackr";
import type { GeneratedTable } from "../generate/generated-table.js";
import { Generator } from "../generate/generator.js";
import type { BenchContext, BenchServer, Suite } from "../harness/bench-context.js";
import { DuckDBReference } from "../harness/duckdb-reference.js";
import { loadTable, tableFiles } from "../harness/load-table.js";
import { formatCount, formatMegabytes, formatPercent, type Measurement, verdict } from "../harness/measurement.js";
import { queryMemoryBytes, queryThreads, uncachedFlags } from "../harness/query-flags.js";
import { sendQuery } from "../harness/query-http.js";

const runs = 3;
const sql = "SELECT id, timestamp, device, reading, number FROM results";

interface FormatCase {
  readonly format: string;
  /** Options of the COPY that it is compared with, and that one's name. */
  readonly copy: string;
  readonly copyName: string;
  /** Null: no target. */
  readonly shareMin: number | null;
  /** How DuckDB reads it; null: it does not, and `rowsOf` counts. */
  readonly reader: ((path: string) => string) | null;
}

const jsonColumns =
  "columns = {id: 'VARCHAR', timestamp: 'TIMESTAMPTZ', device: 'VARCHAR', reading: 'DOUBLE', number: 'BIGINT'}";
const cases: readonly FormatCase[] = [
  {
    format: "json",
    copy: "FORMAT json, ARRAY true",
    copyName: "COPY as a JSON array",
    shareMin: 0.8,
    reader: (path) => `read_json('${path}', format = 'newline_delimited', ${jsonColumns})`,
  },
  {
    format: "ndjson",
    copy: "FORMAT json",
    copyName: "COPY as JSON lines",
    shareMin: 0.8,
    reader: (path) => `read_json('${path}', format = 'newline_delimited', ${jsonColumns})`,
  },
  {
    format: "csv",
    copy: "FORMAT csv",
    copyName: "COPY as CSV",
    shareMin: 0.8,
    reader: (path) => `read_csv('${path}', header = true, ${jsonColumns})`,
  },
  {
    format: "parquet",
    copy: "FORMAT parquet",
    copyName: "COPY as Parquet",
    shareMin: 0.8,
    reader: (path) => `read_parquet('${path}')`,
  },
  { format: "arrow", copy: "FORMAT parquet", copyName: "COPY as Parquet", shareMin: 0.7, reader: null },
  { format: "msgpack", copy: "FORMAT parquet", copyName: "COPY as Parquet", shareMin: null, reader: null },
];

export const queriesResults: Suite = {
  name: "queries-results",
  async run(context) {
    const rows = context.pick(1_000_000, 100_000);
    return context.withServer(uncachedFlags, async (server) => {
      const generator = await Generator.open(context.makeFolder("generator"));
      await loadTable(context, server, generator, resultsTable(rows));
      generator.close();
      const folder = context.makeFolder("results");
      const tables = [tableFiles(server.process.folder, "results")];
      const options = { threads: queryThreads, memoryBytes: queryMemoryBytes, folder, tables };
      const reference = await DuckDBReference.open(options);
      const measurements: Measurement[] = [];
      for (const formatCase of cases) {
        measurements.push(await measureFormat({ context, server, reference, folder, rows }, formatCase));
      }
      reference.close();
      return measurements;
    });
  },
};

function resultsTable(rows: number): GeneratedTable {
  return {
    name: "results",
    rows,
    select: (from, to) => `
      SELECT concat('s-', lpad(i::VARCHAR, 9, '0')) AS id, to_timestamp(1763424000 + i // 20) AS "timestamp",
        concat('sensor-', evenly(i, 1, 5000)) AS device, round(40 * chance(i, 2), 2) AS reading,
        evenly(i, 3, 1000000) AS number
      FROM range(${from}, ${to}) AS numbers(i)`,
  };
}

interface FormatPlace {
  readonly context: BenchContext;
  readonly server: BenchServer;
  readonly reference: DuckDBReference;
  readonly folder: string;
  readonly rows: number;
}

/** A format that fails has a row of its own. */
async function measureFormat(place: FormatPlace, formatCase: FormatCase): Promise<Measurement> {
  const { format, copy, copyName, shareMin } = formatCase;
  const measure = `${formatCount(place.rows)} rows × 5 columns over HTTP, ${format}`;
  const target = shareMin === null ? "" : `≥ ${formatPercent(shareMin)} of DuckDB's ${copyName} to a file`;
  try {
    await checkFormat(place, formatCase);
    const copyTimes: number[] = [];
    const serverTimes: number[] = [];
    let bytes = 0;
    for (let run = 0; run < runs; run++) {
      const path = join(place.folder, `copied-${format}`);
      copyTimes.push(await place.reference.ask("copy", { sql, path, options: copy }));
      const reply = await sendQuery({ url: place.server.process.url, sql, format, isBodyKept: false });
      serverTimes.push(reply.elapsedMs);
      bytes = reply.bodyBytes;
    }
    const [copyMs, serverMs] = [Math.min(...copyTimes), Math.min(...serverTimes)];
    const share = copyMs / serverMs;
    return {
      measure,
      target,
      reached: `${Math.round(serverMs)} ms = ${formatPercent(share)}`,
      reference: `${copyName} ${Math.round(copyMs)} ms`,
      verdict: shareMin === null ? "info" : verdict(share >= shareMin),
      note: `${formatMegabytes(bytes)}, ${formatMegabytes((bytes * 1000) / serverMs)}/s; best of ${runs} each, in turns`,
    };
  } catch (error) {
    const note = (String(error).split("\n")[0] ?? "").slice(0, 200);
    return { measure, target, reached: "no number", reference: "", verdict: "failed", note };
  }
}

/** Every row is there once: the same counts, sums and hashes as R has of the table. */
async function checkFormat({ server, reference, folder, rows }: FormatPlace, formatCase: FormatCase): Promise<void> {
  const { format, reader } = formatCase;
  const { body } = await sendQuery({ url: server.process.url, sql, format, isBodyKept: true });
  if (reader === null) {
    const counted = format === "arrow" ? tableFromIPC(body).numRows : packedRows(body);
    if (counted !== rows) throw new Error(`${format} has ${counted} rows instead of ${rows}`);
    return;
  }
  const path = join(folder, `checked-${format}`);
  writeFileSync(path, format === "json" ? linesOf(body) : body);
  const summary = (source: string): string =>
    `SELECT count(*) AS n, sum(number) AS s, round(sum(reading), 2) AS r, bit_xor(hash(id, epoch_us("timestamp"), device, reading::DOUBLE, number))::VARCHAR AS h FROM ${source}`;
  const [reached] = await reference.ask("rows", { sql: summary(reader(path)) });
  const [expected] = await reference.ask("rows", { sql: summary("results") });
  if (JSON.stringify(reached) !== JSON.stringify(expected)) {
    throw new Error(`${format} holds ${JSON.stringify(reached)} instead of ${JSON.stringify(expected)}`);
  }
}

/** DuckDB reads one JSON text of 100 MB badly; row by row it does. */
function linesOf(body: Buffer): string {
  const { rows } = JSON.parse(body.toString()) as { readonly rows: readonly (readonly unknown[])[] };
  const objects = rows.map(([id, timestamp, device, reading, number]) => ({ id, timestamp, device, reading, number }));
  return objects.map((row) => JSON.stringify(row)).join("\n");
}

function packedRows(body: Buffer): number {
  const { columns } = unpack(body) as { readonly columns: Readonly<Record<string, readonly unknown[]>> };
  return Object.values(columns)[0]?.length ?? 0;
}
