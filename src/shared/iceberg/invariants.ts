/**
 * What holds between a version and the one after it, by name; checked before every commit. A breach is a mistake of this
 * server, never of a client: the commit fails with INTERNAL and the table stays as it was.
 */
import { MiniodbError } from "../errors.js";
import { columnByFieldId, idFieldId, nameKey, timestampFieldId, type TableSchema } from "../schema/table-schema.js";
import { isHeldByBackup } from "./backup-refs.js";
import type { NewDeleteFile } from "./delete-entry.js";
import type { LongValue } from "./exact-json.js";
import type { NewDataFile } from "./manifest.js";
import { dayOfMicros } from "./partition-spec.js";
import type { FileCounts } from "./snapshot.js";
import { currentSchema, currentSnapshot, snapshotsOf, type TableMetadata } from "./table-metadata.js";
import { createdProperty, lifeState, nameProperty, positionsOf } from "./table-properties.js";

type VersionCheck = (base: TableMetadata, next: TableMetadata) => boolean;

const versionInvariants: Readonly<Record<string, VersionCheck>> = {
  /** Two tables can never be mixed up: what travels through a commit is one table's history. */
  identityNeverChanges: (base, next) =>
    base["table-uuid"] === next["table-uuid"] &&
    base.properties[nameProperty] === next.properties[nameProperty] &&
    base.properties[createdProperty] === next.properties[createdProperty],
  /** Its objects may be going already; those that a backup names stay until it lets go of them. */
  droppedStaysDropped: (base, next) =>
    lifeState(base.properties) !== "dropped" || (isHeldByBackup(base) && lifeState(next.properties) === "dropped"),
  /** A position that fell would let a flush bring its rows a second time. */
  positionsOnlyGrow: (base, next) => {
    const after = positionsOf(next.properties);
    return Object.entries(positionsOf(base.properties)).every(
      ([stream, position]) => (after[stream] ?? -1) >= position,
    );
  },
  /** Written as text, compared as numbers: beyond 2^53 two neighbours would look the same. */
  positionsAreSequences: (_base, next) =>
    Object.values(positionsOf(next.properties)).every((position) => Number.isSafeInteger(position) && position >= 0),
  /** Delete files apply to data files of lower sequence numbers: one per snapshot, none left out, none twice. */
  sequenceNumberGrows: (base, next) => {
    const isSameSnapshot = base["current-snapshot-id"] === next["current-snapshot-id"];
    return next["last-sequence-number"] === base["last-sequence-number"] + (isSameSnapshot ? 0 : 1);
  },
  /** Readers refuse metadata whose snapshot is older than the one before it. */
  timeNeverGoesBack: (base, next) => next["last-updated-ms"] >= base["last-updated-ms"],
  /** It is what makes a field id new. */
  lastFieldIdNeverFalls: (base, next) => next["last-column-id"] >= base["last-column-id"],
  /** Files are read by field id: two columns of one id would both be the other. */
  fieldIdsUnique: (_base, next) => isUnique(currentSchema(next).columns.map((column) => column.fieldId)),
  /** Whatever their case: SQL folds it. */
  columnNamesUnique: (_base, next) => isUnique(currentSchema(next).columns.map((column) => nameKey(column.name))),
  fieldIdsKnown: (_base, next) =>
    currentSchema(next).columns.every((column) => column.fieldId <= next["last-column-id"]),
  /** Old files hold the old column's values under the id. */
  fieldIdsNeverReused: (base, next) => {
    const before = currentSchema(base);
    return currentSchema(next).columns.every(
      ({ fieldId }) => columnByFieldId(before, fieldId) !== undefined || fieldId > base["last-column-id"],
    );
  },
  /** Values can be decrypted under the scope of their column only. */
  encryptionScopesStay: (base, next) => {
    const after = currentSchema(next);
    return currentSchema(base).columns.every(({ fieldId, encryption }) => {
      const column = columnByFieldId(after, fieldId);
      return encryption === undefined || column === undefined || column.encryption?.scope === encryption.scope;
    });
  },
  /** The partition, the default order and the ids of rows hang on them. */
  systemColumnsStay: (_base, next) => {
    const [timestamp, id] = currentSchema(next).columns;
    return timestamp?.fieldId === timestampFieldId && timestamp.type === "timestamp" && id?.fieldId === idFieldId;
  },
  snapshotIdsUnique: (_base, next) => isUnique(snapshotsOf(next).map((snapshot) => snapshot["snapshot-id"])),
  /** "The current snapshot id must be the same as that of the main branch in refs." */
  currentSnapshotIsMain: (_base, next) =>
    currentSnapshot(next)?.["snapshot-id"] === next.refs?.["main"]?.["snapshot-id"],
  /** A tag whose snapshot expired names files that garbage collection takes. */
  refsAreRetained: (_base, next) => {
    const ids = new Set<LongValue>(snapshotsOf(next).map((snapshot) => snapshot["snapshot-id"]));
    return Object.values(next.refs ?? {}).every((reference) => ids.has(reference["snapshot-id"]));
  },
};

/** Throws INTERNAL, naming the invariants that the step from `base` to `next` breaks. */
export function checkVersion(base: TableMetadata, next: TableMetadata): void {
  report(Object.keys(versionInvariants).filter((name) => versionInvariants[name]?.(base, next) !== true));
}

