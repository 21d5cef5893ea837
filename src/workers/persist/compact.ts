import { randomUUID } from "node:crypto";
import { rmSync, statSync } from "node:fs";
import { assert } from "../../shared/assert.js";
import { failpoint } from "../../shared/failpoints.js";
import type { CommitResult } from "../../shared/iceberg/commit-result.js";
import type { NewDataFile } from "../../shared/iceberg/manifest.js";
import type { ColumnBounds, CompactTask, DataFile } from "../../shared/messages.js";
import { nameKey, timestampColumn, type TableColumn } from "../../shared/schema/table-schema.js";
import { dataFileKey } from "../../shared/store/store-paths.js";
import { commitOnce } from "./commit-once.js";
import { withLocalFiles } from "./local-copies.js";
import { mergeBounds } from "./merge-bounds.js";
import { checkStop, putFile, temporaryPath, type PersistContext } from "./persist-context.js";
import { copySorted, readFooters, sliceRowsFor } from "./sliced-copy.js";

/**
 * Merges files of one day into one, sorted, and swaps it for them in one commit; durable when it returns. The rows are
 * counted before the commit. Throws COMMIT_CONFLICT where one of the files is no longer in the table (nothing changed).
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
      context.catalog.commitRewrite(identity, { commitId, remove: files.map((file) => file.key), add: [merged] }),
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
    const rows = await withLocalFiles(context, files, async (sources) => {
      const footers = readFooters(sources);
      const sliceRows = sliceRowsFor(context.compactionMemoryBytes, columns.length, footers);
      return copySorted(context, { columns, schema, sources, orderBy, path }, footers, sliceRows);
    });
    const expected = files.reduce((sum, file) => sum + file.rows, 0);
    assert(rows === expected, `compaction keeps every row: ${rows} of ${expected}`);
    const { size: bytes } = statSync(path);
    const bounds: Record<number, ColumnBounds> = {};
    for (const column of columns) bounds[column.fieldId] = mergeBounds(files, column);
    const key = dataFileKey(identity.location, { day, createdMs: context.nowMs(), uuid: randomUUID() });
    await putFile(context, key, path);
    const isSorted = orderBy.length === sortOrder.length && orderBy.every((column) => hasNoNulls(column, bounds));
    return { key, bytes, rows, day, bounds, fieldIds: columns.map(({ fieldId }) => fieldId), isSorted };
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
