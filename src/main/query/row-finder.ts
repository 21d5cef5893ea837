import { assert } from "../../shared/assert.js";
import { fromErrorMessage, MiniodbError } from "../../shared/errors.js";
import type { DataFile } from "../../shared/messages.js";
import type { PlaceColumns, ResultBody, SelectStatement } from "../../shared/query-messages.js";
import { columnByName, type TableSchema } from "../../shared/schema/table-schema.js";
import type { CancelSignal } from "./cancel-signal.js";
import type { AskedQuery } from "./asked-query.js";
import { scanBytesOf } from "./choose-instance.js";
import { holdTables } from "./held-tables.js";
import type { LocalFiles } from "./local-files.js";
import type { QueryExecutor } from "./query-executor.js";
import { type QueryParameters, valuesOf } from "./query-parameters.js";
import type { QueryPool } from "./query-pool.js";
import type { QueryRun } from "./query-run.js";
import type { Snapshot } from "./snapshot-provider.js";

/** Which rows to find. */
export interface FindRowsRequest {
  /** One table, without hot files; it is released when the search is over. */
  readonly snapshot: Snapshot;
  readonly where: string;
  readonly params?: QueryParameters | undefined;
  readonly timeoutMs: number;
  readonly signal?: CancelSignal | undefined;
}

export interface FoundRows {
  readonly rows: number;
  /** Those that were searched: others have no such row. */
  readonly files: readonly DataFile[];
  /** Parquet of (number of the file, number of the row in it), each row once; the caller discards it. */
  readonly body: ResultBody;
}

export interface RowFinderParts {
  readonly pool: QueryPool;
  readonly executor: QueryExecutor;
  readonly files: LocalFiles;
}

/**
 * Where the rows are that a condition takes, found like the rows of a query: the condition is checked by the same parser,
 * files are left out by their statistics, and DuckDB runs it in its confinement, in a slot, and writes what it found to a
 * file. Rejects as a query does.
 */
export async function findRows(parts: RowFinderParts, request: FindRowsRequest, run: QueryRun): Promise<FoundRows> {
  const { pool, executor, files } = parts;
  const { where, params } = request;
  const [table] = request.snapshot.tables;
  assert(table !== undefined && request.snapshot.tables.length === 1, "rows are found in one table");
  const places = placeColumns(table.schema);
  let asked: AskedQuery;
  try {
    const parsing = pool.run({ kind: "parse-filter", table: table.name, filter: where, places });
    const parsed = await run.track(parsing, () => {});
    if (parsed.kind === "failed") throw fromErrorMessage(parsed.error);
    assert(parsed.kind === "parsed" && parsed.statement.kind === "select", "a filter is parsed or refused");
    asked = askedPlaces(parsed.statement, params);
  } catch (error) {
    request.snapshot.release();
    throw error;
  }
  run.stage = "preparing";
  // As the places count them: see PlaceColumns.
  const ordered = [...table.files.filter(hasNoDeletes), ...table.files.filter((file) => !hasNoDeletes(file))];
  const snapshot = { tables: [{ ...table, files: ordered }], release: () => request.snapshot.release() };
  const held = await holdTables(files, { asked, snapshot, run });
  try {
    const { statement, values, page } = asked;
    const tables = held.tables.map((each) => ({ ...each, places }));
    const result = await executor.execute(
      { statement, values, tables, scanBytes: scanBytesOf(held.needed), page, offsetRows: 0, keep: null },
      run,
      held.lease,
    );
    if (result === null) throw new MiniodbError("STORE_UNAVAILABLE", "a data file of the table cannot be opened");
    return { rows: result.rows, files: held.needed[0]?.files ?? [], body: result.body };
  } finally {
    held.lease.release();
  }
}

function askedPlaces(statement: SelectStatement, params: QueryParameters | undefined): AskedQuery {
  const values = valuesOf(statement.parameters, params);
  const page = { limitRows: null, format: "parquet", cursor: null } as const;
  return { statement, values, page, identity: "", isCacheable: false };
}

function hasNoDeletes(file: DataFile): boolean {
  return file.deletes === undefined;
}

/** Names that no column of the table has. */
function placeColumns(schema: TableSchema): PlaceColumns {
  const freeName = (name: string): string => (columnByName(schema, name) === undefined ? name : freeName(`${name}_`));
  return { file: freeName("miniodb_file"), row: freeName("miniodb_row") };
}
