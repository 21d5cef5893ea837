import { deletedRowsOf } from "../../shared/iceberg/live-rows.js";
import type { DataFile } from "../../shared/messages.js";
import type { Predicate, TablePredicate } from "../../shared/predicate.js";
import type { ParameterValue } from "../../shared/query-messages.js";
import { columnByName, nameKey } from "../../shared/schema/table-schema.js";
import { type FileTest, fileTest } from "./file-test.js";
import type { SnapshotTable } from "./snapshot-provider.js";

export interface PruneRequest {
  /** All tables that the statement reads. */
  readonly tables: readonly SnapshotTable[];
  /** Of the statement, with its parameters and their values in the same order. */
  readonly predicates: readonly TablePredicate[];
  readonly parameters: readonly string[];
  readonly values: readonly ParameterValue[];
  /** The statement begins to run between these times, which `now()` is in it. */
  readonly nowMs: number;
  readonly latestMs: number;
  /** Fewer files than this are not left out, unless no file is needed: see `smallPruningFiles`. */
  readonly filesPrunedMin: number;
}

/**
 * Another list of files is another view for DuckDB, which takes about 1 ms to make where the connection has one with the
 * files of the query before; a local file that has no row of interest takes 0.2 ms.
 */
export const smallPruningFiles = 4;

export interface PrunedTables {
  /** The same tables with the files that a matching row may be in. Hot files are never left out: they are few. */
  readonly tables: readonly SnapshotTable[];
  readonly reports: readonly PruneReport[];
}

/** Of the files in the store; hot ones are counted by themselves. */
export interface PruneReport {
  readonly table: string;
  readonly filesTotal: number;
  readonly filesPruned: number;
  /** Those that have no row which the statement needs, left out or not. */
  readonly filesUnneeded: number;
  readonly bytesTotal: number;
  readonly bytesRead: number;
  readonly hotFiles: number;
  readonly hotBytes: number;
  /** Of the files that are read, those with deleted rows, and these rows. */
  readonly deletedFiles: number;
  readonly deletedRows: number;
}

/** How far main's clock and that of the query worker's call may be apart, or be set back between the two, in ms. */
const clockToleranceMs = 60_000;

/** Comparisons with the bounds of files, per table: about 0.2 µs each, for which nothing else runs on this thread. */
const checksMax = 50_000;

/**
 * Leaves out the files that hold no row which the statement needs, by what the catalog knows of them: the day and the
 * smallest and largest values. Never wrong, but for files that lie about themselves: what is not understood leaves
 * nothing out. Pure.
 */
export function pruneFiles(request: PruneRequest): PrunedTables {
  const tests = testsOf(request);
  const tables: SnapshotTable[] = [];
  const reports: PruneReport[] = [];
  for (const table of request.tables) {
    const test = tests.get(nameKey(table.name));
    const needed = test === undefined ? table.files : table.files.filter((file) => test(file));
    const filesUnneeded = table.files.length - needed.length;
    const files = needed.length === 0 || filesUnneeded >= request.filesPrunedMin ? needed : table.files;
    tables.push({ ...table, files });
    const withDeletes = files.filter((file) => file.deletes !== undefined);
    reports.push({
      table: table.name,
      filesTotal: table.files.length,
      filesPruned: table.files.length - files.length,
      filesUnneeded,
      bytesTotal: bytesOf(table.files),
      bytesRead: bytesOf(files),
      hotFiles: table.hot.filter(({ rows }) => rows > 0).length,
      hotBytes: table.hot.reduce((sum, file) => sum + file.bytes, 0),
      deletedFiles: withDeletes.length,
      deletedRows: withDeletes.reduce((sum, file) => sum + deletedRowsOf(file), 0),
    });
  }
  return { tables, reports };
}

function testsOf(request: PruneRequest): Map<string, FileTest> {
  const { tables, predicates, parameters, values } = request;
  const tests = new Map<string, FileTest>();
  if (predicates.length === 0) return tests;
  const byName = new Map(tables.map((table) => [nameKey(table.name), table]));
  const hasColumn = (name: string): boolean => tables.some(({ schema }) => columnByName(schema, name) !== undefined);
  const context = {
    values: new Map(parameters.map((name, index) => [name.toLowerCase(), values[index] ?? null])),
    earliestMs: request.nowMs - clockToleranceMs,
    latestMs: request.latestMs + clockToleranceMs,
    hasColumn,
    schemaOf: (name: string) => byName.get(name)?.schema,
  };
  for (const { table, predicate } of predicates) {
    const schema = byName.get(table)?.schema;
    if (schema === undefined) continue;
    const filesCount = byName.get(table)?.files.length ?? 0;
    const test = fileTest(affordable(predicate, checksMax / Math.max(1, filesCount)), schema, context);
    if (test !== null) tests.set(table, test);
  }
  return tests;
}

/** What of the predicate has at most so many comparisons: of an AND the shorter parts, as any of them alone is right. */
function affordable(predicate: Predicate, comparisonsMax: number): Predicate {
  if (comparisonsOf(predicate) <= comparisonsMax) return predicate;
  if (predicate.kind !== "and") return { kind: "any" };
  const terms: Predicate[] = [];
  let left = comparisonsMax;
  for (const term of predicate.terms.toSorted((one, other) => comparisonsOf(one) - comparisonsOf(other))) {
    left -= comparisonsOf(term);
    if (left >= 0) terms.push(term);
  }
  return { kind: "and", terms };
}

function comparisonsOf(predicate: Predicate): number {
  if (predicate.kind !== "and" && predicate.kind !== "or") return 1;
  return predicate.terms.reduce((sum, term) => sum + comparisonsOf(term), 0);
}

function bytesOf(files: readonly DataFile[]): number {
  return files.reduce((sum, file) => sum + file.bytes, 0);
}
