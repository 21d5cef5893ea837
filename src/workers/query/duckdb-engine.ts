import type { DuckDBConnection, DuckDBPreparedStatement } from "@duckdb/node-api";
import { DuckDBInstance } from "../../shared/duckdb-api.js";
import { ColumnKeys } from "../../shared/encryption/column-keys.js";
import { limits } from "../../shared/limits.js";
import { keepByteOrderMarks } from "./byte-order-mark.js";
import { guardFunctions } from "./guarded-functions.js";
import { KnownResults } from "./known-results.js";
import { registerOpenColumn } from "./open-column.js";
import type { SqlParser } from "./parse-statement.js";
import { quoteName, quoteText } from "./table-view.js";

export interface EngineOptions {
  readonly memoryBytes: number;
  readonly threads: number;
  /** Where DuckDB spills; of this instance alone, as DuckDB's file names repeat. */
  readonly spillFolder: string;
  readonly spillBytesMax: number;
  /** DuckDB opens files below these only; the folder of large results is one of them. */
  readonly allowedFolders: readonly string[];
  /** Of encrypted columns; absent: none. */
  readonly columnKeys?: ColumnKeys;
}

/** A connection and the views that earlier queries left on it: by name, what they stand for. */
export interface EngineConnection {
  readonly duckdb: DuckDBConnection;
  readonly views: Map<string, string>;
  /** What is known of statements as long as the views are these. */
  readonly known: KnownResults;
  /** Its statements may call back into this thread: see `discard`. */
  callsBack: boolean;
}

/** Beyond this many views a connection is not used again, so that dropped tables do not add up. */
const viewsPerConnectionMax = 64;
const idleConnectionsMax = 8;

/**
 * One DuckDB instance in memory, shut in: it opens files below the allowed folders only, loads no extension, and its
 * configuration is locked. COPY and other writers still work inside those folders, so that only statements which
 * parse-statement.ts let through may run here.
 *
 * A query has a connection of its own. Its tables are TEMP views, which are the connection's alone, so that queries of
 * different snapshots run side by side. Connections are used again, the one with the most fitting views first: making
 * a view opens a file.
 */
export class DuckDBEngine {
  readonly #instance: DuckDBInstance;
  readonly #idle: EngineConnection[] = [];
  readonly #idleParsers: ConnectionParser[] = [];

  private constructor(instance: DuckDBInstance) {
    this.#instance = instance;
  }

  static async open(options: EngineOptions): Promise<DuckDBEngine> {
    keepByteOrderMarks();
    const instance = await DuckDBInstance.create(":memory:", {
      threads: String(options.threads),
      memory_limit: `${Math.floor(options.memoryBytes / 1024)}KiB`,
      temp_directory: options.spillFolder,
      autoinstall_known_extensions: "false",
      autoload_known_extensions: "false",
      allow_community_extensions: "false",
      // Errors come with type and position.
      errors_as_json: "true",
    });
    const connection = await instance.connect();
    // Only SET enforces it: given at the opening, 1.5.6 shows it as set and spills on.
    await connection.run(`SET max_temp_directory_size = '${Math.floor(options.spillBytesMax / 1024)}KiB'`);
    // Files are immutable: their footers stay valid.
    await connection.run("SET GLOBAL parquet_metadata_cache = true");
    await connection.run("SET GLOBAL TimeZone = 'UTC'");
    await connection.run(`SET allowed_directories = [${options.allowedFolders.map(quoteText).join(", ")}]`);
    await connection.run("SET enable_external_access = false");
    // Of each connection, so that they come after the lock; they change how soon rows come and what `progress` says.
    await connection.run(
      "SET allowed_configs = ['enable_progress_bar', 'enable_progress_bar_print', 'streaming_buffer_size']",
    );
    await connection.run("SET lock_configuration = true");
    await guardFunctions(connection);
    registerOpenColumn(connection, options.columnKeys ?? new ColumnKeys([]));
    connection.closeSync();
    return new DuckDBEngine(instance);
  }

