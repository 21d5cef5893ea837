import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import type { ColumnBatch } from "../../shared/columns/column-batch.js";
import { MiniodbError } from "../../shared/errors.js";
import { failpoint } from "../../shared/failpoints.js";
import type { StreamRange } from "../../shared/iceberg/commit-files.js";
import type { CommitResult } from "../../shared/iceberg/commit-result.js";
import type { NewDataFile } from "../../shared/iceberg/manifest.js";
import { limits } from "../../shared/limits.js";
import type { FlushTask } from "../../shared/messages.js";
import { idFieldId, nameKey, timestampColumn } from "../../shared/schema/table-schema.js";
import type { TableSettings } from "../../shared/schema/table-settings.js";
import { dataFileKey } from "../../shared/store/store-paths.js";
import { CacheCopies } from "./cache-copies.js";
import { chooseEncoding } from "./column-encodings.js";
import { commitOnce, removeFiles } from "./commit-once.js";
import { commitSchema } from "./commit-schema.js";
import { boundsOfFooter } from "./file-bounds.js";
import { writeParquetFile } from "./parquet-file.js";
import type { ParquetFormat } from "./parquet-writer.js";
import { checkStop, putFile, temporaryPath, type PersistContext } from "./persist-context.js";
import { PutQueue } from "./put-queue.js";
import { replaceFields, type Replacement } from "./replace-fields.js";
import { findReplaced } from "./replaced-rows.js";
import { takeOut, type TakenOut } from "./take-out.js";
import { isOfRows, recordsInRange, rowSourceOf, type RowSource } from "./row-source.js";
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
 *                                   day 2 ─▶ ...   (while day 1 goes to the store)      ├─▶ one commit
 *            files with a column that became double ─▶ rewritten ───────────────▶ store ┘
 * ```
 */
export async function flushRows(
  context: PersistContext,
  task: FlushTask,
  copies: CacheCopies = new CacheCopies(undefined),
): Promise<CommitResult> {
  const { identity, schema, slice, stream, afterSequence, lastSequence } = task;
  const range = { stream, afterSequence, lastSequence };
  const parts = recordsInRange(slice, range);
  const source = rowSourceOf(parts.filter(isOfRows));
  const { order, ids } = findReplaced(parts, source);
  if (ids !== null) return flushReplacing(context, { task, range, source, order, ids, copies });
  const written: NewDataFile[] = [];
  let replacement: Replacement;
  try {
    const onFile = (file: NewDataFile): void => void written.push(file);
    replacement = await inTurn(() => replaceFields(context, { identity, schema, onFile }));
    await writeDays(context, { task, source, order: null, copies, onFile });
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

interface ReplacingFlush {
  readonly task: FlushTask;
  readonly range: StreamRange;
  readonly source: RowSource;
  readonly order: Uint32Array | null;
  /** Whose rows in the store go. */
  readonly ids: ColumnBatch;
  readonly copies: CacheCopies;
}

/**
 * As a plain flush, and the rows that the range replaces or deletes leave the store with the same commit: no reader sees both
 * of them, or neither. Where a merge or a delete was faster, they are looked for anew.
 */
async function flushReplacing(context: PersistContext, work: ReplacingFlush): Promise<CommitResult> {
  const { identity, schema } = work.task;
  const isWidening = schema.columns.some((column) => column.replacesFieldId !== undefined);
  for (let attempt = 1; ; attempt++) {
    try {
      // A commit of its own: files that are written anew for a column have no places of rows yet.
      if (isWidening) await commitSchema(context, { kind: "commit-schema", identity, schema });
      return await flushOnce(context, work);
    } catch (error) {
      const isOvertaken =
        error instanceof MiniodbError &&
        error.code === "COMMIT_CONFLICT" &&
        ("gone" in error.details || "deletes" in error.details);
      if (!isOvertaken || attempt === limits.deleteAttemptsMax) throw error;
    }
  }
}

async function flushOnce(
  context: PersistContext,
  { task, range, source, order, ids, copies }: ReplacingFlush,
): Promise<CommitResult> {
  const { identity, schema } = task;
  const written: NewDataFile[] = [];
  let taken: TakenOut;
  try {
    const onFile = (file: NewDataFile): void => void written.push(file);
    await writeDays(context, { task, source, order, copies, onFile });
    // The later, the less can come between this look at the table and the commit.
    taken = await inTurn(() => takeOut(context, task, ids));
  } catch (error) {
    await removeFiles(context, written);
    throw error;
  }
  failpoint("flush.commit.next");
  return commitOnce(context, {
    identity,
    files: [...written, ...taken.deletes],
    range,
    commit: (commitId) =>
      context.catalog.commitAppend(identity, { ...range, commitId, schema, files: written, out: taken }),
  });
}

interface DaysToWrite {
  readonly task: Pick<FlushTask, "identity" | "schema" | "settings">;
  readonly source: RowSource;
  /** Numbers of the rows that are written; null: all. */
  readonly order: Uint32Array | null;
  readonly copies: CacheCopies;
  /** Called when a file is in the store. */
  readonly onFile: (file: NewDataFile) => void;
}

/** One file per day. Days come in rounds, so that the temporary folder holds a bounded number of files. */
async function writeDays(context: PersistContext, work: DaysToWrite): Promise<void> {
  const { source, order } = work;
  const living = order === null ? source.rowCount : order.length;
  if (living === 0) return;
  const { schema, settings } = work.task;
  const sortOrder = settings.sortOrder ?? [timestampColumn];
  const sorted = sortRows(typeRows(source, schema), sortOrder, order);
  const format = flushFormat(sorted.rows, settings);
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

/** Files go to the store while the next ones are encoded. */
async function writeRound(context: PersistContext, round: Round): Promise<void> {
  const { days, sorted, format } = round;
  const files: LocalFile[] = [];
  const puts = new PutQueue(putsAtOnce);
  try {
    for (const day of days) {
      checkStop(context);
      puts.check();
      const file = await inTurn(() => writeDay(context, { day, sorted, format }));
      files.push(file);
      failpoint("flush.file.written");
      puts.add(() => putDay(context, round, file));
    }
    await puts.done();
  } finally {
    await puts.stop();
    for (const { path } of files) rmSync(path, { force: true });
  }
}

async function putDay(context: PersistContext, round: Round, { path, ...file }: LocalFile): Promise<void> {
  checkStop(context);
  const day = { day: file.day, createdMs: context.nowMs(), uuid: randomUUID() };
  const key = dataFileKey(round.task.identity.location, day);
  round.copies.keep(path, key, file.bytes);
  await putFile(context, key, path);
  round.onFile({ ...file, key, isSorted: round.isSorted });
  failpoint("flush.file.stored");
}

let lastTurn: Promise<unknown> = Promise.resolve();

/**
 * Of the flushes of this thread one encodes, or has DuckDB look into files, at a time, and in the order in which they came:
 * two at once would each take twice as long, and the memory of both. What the others have on the network goes on meanwhile.
 */
function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
  const turn = lastTurn.then(work);
  lastTurn = turn.catch(() => {});
  return turn;
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
  const pause = context.store.isLocal ? undefined : passTurn;
  const { bytes, footer } = await writeParquetFile(path, source, format, pause);
  return {
    path,
    bytes,
    rows: footer.rows,
    day: day.day,
    bounds: boundsOfFooter(footer, columns),
    fieldIds: columns.map(({ fieldId }) => fieldId),
  };
}

/** What came from the network, and what it can take by now, is seen to: some milliseconds' work lies between two of these. */
function passTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function flushFormat(rows: TypedRows, { bloomFilter }: TableSettings): ParquetFormat {
  const encodings = new Map(
    rows.columns.map((column) => [column.column.name, chooseEncoding(rows, column, rowGroupRows)]),
  );
  const filter = bloomFilter === true ? { filterFieldId: idFieldId } : {};
  return { compression: "zstd", statistics: true, rowGroupRows, encodings, ...filter };
}

/** A file says that it is sorted only where no sort column has nulls: then no reader's order of nulls can matter. */
function isInSortOrder(sorted: SortedRows, sortOrder: readonly string[]): boolean {
  return sortOrder.every((name) => {
    const column = sorted.rows.columns.find((candidate) => nameKey(candidate.column.name) === nameKey(name));
    return column !== undefined && !column.hasNulls;
  });
}
