import { randomUUID } from "node:crypto";
import { rmSync, statSync } from "node:fs";
import { assert } from "../../shared/assert.js";
import { failpoint } from "../../shared/failpoints.js";
import type { CommitResult } from "../../shared/iceberg/commit-result.js";
import { deleteKeysOf, liveRowsOf } from "../../shared/iceberg/live-rows.js";
import type { NewDataFile } from "../../shared/iceberg/manifest.js";
import type { ColumnBounds, CompactTask, DataFile } from "../../shared/messages.js";
import { nameKey, timestampColumn, type TableColumn } from "../../shared/schema/table-schema.js";
import { dataFileKey } from "../../shared/store/store-paths.js";
import { commitOnce, removeFiles } from "./commit-once.js";
import { boundsOfFooter } from "./file-bounds.js";
import { addIdFilters } from "./id-filters.js";
import { withLocalRows } from "./local-copies.js";
import { countNulls, mergeBounds } from "./merge-bounds.js";
import { MergeRun } from "./merge-run.js";
import { readParquetFooter } from "./parquet-footer.js";
import { putFile, type PersistContext } from "./persist-context.js";
import { sourcesReadAt, verifyMerge } from "./verify-merge.js";
import { writeMerged, type MergeCopy, type WrittenFile } from "./write-merged.js";

/**
 * ```
 * data files, delete files ─▶ local ─▶ sorted copies, one per file to write ─▶ read back, compared ─▶ store ─▶ one commit
 *                                      in slices of the first sort column
 * ```
 * Merges files of one day, sorted, without their deleted rows, into one or, of more bytes than `targetBytes`, into several
 * one behind the other, and swaps them in one commit; durable when it returns. What was written is read back and compared
 * with its sources before the commit (verify-merge).
 *
 * Throws COMMIT_CONFLICT where one of the files is no longer in the table, or has other deletes than the task says,
 * SHUTTING_DOWN where the merge was cancelled or the server stops, and INTERNAL where the rows are not those of the sources:
 * nothing changed then, and no file stays behind.
 */
export async function compactFiles(context: PersistContext, task: CompactTask): Promise<CommitResult> {
  const { identity, files } = task;
  const merge = new MergeRun(context, task);
  merge.check();
  const merged = await mergeFiles(context, task, merge);
  return commitOnce(context, {
    identity,
    files: merged,
    range: null,
    commit: (commitId) =>
      context.catalog.commitRewrite(identity, {
        commitId,
        remove: files.map((file) => file.key),
        appliedDeletes: deleteKeysOf(files),
        add: merged,
      }),
  });
}

/** The new files, in the store. On an error none stays there. */
async function mergeFiles(context: PersistContext, task: CompactTask, merge: MergeRun): Promise<NewDataFile[]> {
  const written: WrittenFile[] = [];
  const stored: NewDataFile[] = [];
  const copy = copyOf(task);
  try {
    await withLocalRows(context, task.files, async (local) => {
      await writeMerged(context, { task, copy, local, written }, merge);
      if (task.settings.bloomFilter === true) await addFilters(context, copy, written, merge);
      failpoint("compact.file.written");
      merge.enter(sourcesReadAt);
      const rows = task.files.reduce((sum, file) => sum + liveRowsOf(file), 0);
      const after = { ...copy, sources: written.map(({ path }) => path) };
      await verifyMerge(context, { before: { ...copy, ...local }, after, rows }, merge);
    });
    for (const file of written) {
      merge.check();
      const { path, rows } = file;
      const described = describeFile(context, { task, copy, file, isAlone: written.length === 1 });
      stored.push({ ...described, rows, bytes: statSync(path).size });
      // From here on it is there, maybe: it is in `stored`, so that an error removes it.
      await putFile(context, described.key, path);
      failpoint("compact.file.stored");
    }
    merge.enter(1000);
    failpoint("compact.commit.next");
    return stored;
  } catch (error) {
    await removeFiles(context, stored);
    throw error;
  } finally {
    for (const { path } of written) rmSync(path, { force: true });
  }
}

/** Before the comparison, so that what is compared is the file that will be stored. */
async function addFilters(
  context: PersistContext,
  copy: MergeCopy,
  written: readonly WrittenFile[],
  merge: MergeRun,
): Promise<void> {
  for (const { path } of written) {
    merge.check();
    await addIdFilters(context, path, copy);
  }
}

/** The columns that any source has: a column that is null in all of them is in no file. */
function copyOf({ files, schema, settings }: CompactTask): MergeCopy {
  const present = new Set(files.flatMap((file) => file.fieldIds));
  const columns = schema.columns.filter((column) => present.has(column.fieldId));
  const sortOrder = settings.sortOrder ?? [timestampColumn];
  const orderBy = sortOrder
    .map((name) => columns.find((column) => nameKey(column.name) === nameKey(name)))
    .filter((column) => column !== undefined);
  return { columns, schema, orderBy, isWholeOrder: orderBy.length === sortOrder.length };
}

interface Described {
  readonly task: CompactTask;
  readonly copy: MergeCopy;
  readonly file: WrittenFile;
  /** The merge wrote no other. */
  readonly isAlone: boolean;
}

/** Bounds are those of the sources together; of one file among several, those of the column it was cut by are its own. */
function describeFile(
  context: PersistContext,
  { task, copy, file, isAlone }: Described,
): Omit<NewDataFile, "rows" | "bytes"> {
  const { identity, files } = task;
  const { columns, orderBy } = copy;
  const day = dayOf(files);
  const bounds: Record<number, ColumnBounds> = {};
  for (const column of columns) bounds[column.fieldId] = mergeBounds(files, column);
  const { footer } = readParquetFooter(file.path);
  if (!isAlone || files.some(({ deletes }) => deletes !== undefined)) countNulls(bounds, footer);
  const [first] = orderBy;
  if (!isAlone && first !== undefined) {
    const leaf = footer.fieldIds.indexOf(first.fieldId);
    const statistics = footer.statistics.map((group) => [group[leaf] ?? null]);
    Object.assign(bounds, boundsOfFooter({ statistics }, [first]));
  }
  const key = dataFileKey(identity.location, { day, createdMs: context.nowMs(), uuid: randomUUID() });
  const isSorted = copy.isWholeOrder && orderBy.every((column) => hasNoNulls(column, bounds));
  const fieldIds = columns.map(({ fieldId }) => fieldId);
  return { key, day, bounds, fieldIds, isSorted, rowsOf: files.map((source) => source.key) };
}

/** A file's key and its manifest entry name one partition. */
function dayOf(files: readonly DataFile[]): number {
  const [first] = files;
  assert(first !== undefined, "a compaction has files");
  assert(
    files.every((file) => file.day === first.day),
    "a compaction stays within one day",
  );
  return first.day;
}

/** Iceberg's sort order of a table has nulls first, ours last: the same only where there are none. */
function hasNoNulls(column: TableColumn, bounds: Readonly<Record<number, ColumnBounds>>): boolean {
  return bounds[column.fieldId]?.nulls === 0;
}
