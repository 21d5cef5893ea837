/**
 * Writes what a change of the table's files needs, and names it in a new snapshot.
 *
 * ```
 * v<N+1>.metadata.json ─▶ snapshot ─▶ manifest list ─┬▶ manifest, as it was ──▶ data files
 *                                                     └▶ manifest, new ───────▶ data files, new ones among them
 * ```
 * Objects are written from right to left, so that whoever sees a name finds what it names. All but the first are
 * garbage until the first is there.
 */
import { MiniodbError } from "../errors.js";
import { failpoint } from "../failpoints.js";
import type { DataFile } from "../messages.js";
import type { ColumnType } from "../schema/column-type.js";
import { isDroppedField, type TableSchema } from "../schema/table-schema.js";
import { keyOfUri, manifestKey, manifestListKey, type AttemptName } from "../store/store-paths.js";
import { syncMarker, type CatalogContext } from "./catalog-context.js";
import { checkFiles, type RowsGained } from "./invariants.js";
import {
  encodeManifest,
  newEntry,
  toDataFile,
  withInherited,
  type ManifestEntry,
  type NewDataFile,
} from "./manifest.js";
import {
  decodeManifestList,
  describeManifest,
  encodeManifestList,
  type ManifestFile,
  type SnapshotNumbers,
} from "./manifest-list.js";
import { isLive, planManifests, type LiveManifest } from "./manifest-plan.js";
import { daySpec } from "./partition-spec.js";
import { fromIcebergSchema } from "./schema-json.js";
import { newSnapshotId, withSnapshot, type FileCounts, type NewSnapshot } from "./snapshot.js";
import { currentSchema, currentSnapshot, type Snapshot, type TableMetadata } from "./table-metadata.js";

export interface FileChangeRequest {
  readonly name: AttemptName;
  readonly operation: NewSnapshot["operation"];
  readonly add: readonly NewDataFile[];
  readonly removeKeys: readonly string[];
  /** Field ids that no file may hold afterwards, but for the added ones. */
  readonly retiredFieldIds: ReadonlySet<number>;
  readonly rowsGained: RowsGained;
  readonly nowMs: number;
}

export interface ChangedFiles {
  readonly metadata: TableMetadata;
  readonly added: readonly DataFile[];
}

/** The manifests of a snapshot. Throws INTERNAL where it has delete files, which this version cannot apply. */
export async function readLiveManifests(
  context: CatalogContext,
  snapshot: Snapshot | undefined,
): Promise<LiveManifest[]> {
  if (snapshot === undefined) return [];
  const files = await readManifestList(context, snapshot);
  if (files.some((file) => file.content !== 0)) {
    throw new MiniodbError("INTERNAL", "The table has delete files, which this version does not read.");
  }
  return Promise.all(files.map(async (file) => ({ file, entries: await context.manifests.read(context.store, file) })));
}

/** Throws ObjectNotFound. */
export async function readManifestList(context: CatalogContext, snapshot: Snapshot): Promise<ManifestFile[]> {
  const uri = snapshot["manifest-list"];
  const key = keyOfUri(uri);
  if (key === undefined) throw new MiniodbError("INTERNAL", `Manifest list ${uri} is not of this warehouse.`);
  return decodeManifestList(await context.store.get(key), key);
}

/** The live files of a snapshot, the current one unless another is named. */
export async function readDataFiles(
  context: CatalogContext,
  metadata: TableMetadata,
  snapshot = currentSnapshot(metadata),
): Promise<DataFile[]> {
  const manifests = await readLiveManifests(context, snapshot);
  const types = columnTypesOf(metadata);
  return manifests.flatMap(({ entries }) => entries.filter(isLive).map((entry) => toDataFile(entry, types)));
}

/**
 * The metadata with a snapshot of the changed files; manifests and list are durable in the store when it returns, and
 * garbage until the metadata is committed. Throws COMMIT_CONFLICT when a file to remove is gone.
 */
