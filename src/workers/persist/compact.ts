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
import { commitOnce } from "./commit-once.js";
import { withLocalRows } from "./local-copies.js";
import { countNulls, mergeBounds } from "./merge-bounds.js";
import { readParquetFooter } from "./parquet-footer.js";
import { checkStop, putFile, temporaryPath, type PersistContext } from "./persist-context.js";
import { copySorted, readFooters, sliceRowsFor } from "./sliced-copy.js";

/**
 * Merges files of one day into one, sorted, without their deleted rows, and swaps it for them in one commit; durable when it
 * returns. The rows are counted before the commit. Throws COMMIT_CONFLICT where one of the files is no longer in the table,
 * or has other deletes than the task says (nothing changed).
 */
export async function compactFiles(context: PersistContext, task: CompactTask): Promise<CommitResult> {
  const { identity, files } = task;
  checkStop(context);
  const merged = await mergeFiles(context, task);
  failpoint("compact.commit.next");
  return commitOnce(context, {
    identity,
    files: [merged],
    range: null,
    commit: (commitId) =>
      context.catalog.commitRewrite(identity, {
        commitId,
        remove: files.map((file) => file.key),
        appliedDeletes: deleteKeysOf(files),
        add: [merged],
      }),
  });
}

async function mergeFiles(context: PersistContext, task: CompactTask): Promise<NewDataFile> {
  const { identity, schema, settings, files } = task;
  const day = dayOf(files);
  const path = temporaryPath(context);
  const present = new Set(files.flatMap((file) => file.fieldIds));
  const columns = schema.columns.filter((column) => present.has(column.fieldId));
  const sortOrder = settings.sortOrder ?? [timestampColumn];
  const orderBy = sortOrder
    .map((name) => columns.find((column) => nameKey(column.name) === nameKey(name)))
    .filter((column) => column !== undefined);
  try {
    const rows = await withLocalRows(context, files, async ({ sources, deletes }) => {
      const footers = readFooters(sources);
      const sliceRows = sliceRowsFor(context.compactionMemoryBytes, columns.length, footers);
      return copySorted(context, { columns, schema, sources, deletes, orderBy, path }, footers, sliceRows);
    });
    const expected = files.reduce((sum, file) => sum + liveRowsOf(file), 0);
    assert(rows === expected, `compaction keeps every row: ${rows} of ${expected}`);
    const { size: bytes } = statSync(path);
    const bounds: Record<number, ColumnBounds> = {};
    for (const column of columns) bounds[column.fieldId] = mergeBounds(files, column);
    if (files.some((file) => file.deletes !== undefined)) countNulls(bounds, readParquetFooter(path).footer);
    const key = dataFileKey(identity.location, { day, createdMs: context.nowMs(), uuid: randomUUID() });
    await putFile(context, key, path);
    const isSorted = orderBy.length === sortOrder.length && orderBy.every((column) => hasNoNulls(column, bounds));
    const fieldIds = columns.map(({ fieldId }) => fieldId);
    return { key, bytes, rows, day, bounds, fieldIds, isSorted, rowsOf: files.map((file) => file.key) };
  } finally {
    rmSync(path, { force: true });
  }
}

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
