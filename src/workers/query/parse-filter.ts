import { assert } from "../../shared/assert.js";
import { limits } from "../../shared/limits.js";
import type { ParseFilterTask, SelectStatement } from "../../shared/query-messages.js";
import { checkFilterText } from "./live-filter.js";
import { parseStatement, type SqlParser } from "./parse-statement.js";
import { quoteName } from "./table-view.js";

const rules = { bytesMax: limits.sqlBytesMax, mayHaveParameters: true };

/**
 * The statement that finds the rows which a condition takes:
 *
 * ```
 * SELECT "miniodb_file", "miniodb_row" FROM "t" WHERE (
 * <filter>
 * )
 * ```
 * It runs like a client's statement, in the same confinement, with the filter as the client's text. Throws INVALID_SQL,
 * SQL_NOT_ALLOWED, as a live query's filter does; parameters it may have.
 */
export async function parseFilter(parser: SqlParser, task: ParseFilterTask): Promise<SelectStatement> {
  const { table, filter, places } = task;
  await checkFilterText(parser, table, filter, rules);
  const head = `SELECT ${quoteName(places.file)}, ${quoteName(places.row)} FROM ${quoteName(table)} WHERE (\n`;
  const statement = await parseStatement(parser, `${head}${filter}\n)`);
  assert(statement.kind === "select", "what was checked in a SELECT is one");
  return { ...statement, text: filter, startBytes: -Buffer.byteLength(head) };
}
