import { rmSync } from "node:fs";
import type { CompactTask } from "../../shared/messages.js";
import { idFieldId } from "../../shared/schema/table-schema.js";
import { hasBloomFilters } from "./append-bloom-filters.js";
import type { FileCopy } from "./duckdb-copy.js";
import { areWorthJoining, ParquetJoin } from "./join-parquet.js";
import type { LocalRows } from "./local-copies.js";
import { areInOrder, orderOfFiles } from "./merge-order.js";
import type { MergeRun } from "./merge-run.js";
import { readParquetFooter } from "./parquet-footer.js";
import { temporaryPath, type PersistContext } from "./persist-context.js";
import { copySlices, planSliceFiles, readFooters, sliceRowsFor, type SlicePlan } from "./sliced-copy.js";
import { copiedAt } from "./verify-merge.js";

/** In the temporary folder. */
export interface WrittenFile {
  readonly path: string;
  rows: number;
}

/** Without its sources and its path. */
export type MergeCopy = Pick<FileCopy, "columns" | "schema" | "orderBy"> & {
  /** The files have every column of the table's sort order. */
  readonly isWholeOrder: boolean;
};

export interface WriteParts {
  readonly task: Pick<CompactTask, "files" | "targetBytes" | "settings">;
  readonly copy: MergeCopy;
  readonly local: LocalRows;
  /** Filled file by file, so that each is removed, whatever happens. */
  readonly written: WrittenFile[];
}

/**
 * The rows of a merge, in the order of the sort, as files in the temporary folder: `written`.
 *
 * ```
 * the files' statistics say that                       their rows are
 * they lie one behind the other, and all columns,
 *   row groups and compression are as they should be   joined: row groups are copied as they are, nothing is decoded
 * they lie one behind the other                        copied in their order: decoded and encoded, not sorted
 * they overlap, or have deletes                        sorted
 * ```
 * Statistics do not say whether rows are in order within a row group. So what was not sorted is looked at afterwards, and
 * sorted where it has to be: at worst a merge takes the time of both.
 */
export async function writeMerged(context: PersistContext, parts: WriteParts, merge: MergeRun): Promise<void> {
  const { task, copy, local, written } = parts;
  const footers = readFooters(local.sources);
  const sliceRows = sliceRowsFor(context.compactionMemoryBytes, copy.columns.length, footers);
  const plan = planSliceFiles(copy, footers, { sliceRows, files: fileCountOf(task) });
  // Files with deletes are read by a join, which keeps no order.
  const order = local.deletes.length > 0 ? null : orderOfFiles(copy.orderBy, footers);
  if (order !== null) {
    const sources = order.map((index) => local.sources[index] ?? "");
    if (plan.length === 1 && canJoin(parts, sources)) joinFiles(context, { sources, written }, merge);
    else await writePlan(context, { ...parts, local: { sources, deletes: [] }, plan, sliceRows, orderBy: [] }, merge);
    if (await areInOrder(context, { ...copy, sources: written.map(({ path }) => path) }, merge)) return;
    for (const { path } of written.splice(0)) rmSync(path, { force: true });
  }
  await writePlan(context, { ...parts, plan, sliceRows, orderBy: copy.orderBy }, merge);
}

/** Whether the row groups of the sources are what the merge would make of them, but for their number. */
function canJoin({ task, copy }: WriteParts, sources: readonly string[]): boolean {
  const known = new Set(copy.columns.map(({ fieldId }) => fieldId));
  // Columns that were dropped, or got another type under another id, are not carried on.
  const areKnown = readFooters(sources).every(({ fieldIds }) => fieldIds.every((fieldId) => known.has(fieldId)));
  if (!areKnown || !areWorthJoining(sources)) return false;
  // Ids that were written before filters were wanted have to be read: then all may be written anew.
  const wantsFilters = task.settings.bloomFilter === true && known.has(idFieldId);
  return !wantsFilters || sources.every((source) => hasBloomFilters(source, idFieldId));
}

function joinFiles(
  context: PersistContext,
  { sources, written }: { readonly sources: readonly string[]; readonly written: WrittenFile[] },
  merge: MergeRun,
): void {
  merge.enter(copiedAt);
  const file = { path: temporaryPath(context), rows: 0 };
  written.push(file);
  const join = new ParquetJoin(file.path);
  try {
    for (const source of sources) {
      merge.check();
      join.append(source);
    }
    join.finish();
  } finally {
    join.close();
  }
  file.rows = readParquetFooter(file.path).footer.rows;
}

interface PlannedParts extends WriteParts {
  readonly plan: SlicePlan;
  readonly sliceRows: number;
  /** What is to be sorted: nothing, where the sources are. */
  readonly orderBy: FileCopy["orderBy"];
}

/** The copies, one after the other: a merge takes the memory of one slice. */
async function writePlan(context: PersistContext, parts: PlannedParts, merge: MergeRun): Promise<void> {
  const { copy, local, written, plan, sliceRows, orderBy } = parts;
  const { columns, schema } = copy;
  const { sources, deletes } = local;
  const slices = plan.reduce((sum, conditions) => sum + conditions.length, 0);
  let slice = 0;
  const onSlice = (): void => merge.enter((++slice / slices) * copiedAt);
  for (const conditions of plan) {
    const file = { path: temporaryPath(context), rows: 0 };
    written.push(file);
    const files = { columns, schema, orderBy, sources, deletes, path: file.path };
    file.rows = await copySlices(context, files, conditions, { sliceRows, merge, onSlice });
    if (file.rows > 0) continue;
    // Of values that lie unevenly, or whose rows are all deleted.
    rmSync(file.path, { force: true });
    written.pop();
  }
}

/** By the bytes of the sources: those of the result are not known before. */
function fileCountOf({ files, targetBytes }: WriteParts["task"]): number {
  if (targetBytes === undefined) return 1;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return Math.max(1, Math.round(bytes / targetBytes));
}
