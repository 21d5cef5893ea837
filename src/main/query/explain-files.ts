import type { SelectStatement } from "../../shared/query-messages.js";
import type { AskedQuery } from "./asked-query.js";
import type { OpenTables } from "./open-tables.js";
import type { LocalFiles } from "./local-files.js";
import { type PruneReport, type PruneRequest, smallPruningFiles } from "./prune-files.js";
import type { QueryRun } from "./query-run.js";
import type { Snapshot } from "./snapshot-provider.js";

/** What pruning goes by for this query, which runs until its deadline at the latest. */
export function pruneRequestOf(
  { statement, values }: AskedQuery,
  snapshot: Snapshot,
  run: QueryRun,
  { isInPlace }: LocalFiles,
): PruneRequest {
  const { predicates, parameters } = statement;
  const nowMs = Date.now();
  const times = { nowMs, latestMs: nowMs + run.remainingMs };
  const filesPrunedMin = isInPlace ? smallPruningFiles : 1;
  return { tables: snapshot.tables, predicates, parameters, values, ...times, filesPrunedMin };
}

/**
 * One line per table for the reply of EXPLAIN, none for other statements:
 *
 * ```
 * cpu: 1 of 60 files, 59 pruned, 12345 of 740700 bytes, 2 hot files of 4567 bytes
 * ```
 * Where files could be pruned but are too few to be worth it, that is said too, and how many rows are left out as deleted:
 * `, 25 deleted rows in 2 of the files`.
 *
 * With a file cache a last line says how many of the files were in it, and what was fetched for the others.
 */
export function explainNotes(
  statement: SelectStatement,
  reports: readonly PruneReport[],
  opened: Pick<OpenTables, "cachedFiles" | "fetchedBytes">,
): readonly string[] {
  if (!/^EXPLAIN\b/.test(statement.sql)) return [];
  const lines = reports.map((report) => {
    const { table, filesTotal, filesPruned, bytesTotal, bytesRead, hotFiles, hotBytes } = report;
    const stored = `${filesTotal - filesPruned} of ${filesTotal} files, ${filesPruned} pruned`;
    const kept = report.filesUnneeded - filesPruned;
    const small = kept === 0 ? "" : ` (${kept} without a row of interest are too few to be worth it)`;
    const { deletedFiles, deletedRows } = report;
    const deleted = deletedFiles === 0 ? "" : `, ${deletedRows} deleted rows in ${deletedFiles} of the files`;
    return `${table}: ${stored}${small}, ${bytesRead} of ${bytesTotal} bytes, ${hotFiles} hot files of ${hotBytes} bytes${deleted}`;
  });
  if (reports.length === 0) return lines;
  return [...lines, `on this machine before: ${opened.cachedFiles} files; fetched: ${opened.fetchedBytes} bytes`];
}