export async function changeFiles(
  context: CatalogContext,
  base: TableMetadata,
  request: FileChangeRequest,
): Promise<ChangedFiles> {
  const parent = currentSnapshot(base);
  // All of them, also for an append: the invariants look at every live file. They are cached, and never change.
  const live = await readLiveManifests(context, parent);
  const schema = currentSchema(base);
  const snapshotId = newSnapshotId(base, context.random);
  const files = request.add.map((file) => withoutDropped(file, schema));
  const added = files.map((file) =>
    newEntry(file, { schema, sortOrderId: base["default-sort-order-id"], uriOf: (key) => context.store.uri(key) }),
  );
  const plan = planManifests(live, { added, removedKeys: new Set(request.removeKeys), snapshotId });
  if (plan.removed.length !== request.removeKeys.length) throw inputsGone(request.removeKeys, plan.removed);

  // From here on it is clear which files stay: the invariants first, then the objects.
  const before = live.flatMap((manifest) => manifest.entries).filter(isLive);
  const gone = new Set(request.removeKeys);
  const stayed = before.filter((entry) => !gone.has(entry.key));
  refuseRetired(stayed, request.retiredFieldIds);
  const total = countsOf([...stayed, ...added]);
  checkFiles({
    schema,
    added: files,
    removedRows: countsOf(plan.removed).rows,
    rowsGained: request.rowsGained,
    keys: [...before, ...added].map((entry) => entry.key),
    totalBefore: countsOf(before),
    totalAfter: total,
    rowsStated: rowsStated(parent),
  });

  const numbers: SnapshotNumbers = {
    snapshotId,
    parentSnapshotId: parent?.["snapshot-id"] ?? null,
    sequenceNumber: base["last-sequence-number"] + 1,
  };
  const manifests = [
    ...plan.kept,
    ...(await writeManifests(context, base, { name: request.name, numbers, written: plan.written })),
  ];
  failpoint("commit.manifest.written");
  const listKey = manifestListKey(request.name, snapshotId);
  await context.store.put(listKey, encodeManifestList(manifests, numbers, syncMarker(context)));
  failpoint("commit.list.written");
  const metadata = withSnapshot(base, {
    snapshotId,
    operation: request.operation,
    commitId: request.name.commitId,
    manifestListUri: context.store.uri(listKey),
    added: countsOf(added),
    removed: countsOf(plan.removed),
    total,
    changedPartitions: new Set([...added, ...plan.removed].map((entry) => entry.day)).size,
    nowMs: request.nowMs,
  });
  const types = columnTypesOf(base);
  return { metadata, added: added.map((entry) => toDataFile(entry, types)) };
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

interface ManifestsToWrite {
  readonly name: AttemptName;
  readonly numbers: SnapshotNumbers;
  readonly written: readonly (readonly ManifestEntry[])[];
}

async function writeManifests(
  context: CatalogContext,
  base: TableMetadata,
  work: ManifestsToWrite,
): Promise<ManifestFile[]> {
  const schema = currentSchema(base);
  const spec = daySpec(schema);
  const files: ManifestFile[] = [];
  for (const [index, entries] of work.written.entries()) {
    const key = manifestKey(work.name, index);
    const body = encodeManifest(entries, { schema, spec }, syncMarker(context));
    await context.store.put(key, body);
    context.manifests.keep(
      key,
      entries.map((entry) => withInherited(entry, work.numbers)),
    );
    const manifest = { uri: context.store.uri(key), bytes: body.length, specId: spec["spec-id"] };
    files.push(describeManifest(entries, manifest, work.numbers));
  }
  return files;
}

/** Every field id that a retained schema knows; the current schema has the last word. */
function columnTypesOf(metadata: TableMetadata): Map<number, ColumnType> {
  const types = new Map<number, ColumnType>();
  const retained = metadata.schemas.map((schema) => fromIcebergSchema(schema, metadata["last-column-id"]));
  for (const { columns } of [...retained, currentSchema(metadata)]) {
    for (const column of columns) types.set(column.fieldId, column.type);
  }
  return types;
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

function countsOf(entries: readonly ManifestEntry[]): FileCounts {
  let rows = 0;
  let bytes = 0;
  for (const { file } of entries) {
    rows += file.record_count;
    bytes += file.file_size_in_bytes;
  }
  return { files: entries.length, rows, bytes };
}

/** Other writers may leave totals out. */
function rowsStated(snapshot: Snapshot | undefined): number | undefined {
  if (snapshot === undefined) return 0;
  const text = snapshot.summary["total-records"];
  return text === undefined ? undefined : Number(text);
}

function inputsGone(wanted: readonly string[], found: readonly ManifestEntry[]): MiniodbError {
  const keys = new Set(found.map((entry) => entry.key));
  const gone = wanted.filter((key) => !keys.has(key));
  const message = "Files that the commit replaces are not in the table any more.";
  return new MiniodbError("COMMIT_CONFLICT", message, { gone });
}
