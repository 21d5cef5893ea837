/** What a change does to the files of a table. Pure: it decides, file-change.ts acts. */
import { MiniodbError } from "../errors.js";
import { isDroppedField, type TableSchema } from "../schema/table-schema.js";
import { deletesByDataKey, fileContent, manifestContent, newDeleteEntry, type NewDeleteFile } from "./delete-entry.js";
import { checkFiles, type RowsGained } from "./invariants.js";
import { newEntry, type ManifestEntry, type NewDataFile } from "./manifest.js";
import { isLive, planManifests, type LiveManifest, type ManifestPlan } from "./manifest-plan.js";
import type { FileCounts } from "./snapshot.js";

export interface FileChanges {
  readonly add: readonly NewDataFile[];
  readonly removeKeys: readonly string[];
  /** Keys of the delete files that the removed files had when their rows were read. */
  readonly appliedDeletes: readonly string[];
  readonly deletes: readonly NewDeleteFile[];
  /** Field ids that no file may hold afterwards, but for the added ones. */
  readonly retiredFieldIds: ReadonlySet<number>;
  readonly rowsGained: RowsGained;
}

export interface ChangeContext {
  readonly schema: TableSchema;
  readonly sortOrderId: number;
  readonly snapshotId: number;
  readonly uriOf: (key: string) => string;
  /** What the snapshot before says its rows are. */
  readonly rowsStated: number | undefined;
}

export interface ChangePlan {
  readonly data: PlannedFiles;
  readonly deletes: PlannedFiles;
  /** Data files of before that have other deletes now. */
  readonly changed: readonly { readonly entry: ManifestEntry; readonly deletes: ManifestEntry }[];
}

/** Of one kind of files. */
interface PlannedFiles {
  readonly manifests: ManifestPlan;
  readonly added: readonly ManifestEntry[];
  readonly total: FileCounts;
}

/**
 * Data files and delete files are planned alike, as manifests hold one kind only. Whoever takes a file out, or writes its
 * deletes anew, says which delete files it knew of: others mean that rows were deleted meanwhile, which would come back.
 *
 * Throws COMMIT_CONFLICT where the table's files are not as the change takes them to be, INTERNAL for a broken invariant.
 */
export function planChange(live: readonly LiveManifest[], change: FileChanges, context: ChangeContext): ChangePlan {
  const { schema, uriOf, snapshotId } = context;
  const dataManifests = live.filter(({ file }) => file.content === manifestContent.data);
  const deleteManifests = live.filter(({ file }) => file.content !== manifestContent.data);
  const { data: dataBefore, deletes: deletesBefore } = entriesByContent(live);
  const removedKeys = new Set(change.removeKeys);
  checkInputs(change, dataBefore, deletesBefore);

  const files = change.add.map((file) => withoutDropped(file, schema));
  const added = files.map((file) => ({
    ...newEntry(file, context),
    sequenceNumber: sequenceNumberOf(file, dataBefore),
  }));
  const data = planManifests(dataManifests, { added, removedKeys, snapshotId });
  const dataUris = new Map(dataBefore.map((entry) => [entry.key, entry.file.file_path]));
  const addedDeletes = change.deletes.map((file) =>
    newDeleteEntry(file, uriOf(file.key), dataUris.get(file.dataKey) ?? uriOf(file.dataKey)),
  );
  const replacedKeys = new Set([...change.appliedDeletes, ...change.deletes.flatMap((file) => file.replaces)]);
  const deletes = planManifests(deleteManifests, { added: addedDeletes, removedKeys: replacedKeys, snapshotId });

  const stayed = dataBefore.filter((entry) => !removedKeys.has(entry.key));
  refuseRetired(stayed, change.retiredFieldIds);
  const after = [...stayed, ...added];
  const deletesAfter = [...deletesBefore.filter((entry) => !replacedKeys.has(entry.key)), ...addedDeletes];
  checkFiles({
    schema,
    added: files,
    removedRows: countsOf(data.removed).rows,
    rowsGained: change.rowsGained,
    keys: [...dataBefore, ...added, ...deletesBefore, ...addedDeletes].map((entry) => entry.key),
    totalBefore: countsOf(dataBefore),
    totalAfter: countsOf(after),
    rowsStated: context.rowsStated,
    deletes: {
      added: change.deletes,
      removedRows: countsOf(deletes.removed).rows,
      totalBefore: countsOf(deletesBefore),
      totalAfter: countsOf(deletesAfter),
      dataRows: new Map(stayed.map((entry) => [entry.key, entry.file.record_count])),
    },
  });
  return {
    data: { manifests: data, added, total: countsOf(after) },
    deletes: { manifests: deletes, added: addedDeletes, total: countsOf(deletesAfter) },
    changed: changedFiles(stayed, change.deletes, addedDeletes),
  };
}

