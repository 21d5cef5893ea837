import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { failpoint } from "../../shared/failpoints.js";
import type { CommitResult } from "../../shared/iceberg/commit-result.js";
import type { NewDataFile } from "../../shared/iceberg/manifest.js";
import type { FlushTask, TableIdentity } from "../../shared/messages.js";
import { nameKey, timestampColumn } from "../../shared/schema/table-schema.js";
import type { TableSettings } from "../../shared/schema/table-settings.js";
import { dataFileKey } from "../../shared/store/store-paths.js";
import { CacheCopies } from "./cache-copies.js";
import { chooseEncoding } from "./column-encodings.js";
import { commitOnce, removeFiles } from "./commit-once.js";
import { boundsOfFooter } from "./file-bounds.js";
import { writeParquetFile } from "./parquet-file.js";
import type { ParquetFormat } from "./parquet-writer.js";
import { checkStop, putFile, temporaryPath, type PersistContext } from "./persist-context.js";
import { replaceFields, type Replacement } from "./replace-fields.js";
import { rowsInRange } from "./row-source.js";
import { sortRows, type DayRows, type SortedRows } from "./sort-rows.js";
import { typeRows, type TypedRows } from "./typed-rows.js";

/**
 * Large enough for compression and few enough for a file's footer, small enough that readers skip and share them out
 * (DuckDB gives one to a thread), and that a row group under way takes little memory.
 */
export const rowGroupRows = 131_072;

/** Each takes at most store.partBytes × 4 or store.multipartBytes of memory. */
const putsAtOnce = 4;

/**
 * Sorts the rows, writes a data file per UTC day into the store, and commits them with the stream's position in one
 * commit. See FlushTask for what is durable, and for errors. `copies` gets the files before they go to the store.
 *
 * ```
 * records ─▶ typed rows ─▶ order ─▶ day 1 ─▶ Parquet in the temporary folder ─▶ store ─┐
 *                                   day 2 ─▶ ...                                        ├─▶ one commit
 *            files with a column that became double ─▶ rewritten ───────────────▶ store ┘
 * ```
 */
export async function flushRows(
  context: PersistContext,
  task: FlushTask,
  copies: CacheCopies = new CacheCopies(undefined),
): Promise<CommitResult> {
  const { identity, schema, settings, slice, stream, afterSequence, lastSequence } = task;
  const range = { stream, afterSequence, lastSequence };
  const written: NewDataFile[] = [];
  let replacement: Replacement;
  try {
    replacement = await replaceFields(context, { identity, schema, onFile: (file) => written.push(file) });
    const rows = typeRows(rowsInRange(slice, range), schema);
    const onFile = (file: NewDataFile): void => void written.push(file);
    if (rows.rowCount > 0) await writeDays(context, { identity, settings, rows, copies, onFile });
  } catch (error) {
    await removeFiles(context, written);
    throw error;
  }
  failpoint("flush.commit.next");
  return commitOnce(context, {
    identity,
    files: written,
    range,
    commit: (commitId) =>
      replacement.removedKeys.length === 0
        ? context.catalog.commitAppend(identity, { ...range, commitId, schema, files: written })
        : context.catalog.commitRewrite(identity, {
            commitId,
            remove: replacement.removedKeys,
            appliedDeletes: replacement.appliedDeletes,
            add: written,
            schema,
            append: range,
          }),
  });
}

interface DaysToWrite {
  readonly identity: TableIdentity;
  readonly settings: TableSettings;
  readonly rows: TypedRows;
  readonly copies: CacheCopies;
  /** Called when a file is in the store. */
  readonly onFile: (file: NewDataFile) => void;
}

/** One file per day. Days come in rounds, so that the temporary folder holds a bounded number of files. */
async function writeDays(context: PersistContext, work: DaysToWrite): Promise<void> {
  const sortOrder = work.settings.sortOrder ?? [timestampColumn];
  const sorted = sortRows(work.rows, sortOrder);
  const format = flushFormat(sorted.rows);
  const isSorted = isInSortOrder(sorted, sortOrder);
  const { partitionsPerRound } = context;
  for (let start = 0; start < sorted.days.length; start += partitionsPerRound) {
    const days = sorted.days.slice(start, start + partitionsPerRound);
    await writeRound(context, { ...work, days, sorted, format, isSorted });
  }
}

interface Round extends DaysToWrite {
  readonly days: readonly DayRows[];
  readonly sorted: SortedRows;
  readonly format: ParquetFormat;
  readonly isSorted: boolean;
}

async function writeRound(context: PersistContext, round: Round): Promise<void> {
  const { days, sorted, format } = round;
  const files: LocalFile[] = [];
  try {
    for (const day of days) {
      checkStop(context);
      files.push(await writeDay(context, { day, sorted, format }));
      failpoint("flush.file.written");
    }
    await putFiles(context, round, files);
  } finally {
    for (const { path } of files) rmSync(path, { force: true });
  }
}

/** A few at once: a store across a network gives one connection a fraction of what it has. All have ended afterwards. */
async function putFiles(context: PersistContext, round: Round, files: readonly LocalFile[]): Promise<void> {
  const waiting = files.toReversed();
  const putSome = async (): Promise<void> => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { path, ...file } = next;
      try {
        checkStop(context);
        const day = { day: file.day, createdMs: context.nowMs(), uuid: randomUUID() };
        const key = dataFileKey(round.identity.location, day);
        round.copies.keep(path, key, file.bytes);
        await putFile(context, key, path);
        round.onFile({ ...file, key, isSorted: round.isSorted });
        failpoint("flush.file.stored");
      } catch (error) {
        waiting.length = 0;
        throw error;
      }
    }
  };
  const puts = Array.from({ length: Math.min(putsAtOnce, files.length) }, putSome);
  for (const result of await Promise.allSettled(puts)) if (result.status === "rejected") throw result.reason;
}

interface LocalFile extends Omit<NewDataFile, "key"> {
  readonly path: string;
}

interface DayToWrite {
  readonly day: DayRows;
  readonly sorted: SortedRows;
  readonly format: ParquetFormat;
}

async function writeDay(context: PersistContext, { day, sorted, format }: DayToWrite): Promise<LocalFile> {
  const path = temporaryPath(context);
  const columns = sorted.rows.columns.map(({ column }) => column);
  const { rows, order } = sorted;
  const source = { rows, order, from: day.from, to: day.to };
  const { bytes, footer } = await writeParquetFile(path, source, format);
  return {
    path,
    bytes,
    rows: footer.rows,
    day: day.day,
    bounds: boundsOfFooter(footer, columns),
    fieldIds: columns.map(({ fieldId }) => fieldId),
  };
}

function flushFormat(rows: TypedRows): ParquetFormat {
  const encodings = new Map(
    rows.columns.map((column) => [column.column.name, chooseEncoding(rows, column, rowGroupRows)]),
  );
  return { compression: "zstd", statistics: true, rowGroupRows, encodings };
}

/** A file says that it is sorted only where no sort column has nulls: then no reader's order of nulls can matter. */
function isInSortOrder(sorted: SortedRows, sortOrder: readonly string[]): boolean {
  return sortOrder.every((name) => {
    const column = sorted.rows.columns.find((candidate) => nameKey(candidate.column.name) === nameKey(name));
    return column !== undefined && !column.hasNulls;
  });
}