  /** A connection for one query, with whatever views it has; give it to `giveBack` or `discard`. */
  async checkOut(wanted: ReadonlyMap<string, string>): Promise<EngineConnection> {
    let best = -1;
    let bestFits = -1;
    for (const [index, { views }] of this.#idle.entries()) {
      let fits = 0;
      for (const [name, sql] of wanted) if (views.get(name) === sql) fits++;
      if (fits > bestFits) [best, bestFits] = [index, fits];
    }
    const [idle] = best === -1 ? [] : this.#idle.splice(best, 1);
    return idle ?? this.#connect();
  }

  async #connect(): Promise<EngineConnection> {
    const duckdb = await this.#instance.connect();
    await duckdb.run("SET enable_progress_bar_print = false");
    await duckdb.run("SET enable_progress_bar = true");
    await duckdb.run(`SET streaming_buffer_size = '${Math.floor(limits.streamBufferBytes / 1024)}KiB'`);
    return { duckdb, views: new Map(), known: new KnownResults(), callsBack: false };
  }

  /** Makes the wanted views; the errors are DuckDB's. */
  async prepareViews(connection: EngineConnection, wanted: ReadonlyMap<string, string>): Promise<void> {
    for (const [name, sql] of wanted) {
      if (connection.views.get(name) === sql) continue;
      connection.views.delete(name);
      connection.known.clear();
      await connection.duckdb.run(`CREATE OR REPLACE TEMP VIEW ${quoteName(name)} AS ${sql}`);
      connection.views.set(name, sql);
    }
  }

  /** Only after a query that ended well: an interrupted connection may still be interrupted. */
  giveBack(connection: EngineConnection): void {
    if (connection.views.size > viewsPerConnectionMax || this.#idle.length >= idleConnectionsMax) {
      this.discard(connection);
    } else {
      this.#idle.push(connection);
    }
  }

  /**
   * Closing waits for what the connection's last statement has under way, on this thread, and that may wait for a function that
   * only runs on this thread. The next statement ends it on a thread of libuv.
   */
  discard({ duckdb, callsBack }: EngineConnection): void {
    if (!callsBack) {
      duckdb.closeSync();
      return;
    }
    const close = (): void => duckdb.closeSync();
    void duckdb.run("SELECT 1").then(close, close);
  }

  /** Runs `work` with a parser of its own. */
  async withParser<Result>(work: (parser: SqlParser) => Promise<Result>): Promise<Result> {
    const parser = this.#idleParsers.pop() ?? (await ConnectionParser.create(this.#instance));
    try {
      return await work(parser);
    } finally {
      this.#idleParsers.push(parser);
    }
  }

  close(): void {
    for (const { duckdb } of this.#idle.splice(0)) duckdb.closeSync();
    for (const parser of this.#idleParsers.splice(0)) parser.close();
    this.#instance.closeSync();
  }
}

const unreadableError = '{"error":true,"error_message":"the statement does not parse"}';

class ConnectionParser implements SqlParser {
  readonly #connection: DuckDBConnection;
  readonly #serialize: DuckDBPreparedStatement;

  private constructor(connection: DuckDBConnection, serialize: DuckDBPreparedStatement) {
    this.#connection = connection;
    this.#serialize = serialize;
  }

  static async create(instance: DuckDBInstance): Promise<ConnectionParser> {
    const connection = await instance.connect();
    return new ConnectionParser(connection, await connection.prepare("SELECT json_serialize_sql($1::VARCHAR)"));
  }

  async serialize(sql: string): Promise<string> {
    this.#serialize.bindVarchar(1, sql);
    const result = await this.#serialize.run();
    // In memory: not through libuv's pool once more.
    const tree = String(result.getChunk(0).getColumnVector(0).getItem(0));
    // DuckDB cuts a long error message after a number of bytes; in the middle of a character it then writes no JSON.
    return tree === "" ? unreadableError : tree;
  }

  tableNames(sql: string): readonly string[] {
    return this.#connection.getTableNames(sql, false);
  }

  close(): void {
    this.#connection.closeSync();
  }
}
