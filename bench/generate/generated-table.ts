/** A table that DuckDB makes up: any range of its rows, the same at every run of one DuckDB version. */
export interface GeneratedTable {
  readonly name: string;
  readonly rows: number;
  /** Rows [from, to) as a SELECT over the macros of generator.ts; `timestamp` is among its columns and goes up. */
  select(from: number, to: number): string;
}

/** SQL for the item of a list that an index, which may be beyond its end, stands for. */
export function pickSql(items: readonly string[], index: string): string {
  return `([${items.map((item) => `'${item}'`).join(", ")}])[1 + ((${index}) % ${items.length})::BIGINT]`;
}
