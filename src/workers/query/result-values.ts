import type { DuckDBResult } from "@duckdb/node-api";
import { DuckDBDecimalType } from "../../shared/duckdb-api.js";
import type { SelectStatement } from "../../shared/query-messages.js";
import { withFileNames } from "./explain-paths.js";
import { columnsOf } from "./result-columns.js";
import { quoteName, quoteText } from "./table-view.js";

/**
 * A SELECT of the rows that a result has, written out: what EXPLAIN, DESCRIBE and SUMMARIZE say, for formats that are
 * made from a SELECT. They have few rows.
 */
export async function valuesStatement(result: DuckDBResult, statement: SelectStatement): Promise<SelectStatement> {
  const columns = columnsOf(result);
  const rows: string[] = [];
  for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk()) {
    for (const row of chunk.getRows()) {
      rows.push(
        `(${row.map((value) => (value === null ? "NULL" : quoteText(withFileNames(String(value))))).join(", ")})`,
      );
    }
  }
  const selected = columns.map(({ name, type }, index) => {
    const text = type instanceof DuckDBDecimalType ? `DECIMAL(${type.width}, ${type.scale})` : String(type);
    return `c${index}::${text} AS ${quoteName(name)}`;
  });
  const nulls = `(${columns.map(() => "NULL").join(", ")})`;
  const source = rows.length === 0 ? `(VALUES ${nulls})` : `(VALUES ${rows.join(", ")})`;
  const names = columns.map((_, index) => `c${index}`).join(", ");
  const sql = `SELECT ${selected.join(", ")} FROM ${source} AS v(${names})${rows.length === 0 ? " WHERE false" : ""}`;
  return { ...statement, kind: "select", sql, text: sql, startBytes: 0, parameters: [] };
}
