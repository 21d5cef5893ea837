/**
 * Writes what a change of the table's files needs, and names it in a new snapshot.
 *
 * ```
 * v<N+1>.metadata.json ─▶ snapshot ─▶ manifest list ─┬▶ manifest, as it was ──▶ data files
 *                                                     ├▶ manifest, new ───────▶ data files, new ones among them
 *                                                     └▶ manifest of deletes ─▶ delete files
 * ```
 * Objects are written from right to left, so that whoever sees a name finds what it names. All but the first are
 * garbage until the first is there.
 */
import { MiniodbError } from "../errors.js";
import { failpoint } from "../failpoints.js";
import type { DataFile } from "../messages.js";
import type { ColumnType } from "../schema/column-type.js";
import { keyOfUri, manifestKey, manifestListKey, type AttemptName } from "../store/store-paths.js";
import { syncMarker, type CatalogContext } from "./catalog-context.js";
import { countsOf, entriesByContent, planChange, type ChangePlan, type FileChanges } from "./change-plan.js";
import { appliesTo, deletesByDataKey, manifestContent, toDeleteFile } from "./delete-entry.js";
import { encodeManifest, toDataFile, withInherited, type ManifestEntry } from "./manifest.js";
import {
  decodeManifestList,
  describeManifest,
  encodeManifestList,
  type ManifestFile,
  type SnapshotNumbers,
} from "./manifest-list.js";
import type { LiveManifest } from "./manifest-plan.js";
import { daySpec } from "./partition-spec.js";
import { fromIcebergSchema } from "./schema-json.js";
import { newSnapshotId, withSnapshot, type NewSnapshot } from "./snapshot.js";
import { currentSchema, currentSnapshot, type Snapshot, type TableMetadata } from "./table-metadata.js";

export interface FileChangeRequest extends FileChanges {
  readonly name: AttemptName;
  readonly operation: NewSnapshot["operation"];
  readonly nowMs: number;
}

export interface ChangedFiles {
  readonly metadata: TableMetadata;
  readonly added: readonly DataFile[];
  /** Files of before that have other deletes now. */
  readonly changed: readonly DataFile[];
}

/** The manifests of a snapshot, of data files and of delete files. */
export async function readLiveManifests(
  context: CatalogContext,
  snapshot: Snapshot | undefined,
): Promise<LiveManifest[]> {
  if (snapshot === undefined) return [];
  const files = await readManifestList(context, snapshot);
  return Promise.all(files.map(async (file) => ({ file, entries: await context.manifests.read(context.store, file) })));
}

/** Throws ObjectNotFound. */
export async function readManifestList(context: CatalogContext, snapshot: Snapshot): Promise<ManifestFile[]> {
  const uri = snapshot["manifest-list"];
  const key = keyOfUri(uri);
  if (key === undefined) throw new MiniodbError("INTERNAL", `Manifest list ${uri} is not of this warehouse.`);
  return decodeManifestList(await context.store.get(key), key);
}

/**
 * The live files of a snapshot, the current one unless another is named, with their deletes. Throws INTERNAL where it has
 * delete files that this server cannot apply.
 */
export async function readDataFiles(
  context: CatalogContext,
  metadata: TableMetadata,
  snapshot = currentSnapshot(metadata),
): Promise<DataFile[]> {
  return (await readSequencedFiles(context, metadata, snapshot)).map(({ file }) => file);
}

interface SequencedFile {
  readonly file: DataFile;
  /** Of the snapshot that brought the file's newest rows. */
  readonly sequenceNumber: number;
}

/** As readDataFiles, each with its data sequence number. */
export async function readSequencedFiles(
  context: CatalogContext,
  metadata: TableMetadata,
  snapshot = currentSnapshot(metadata),
): Promise<SequencedFile[]> {
  return sequencedFilesOf(context, metadata, await readLiveManifests(context, snapshot));
}

/** The live files of a snapshot's manifests. */
export function sequencedFilesOf(
  context: CatalogContext,
  metadata: TableMetadata,
  manifests: readonly LiveManifest[],
): SequencedFile[] {
  const types = columnTypesOf(metadata);
  const { data, deletes: deleteEntries } = entriesByContent(manifests);
  const deletes = deletesByDataKey(deleteEntries);
  return data.map((entry) => {
    const applied = (deletes.get(entry.key) ?? []).filter((candidate) => appliesTo(candidate, entry));
    const file = dataFileOf(context, entry, toDataFile(entry, types, applied.map(toDeleteFile)));
    return { file, sequenceNumber: entry.sequenceNumber ?? 0 };
  });
}

