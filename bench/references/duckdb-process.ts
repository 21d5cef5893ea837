/**
 * R: DuckDB in a bare process, over the Parquet files of the server's own tables, with as many threads and as much
 * memory as the server gives it. What it is timed for ends with the rows in memory: no JSON, no HTTP.
 *
 * It has the low priority that the server gives to DuckDB's threads (main.cts), so that whatever else the machine does
 * weighs on both alike. On a machine that does nothing else that changes nothing.
 */
import {
  type DuckDBConnection,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBInstance,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  type DuckDBValue,
} from "@duckdb/node-api";
import { getPriority, setPriority } from "node:os";
import type { Cell, ReferenceAnswers, ReferenceOptions, ReferenceReply, ReferenceTask } from "./duckdb-job.js";

/** As in src/main/main.cts. */
const backgroundNice = 10;
setPriority(Math.min(19, getPriority() + backgroundNice));

let instance: DuckDBInstance | null = null;
const idle: DuckDBConnection[] = [];

async function open({ threads, memoryBytes, folder, tables }: ReferenceOptions): Promise<null> {
  instance = await DuckDBInstance.create(":memory:", {
    threads: String(threads),
    memory_limit: `${Math.floor(memoryBytes / 1024)}KiB`,
    temp_directory: folder,
  });
  const connection = await instance.connect();
  // As the server: its files do not change.
  await connection.run("SET GLOBAL parquet_metadata_cache = true");
  await connection.run("SET GLOBAL TimeZone = 'UTC'");
  for (const { name, files: paths } of tables) {
    const list = paths.map((file) => `'${file}'`).join(", ");
    const files = `read_parquet([${list}], hive_partitioning = false)`;
    // The server's tables have an `id` in any case, after the timestamp.
    const described = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${files}`);
    const hasId = described.getRows().some(([column]) => column === "id");
    const selected = `"timestamp", ${hasId ? "id" : "NULL::VARCHAR AS id"}, * EXCLUDE ("timestamp"${hasId ? ", id" : ""})`;
    await connection.run(`CREATE VIEW "${name}" AS SELECT ${selected} FROM ${files}`);
  }
  idle.push(connection);
  return null;
}

async function withConnection<Result>(use: (connection: DuckDBConnection) => Promise<Result>): Promise<Result> {
  if (instance === null) throw new Error("R is not open");
  const connection = idle.pop() ?? (await instance.connect());
  const result = await use(connection);
  idle.push(connection);
  return result;
}

async function readAll(connection: DuckDBConnection, sql: string): Promise<void> {
  const result = await connection.run(sql);
  await result.fetchAllChunks();
}

function time(sql: string, runs: number): Promise<number[]> {
  return withConnection(async (connection) => {
    const times: number[] = [];
    for (let run = 0; run < runs; run++) {
      const startMs = performance.now();
      await readAll(connection, sql);
      times.push(performance.now() - startMs);
    }
    return times;
  });
}

function rows(sql: string): Promise<Cell[][]> {
  return withConnection(async (connection) => {
    const reader = await connection.runAndReadAll(sql);
    return reader.getRows().map((row) => row.map(cellOf));
  });
}

function cellOf(value: DuckDBValue): Cell {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof DuckDBTimestampTZValue || value instanceof DuckDBTimestampValue) return rfc3339(value.micros);
  if (value instanceof DuckDBDecimalValue) return value.toDouble();
  if (value instanceof DuckDBDateValue) return value.toString();
  if (value === null || typeof value === "number" || typeof value === "string" || typeof value === "boolean") {
    return value;
  }
  throw new Error(`no rule to compare ${String(value)}`);
}

/** Milliseconds, or microseconds where there are any. */
function rfc3339(micros: bigint): string {
  const milliseconds = new Date(Number(micros / 1000n)).toISOString();
  return micros % 1000n === 0n
    ? milliseconds
    : milliseconds.replace("Z", `${String(micros % 1000n).padStart(3, "0")}Z`);
}

async function copy(sql: string, path: string, options: string): Promise<number> {
  return withConnection(async (connection) => {
    const startMs = performance.now();
    await connection.run(`COPY (${sql}) TO '${path}' (${options})`);
    return performance.now() - startMs;
  });
}

async function runClients(statements: readonly string[], clients: number, durationMs: number) {
  const startMs = performance.now();
  const times: number[] = [];
  const loop = async (client: number): Promise<void> =>
    withConnection(async (connection) => {
      for (let at = client; performance.now() - startMs < durationMs; at += clients) {
        const sentMs = performance.now();
        await readAll(connection, statements[at % statements.length] as string);
        times.push(performance.now() - sentMs);
      }
    });
  await Promise.all(Array.from({ length: clients }, (_, client) => loop(client)));
  return { times, elapsedMs: performance.now() - startMs };
}

function work(task: ReferenceTask): Promise<ReferenceAnswers[keyof ReferenceAnswers]> {
  switch (task.kind) {
    case "open":
      return open(task.options);
    case "time":
      return time(task.sql, task.runs);
    case "rows":
      return rows(task.sql);
    case "copy":
      return copy(task.sql, task.path, task.options);
    case "clients":
      return runClients(task.statements, task.clients, task.durationMs);
  }
}

process.on("message", (task: ReferenceTask) => {
  work(task).then(
    (answer) => process.send?.({ kind: "done", answer } satisfies ReferenceReply),
    (error: unknown) => process.send?.({ kind: "failed", message: String(error) } satisfies ReferenceReply),
  );
});
process.once("disconnect", () => process.exit(0));
