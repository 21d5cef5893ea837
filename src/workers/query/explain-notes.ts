import type { SelectStatement } from "../../shared/query-messages.js";
import { quoteText } from "./table-view.js";

/**
 * The SELECT of what EXPLAIN said, with a row of the key `files` for each of the notes after it: what pruning left of the
 * files was decided by main, so that DuckDB's plan cannot tell it.
 */
export function withNotes(explained: SelectStatement, notes: readonly string[] = []): SelectStatement {
  if (notes.length === 0) return explained;
  const list = notes.map(quoteText).join(", ");
  return { ...explained, sql: `${explained.sql} UNION ALL SELECT 'files', unnest([${list}])` };
}