/** With the file's name in the catalog, where the store has another for it. */
function dataFileOf(context: CatalogContext, entry: ManifestEntry, file: DataFile): DataFile {
  const uri = entry.file.file_path;
  return uri === context.store.uri(entry.key) ? file : { ...file, uri };
}

/**
 * The metadata with a snapshot of the changed files; manifests and list are durable in the store when it returns, and
 * garbage until the metadata is committed. Throws COMMIT_CONFLICT when a file to remove, or to delete rows of, is gone or
 * has other deletes than the request knows of.
 */
export async function changeFiles(
  context: CatalogContext,
  base: TableMetadata,
  request: FileChangeRequest,
): Promise<ChangedFiles> {
  const parent = currentSnapshot(base);
  // All of them, also for an append: the invariants look at every live file. They are cached, and never change.
  const live = await readLiveManifests(context, parent);
  const snapshotId = newSnapshotId(base, context.random);
  // From here on it is clear which files stay: the invariants first, then the objects.
  const plan = planChange(live, request, {
    schema: currentSchema(base),
    sortOrderId: base["default-sort-order-id"],
    snapshotId,
    uriOf: (key) => context.store.uri(key),
    rowsStated: rowsStated(parent),
  });
  const numbers: SnapshotNumbers = {
    snapshotId,
    parentSnapshotId: parent?.["snapshot-id"] ?? null,
    sequenceNumber: base["last-sequence-number"] + 1,
  };
  const manifests = await writeManifests(context, base, { name: request.name, numbers, plan });
  failpoint("commit.manifest.written");
  const listKey = manifestListKey(request.name, snapshotId);
  await context.store.put(listKey, encodeManifestList(manifests, numbers, syncMarker(context)));
  failpoint("commit.list.written");
  const { data, deletes } = plan;
  const touched = [...data.added, ...data.manifests.removed, ...deletes.added, ...deletes.manifests.removed];
  const metadata = withSnapshot(base, {
    snapshotId,
    operation: request.operation,
    commitId: request.name.commitId,
    manifestListUri: context.store.uri(listKey),
    ...changeCounts(data),
    deletes: changeCounts(deletes),
    changedPartitions: new Set(touched.map((entry) => entry.day)).size,
    nowMs: request.nowMs,
  });
  const types = columnTypesOf(base);
  return {
    metadata,
    added: data.added.map((entry) => toDataFile(entry, types)),
    changed: plan.changed.map(({ entry, deletes: newest }) =>
      dataFileOf(context, entry, toDataFile(entry, types, [toDeleteFile(newest)])),
    ),
  };
}

function changeCounts({ added, manifests, total }: ChangePlan["data"]) {
  return { added: countsOf(added), removed: countsOf(manifests.removed), total };
}

interface ManifestsToWrite {
  readonly name: AttemptName;
  readonly numbers: SnapshotNumbers;
  readonly plan: ChangePlan;
}

/** All manifests of the new list: the kept ones, and the written ones, which are in the store then. */
async function writeManifests(
  context: CatalogContext,
  base: TableMetadata,
  { name, numbers, plan }: ManifestsToWrite,
): Promise<ManifestFile[]> {
  const schema = currentSchema(base);
  const spec = daySpec(schema);
  const written = (["data", "deletes"] as const).flatMap((content) =>
    plan[content].manifests.written.map((entries) => ({ content, entries })),
  );
  const files: ManifestFile[] = [];
  for (const [index, { content, entries }] of written.entries()) {
    const key = manifestKey(name, index);
    const body = encodeManifest(entries, { schema, spec, content }, syncMarker(context));
    await context.store.put(key, body);
    context.manifests.keep(
      key,
      entries.map((entry) => withInherited(entry, numbers)),
    );
    const uri = context.store.uri(key);
    const manifest = { uri, bytes: body.length, specId: spec["spec-id"], content: manifestContent[content] };
    files.push(describeManifest(entries, manifest, numbers));
  }
  return [...plan.data.manifests.kept, ...plan.deletes.manifests.kept, ...files];
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

/** Other writers may leave totals out. */
function rowsStated(snapshot: Snapshot | undefined): number | undefined {
  if (snapshot === undefined) return 0;
  const text = snapshot.summary["total-records"];
  return text === undefined ? undefined : Number(text);
}