/** What a commit does to the files of a table. */
export interface FileChange {
  readonly schema: TableSchema;
  readonly added: readonly NewDataFile[];
  readonly removedRows: number;
  /** How many live rows more than before the table may have. */
  readonly rowsGained: RowsGained;
  /** Live keys before, and the added ones: a key is used for one file in a table's life. */
  readonly keys: readonly string[];
  readonly totalBefore: FileCounts;
  readonly totalAfter: FileCounts;
  /** What the previous snapshot says its rows are; undefined where there is none, or it says nothing. */
  readonly rowsStated: number | undefined;
  readonly deletes: DeleteChange;
}

/** Counts of delete files, whose rows are positions. */
export interface DeleteChange {
  readonly added: readonly NewDeleteFile[];
  readonly removedRows: number;
  readonly totalBefore: FileCounts;
  readonly totalAfter: FileCounts;
  /** Rows of the data files that live afterwards, by key. */
  readonly dataRows: ReadonlyMap<string, number>;
}

/** None for a rewrite; for an append at most the rows of its range of sequences; negative for a delete. */
export interface RowsGained {
  readonly min: number;
  readonly max: number;
}

type FileCheck = (change: FileChange) => boolean;

const fileInvariants: Readonly<Record<string, FileCheck>> = {
  /** Its rows would count twice. */
  noFileTwice: ({ keys }) => isUnique(keys),
  /** Against losing entries while manifests are merged or rewritten, and against a snapshot that was misread. */
  rowCountsAddUp: ({ totalBefore, totalAfter, added, removedRows, rowsStated }) =>
    totalAfter.rows === totalBefore.rows + sum(added.map((file) => file.rows)) - removedRows &&
    (rowsStated === undefined || rowsStated === totalBefore.rows),
  /** As rowCountsAddUp: a position that is lost brings its row back. */
  deleteCountsAddUp: ({ deletes: { added, removedRows, totalBefore, totalAfter } }) =>
    totalAfter.rows === totalBefore.rows + sum(added.map((file) => file.rows)) - removedRows,
  /** A flush that brought records twice, a compaction that read a file twice or left deletes out. */
  noRowFromNowhere: (change) => liveRowsGained(change) <= change.rowsGained.max,
  /** A compaction that skipped a row group, a delete that took more than it was asked to. */
  noRowLost: (change) => liveRowsGained(change) >= change.rowsGained.min,
  /** A data file has one delete file of ours: of two, rows that both name would count twice. */
  oneDeleteFileEach: ({ deletes: { added } }) => isUnique(added.map((file) => file.dataKey)),
  /** A delete file of no live file deletes nothing; a file without a live row is dropped instead. */
  deletesWithinTheirFile: ({ deletes: { added, dataRows } }) =>
    added.every(
      (file) =>
        Number.isSafeInteger(file.rows) &&
        file.rows > 0 &&
        file.rows < (dataRows.get(file.dataKey) ?? 0) &&
        file.bytes > 0,
    ),
  /** Readers divide by them, and skip files without any. */
  filesHaveRows: ({ added }) =>
    added.every(
      (file) => Number.isSafeInteger(file.rows) && file.rows > 0 && Number.isSafeInteger(file.bytes) && file.bytes > 0,
    ),
  /** A column that the schema lacks is one that no reader would ever see. */
  fileColumnsKnown: ({ added, schema }) =>
    added.every(
      (file) =>
        file.fieldIds.includes(timestampFieldId) &&
        isUnique(file.fieldIds) &&
        file.fieldIds.every((fieldId) => columnByFieldId(schema, fieldId) !== undefined) &&
        Object.keys(file.bounds).every((id) => file.fieldIds.includes(Number(id))),
    ),
  /** A row in another day's partition is one that a query for its own day skips. */
  rowsInTheirDay: ({ added }) =>
    added.every((file) => {
      const { lower, upper } = file.bounds[timestampFieldId] ?? { lower: null, upper: null };
      return [lower, upper].every((bound) => typeof bound === "string" && dayOfMicros(bound) === file.day);
    }),
  /** Planners take "all null" and "no null" from these. */
  nullsWithinRows: ({ added }) =>
    added.every((file) => Object.values(file.bounds).every(({ nulls }) => nulls >= 0 && nulls <= file.rows)),
};

function liveRowsGained({ totalBefore, totalAfter, deletes }: FileChange): number {
  return totalAfter.rows - deletes.totalAfter.rows - (totalBefore.rows - deletes.totalBefore.rows);
}

/** Throws INTERNAL, naming the invariants that the change breaks. */
export function checkFiles(change: FileChange): void {
  report(Object.keys(fileInvariants).filter((name) => fileInvariants[name]?.(change) !== true));
}

function report(broken: readonly string[]): void {
  if (broken.length === 0) return;
  throw new MiniodbError("INTERNAL", `A commit would break ${broken.join(", ")}; it was not made.`, {
    invariants: broken,
  });
}

function isUnique(values: readonly unknown[]): boolean {
  return new Set(values).size === values.length;
}

function sum(values: readonly number[]): number {
  return values.reduce((left, right) => left + right, 0);
}
