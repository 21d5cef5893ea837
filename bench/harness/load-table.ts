/** Fills a table of a server with generated rows, through the server's own ingest. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { GeneratedTable } from "../generate/generated-table.js";
import type { Generator } from "../generate/generator.js";
import type { ReferenceTable } from "../references/duckdb-job.js";
import type { BenchContext, BenchServer } from "./bench-context.js";

/** A body of them stays below `http.bodyBytesMax`. */
const rowsPerBody = 100_000;
const busyPauseMs = 50;

/** All rows as Arrow bodies, then a flush. Throws when SQL does not count every one. */
export async function loadTable(
  context: BenchContext,
  server: BenchServer,
  generator: Generator,
  table: GeneratedTable,
): Promise<void> {
  const startMs = performance.now();
  let sending: Promise<void> = Promise.resolve();
  for (let from = 0; from < table.rows; from += rowsPerBody) {
    const body = await generator.arrow(table, from, Math.min(table.rows, from + rowsPerBody));
    // One body is made while the one before is under way.
    await sending;
    sending = sendBody(server, `/v1/tables/${table.name}/rows`, "application/vnd.apache.arrow.stream", body);
    sending.catch(() => {});
  }
  await sending;
  await flushTable(server, table.name);
  await expectRows(server, table.name, table.rows);
  const rate = Math.round((table.rows * 1000) / (performance.now() - startMs));
  context.progress(`${table.name}: ${table.rows} rows loaded, ${rate} rows/s with their making`);
}

/** Sends until it is accepted; throws for any answer but 200 and a refusal that asks to come again. */
export async function sendBody(
  server: BenchServer,
  path: string,
  contentType: string,
  body: Buffer | string,
): Promise<void> {
  for (;;) {
    const reply = await server.client.send(path, { body, headers: { "content-type": contentType } });
    if (reply.status === 200) return;
    if (reply.status !== 503 && reply.status !== 429) {
      throw new Error(`${path} answered ${reply.status} ${JSON.stringify(reply.body).slice(0, 500)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, busyPauseMs));
  }
}

export async function flushTable(server: BenchServer, table: string): Promise<void> {
  const reply = await server.client.sendJson(`/v1/tables/${table}/flush`, {});
  if (reply.status !== 200) throw new Error(`flush of ${table} answered ${reply.status} ${JSON.stringify(reply.body)}`);
}

export async function expectRows(server: BenchServer, table: string, rows: number): Promise<void> {
  const counted = await server.client.count(table);
  if (counted !== rows) throw new Error(`${rows} rows were acknowledged, SQL counts ${counted} in ${table}`);
}

/** The Parquet files of a flushed table; right only where nothing was compacted or updated. */
export function tableFiles(folder: string, table: string): ReferenceTable {
  const warehouse = join(folder, "warehouse");
  const own = readdirSync(warehouse).filter((name) => name.startsWith(`${table}-`));
  const files = own.flatMap((name) =>
    readdirSync(join(warehouse, name, "data"), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".parquet"))
      .map((path) => join(warehouse, name, "data", path)),
  );
  if (files.length === 0) throw new Error(`${table} has no Parquet files in ${warehouse}`);
  return { name: table, files: files.toSorted() };
}
