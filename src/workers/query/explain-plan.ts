import { boundValues } from "./bound-values.js";
import type { EngineConnection } from "./duckdb-engine.js";
import { type ExecuteTask, givenSql } from "./execute-statement.js";

/** DuckDB's plan of the statement as text, or undefined where it has none. The connection has the statement's views. */
export async function explainPlan(connection: EngineConnection, task: ExecuteTask): Promise<string | undefined> {
  if (task.statement.kind === "explain") return undefined;
  try {
    const { sql } = givenSql(task, task.limitRows ?? Number.MAX_SAFE_INTEGER - 1);
    const bound = boundValues(task.statement, task.values);
    const rows = await (await connection.duckdb.run(`EXPLAIN ${sql}`, ...bound)).getRows();
    return rows.map((row) => String(row[1])).join("\n");
  } catch {
    // The plan is an extra: the query has its answer.
    return undefined;
  }
}