/** The live entries of all manifests, those of data files and those of delete files. */
export function entriesByContent(manifests: readonly LiveManifest[]): {
  readonly data: ManifestEntry[];
  readonly deletes: ManifestEntry[];
} {
  const isData = ({ file }: LiveManifest): boolean => file.content === manifestContent.data;
  const entriesOf = (some: readonly LiveManifest[]) => some.flatMap(({ entries }) => entries).filter(isLive);
  return {
    data: entriesOf(manifests.filter(isData)),
    deletes: entriesOf(manifests.filter((manifest) => !isData(manifest))),
  };
}

export function countsOf(entries: readonly ManifestEntry[]): FileCounts {
  let rows = 0;
  let bytes = 0;
  for (const { file } of entries) {
    rows += file.record_count;
    bytes += file.file_size_in_bytes;
  }
  return { files: entries.length, rows, bytes };
}

/**
 * The file as its table knows it: a column that was dropped while the file was written is in its bytes, where readers, who
 * go by field id, pass it by.
 */
function withoutDropped(file: NewDataFile, schema: TableSchema): NewDataFile {
  if (!file.fieldIds.some((fieldId) => isDroppedField(schema, fieldId))) return file;
  const isKept = ([id]: readonly [string, unknown]): boolean => !isDroppedField(schema, Number(id));
  const kept = <Value>(byFieldId: Readonly<Record<number, Value>>): Record<number, Value> =>
    Object.fromEntries(Object.entries(byFieldId).filter(isKept));
  return {
    ...file,
    fieldIds: file.fieldIds.filter((fieldId) => !isDroppedField(schema, fieldId)),
    bounds: kept(file.bounds),
    ...(file.columnBytes === undefined ? {} : { columnBytes: kept(file.columnBytes) }),
  };
}

/** Every file that the change takes out or deletes from is there, with the deletes that its writer knew of. */
function checkInputs(change: FileChanges, data: readonly ManifestEntry[], deletes: readonly ManifestEntry[]): void {
  const wanted = [...change.removeKeys, ...change.deletes.map((file) => file.dataKey)];
  if (data.some(({ file }) => file.content !== fileContent.data)) {
    throw new MiniodbError("INTERNAL", "A manifest of data files lists delete files.");
  }
  const keys = new Set(data.map((entry) => entry.key));
  const gone = wanted.filter((key) => !keys.has(key));
  if (gone.length > 0) {
    const message = "Files that the commit replaces are not in the table any more.";
    throw new MiniodbError("COMMIT_CONFLICT", message, { gone });
  }
  if (wanted.length === 0) return;
  const byDataKey = deletesByDataKey(deletes);
  const found = new Set(wanted.flatMap((key) => byDataKey.get(key) ?? []).map((entry) => entry.key));
  const known = new Set([...change.appliedDeletes, ...change.deletes.flatMap((file) => file.replaces)]);
  const differing = [...found, ...known].filter((key) => !found.has(key) || !known.has(key));
  if (differing.length === 0) return;
  const message = "Rows of files that the commit replaces were deleted meanwhile.";
  throw new MiniodbError("COMMIT_CONFLICT", message, { deletes: differing });
}

/** Null: that of the snapshot which adds the file. */
function sequenceNumberOf(file: NewDataFile, before: readonly ManifestEntry[]): number | null {
  if (file.rowsOf === undefined) return null;
  const sources = new Set(file.rowsOf);
  const numbers = before.flatMap((entry) => (sources.has(entry.key) ? [entry.sequenceNumber ?? 0] : []));
  return numbers.reduce((left, right) => Math.max(left, right), 0);
}

function changedFiles(
  stayed: readonly ManifestEntry[],
  files: readonly NewDeleteFile[],
  entries: readonly ManifestEntry[],
): ChangePlan["changed"] {
  if (files.length === 0) return [];
  const byKey = new Map(stayed.map((entry) => [entry.key, entry]));
  return files.flatMap(({ dataKey }, index) => {
    const entry = byKey.get(dataKey);
    const deletes = entries[index];
    return entry === undefined || deletes === undefined ? [] : [{ entry, deletes }];
  });
}

/**
 * A file that holds a column under a retired id would read as null there under the new schema (another id), or with the
 * old type's bytes taken for the new one's (same id).
 */
function refuseRetired(entries: readonly ManifestEntry[], retired: ReadonlySet<number>): void {
  if (retired.size === 0) return;
  const holders = entries.filter((entry) => (entry.file.value_counts ?? []).some((pair) => retired.has(pair.key)));
  if (holders.length === 0) return;
  const message = "A column changed its type, and files that hold it were not rewritten with this commit.";
  throw new MiniodbError("COMMIT_CONFLICT", message, { files: holders.map((entry) => entry.key) });
}
