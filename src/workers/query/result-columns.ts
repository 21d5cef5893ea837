import type { DuckDBResult, DuckDBType } from "@duckdb/node-api";

import type { ResultColumnInfo } from "../../shared/query-messages.js";

export interface ResultColumn {
  /** Unique in the result, so that a row object holds every column. */
  readonly name: string;
  readonly type: DuckDBType;
}

/** The columns in order; a name that was there before gets `_1`, `_2`, ... behind it, as DuckDB's own subqueries do. */
export function columnsOf(result: DuckDBResult): ResultColumn[] {
  const types = result.columnTypes();
  const taken = new Set(result.columnNames());
  const used = new Set<string>();
  return result.columnNames().map((name, index) => {
    let unique = name;
    for (let number = 1; used.has(unique); number++) {
      const next = `${name}_${number}`;
      if (!taken.has(next)) unique = next;
    }
    used.add(unique);
    return { name: unique, type: types[index] as DuckDBType };
  });
}

/** What clients are told of the columns. */
export function columnInfos(columns: readonly ResultColumn[]): ResultColumnInfo[] {
  return columns.map(({ name, type }) => ({ name, type: String(type) }));
}
