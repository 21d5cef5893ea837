import { boundValues } from "./bound-values.js";
import type { EngineConnection } from "./duckdb-engine.js";
import type { ExecuteTask } from "./execute-statement.js";
import { plainRangeSql } from "./result-copy.js";

/** DuckDB's plan of the statement as text, or undefined where it has none. The connection has the statement's views. */
export async function explainPlan(connection: EngineConnection, task: ExecuteTask): Promise<string | undefined> {
  if (task.statement.kind === "explain") return undefined;
  try {
    const bound = boundValues(task.statement, task.values);
    const rows = await (await connection.duckdb.run(`EXPLAIN ${plainRangeSql(task)}`, ...bound)).getRows();
    return rows.map((row) => String(row[1])).join("\n");
  } catch {
    // The plan is an extra: the query has its answer.
    return undefined;
  }
}
