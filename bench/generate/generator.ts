/**
 * Turns generated tables into what is sent and compared: Arrow IPC bodies, NDJSON lines, one Parquet file. DuckDB
 * computes the rows from a hash of their number, so that any slice can be made again, and no row costs JavaScript.
 */
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readParquet } from "parquet-wasm";
import type { GeneratedTable } from "./generated-table.js";

/** At most 64 values of chance to a row, each with a number of its own. */
const macros = [
  // [0, 1), evenly.
  "CREATE MACRO chance(i, salt) AS (hash(i * 64 + salt) >> 11) / 9007199254740992.0",
  "CREATE MACRO evenly(i, salt, below) AS (hash(i * 64 + salt) % below)::BIGINT",
  // Whole numbers from 0; the higher the power, the more of them are small.
  "CREATE MACRO skewed(i, salt, below, power) AS floor(below * pow(chance(i, salt), power))::BIGINT",
  // Large and one to one, below 2^52: exact in a JSON number; the product needs more than 64 bits. `spread` of spread.ts is the same.
  "CREATE MACRO spread(rank) AS ((rank::HUGEINT * 2862933555777 + 3037000493) % 4503599627370496)::BIGINT",
];

export class Generator {
  readonly #folder: string;
  readonly #connection: DuckDBConnection;

  private constructor(folder: string, connection: DuckDBConnection) {
    this.#folder = folder;
    this.#connection = connection;
  }

  /** `folder` is made; it holds a file at a time and is the caller's to remove. */
  static async open(folder: string): Promise<Generator> {
    mkdirSync(folder, { recursive: true });
    const instance = await DuckDBInstance.create(":memory:");
    const connection = await instance.connect();
    await connection.run("SET TimeZone = 'UTC'");
    for (const macro of macros) await connection.run(macro);
    return new Generator(folder, connection);
  }

  /** Rows [from, to) as an Arrow IPC stream. */
  async arrow(table: GeneratedTable, from: number, to: number): Promise<Buffer> {
    const path = join(this.#folder, "slice.parquet");
    await this.#copy(table.select(from, to), path, "FORMAT parquet, COMPRESSION uncompressed");
    const stream = readParquet(readFileSync(path)).intoIPCStream();
    rmSync(path);
    return Buffer.from(stream.buffer, stream.byteOffset, stream.byteLength);
  }

  /** Rows [from, to) as JSON objects, one per line, `timestamp` in RFC 3339. */
  async ndjson(table: GeneratedTable, from: number, to: number): Promise<string[]> {
    const path = join(this.#folder, "slice.ndjson");
    await this.#copy(table.select(from, to), path, "FORMAT json, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%SZ'");
    const text = readFileSync(path, "utf8");
    rmSync(path);
    return text.trimEnd().split("\n");
  }

  /** All rows in one file, in the order of their timestamps, compressed as the server's files are. */
  async sortedFile(table: GeneratedTable, path: string): Promise<void> {
    const sorted = `SELECT * FROM (${table.select(0, table.rows)}) ORDER BY "timestamp"`;
    await this.#copy(sorted, path, "FORMAT parquet, COMPRESSION zstd");
  }

  close(): void {
    this.#connection.closeSync();
  }

  async #copy(select: string, path: string, options: string): Promise<void> {
    await this.#connection.run(`COPY (${select}) TO '${path}' (${options})`);
  }
}
