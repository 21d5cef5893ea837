/**
 * A table made anew from the metadata and the manifests of a backup: under a uuid and in a folder of its own, with the files
 * of the one snapshot under new addresses. It comes into being in this order, so that nobody ever sees a part of it:
 *
 * ```
 * delete files (they name their data files by address) ─▶ manifests, list ─▶ v1, state "creating" ─▶ data files ─▶ live
 *                                                                               kept from garbage as long as v<N> is renewed
 * ```
 * Until the last commit it is an announced table like any other that is being made (table-life.ts): not listed, not mirrored,
 * ended by garbage collection when nothing is heard of it for the grace time.
 */
import { assert } from "../assert.js";
import type { TableIdentity } from "../messages.js";
import { manifestKey, manifestListKey, tableLocation, tablePrefix } from "../store/store-paths.js";
import { syncMarker, type CatalogContext } from "./catalog-context.js";
import { countsOf, entriesByContent } from "./change-plan.js";
import { commit } from "./commit.js";
import { deletesByDataKey, fileContent, manifestContent, newDeleteEntry } from "./delete-entry.js";
import { encodeManifest, entryStatus, type ManifestEntry } from "./manifest.js";
import { describeManifest, encodeManifestList, type ManifestFile, type SnapshotNumbers } from "./manifest-list.js";
import { isLive, type LiveManifest } from "./manifest-plan.js";
import { newSnapshotId, withSnapshot } from "./snapshot.js";
import { currentSchema, encodeTableMetadata, type TableMetadata } from "./table-metadata.js";
import {
  commitIdProperty,
  createdProperty,
  nameProperty,
  parentCommitIdProperty,
  positionsOf,
  restoredFromProperty,
  stateProperty,
  withoutPositions,
} from "./table-properties.js";
import { putVersion } from "./version-log.js";

/** A delete file to be written for the new address of its data file. */
export interface DeleteRewrite {
  readonly fromKey: string;
  readonly bytes: number;
  readonly toKey: string;
  readonly dataUri: string;
}

export interface DataCopy {
  readonly fromKey: string;
  readonly bytes: number;
  readonly toKey: string;
}

/** What is to be written before the table can be announced, and after. */
export interface RestorePlan {
  readonly identity: TableIdentity;
  readonly metadata: TableMetadata;
  readonly manifests: readonly LiveManifest[];
  readonly copies: readonly DataCopy[];
  readonly rewrites: readonly DeleteRewrite[];
}

export interface RestoreSource {
  /** With one snapshot; see backup-metadata.ts. */
  readonly metadata: TableMetadata;
  /** Of that snapshot. */
  readonly manifests: readonly LiveManifest[];
  /** The folder that the keys in them begin with. */
  readonly location: string;
}

/** Pure but for the new uuid. Throws INTERNAL for delete files that this server cannot apply. */
export function planRestore(context: CatalogContext, name: string, source: RestoreSource): RestorePlan {
  const uuid = context.newUuid();
  const identity = { name, uuid, location: tableLocation(name, uuid) };
  const moved = (key: string): string => {
    assert(key.startsWith(tablePrefix(source.location)), `${key} is of the table`);
    return identity.location + key.slice(source.location.length);
  };
  const { data, deletes } = entriesByContent(source.manifests);
  const copies = data.map(({ key, file }) => ({ fromKey: key, bytes: file.file_size_in_bytes, toKey: moved(key) }));
  const rewrites = [...deletesByDataKey(deletes)].flatMap(([dataKey, entries]) =>
    entries.map(({ key, file }) => {
      const dataUri = context.store.uri(moved(dataKey));
      return { fromKey: key, bytes: file.file_size_in_bytes, toKey: moved(key), dataUri };
    }),
  );
  return { identity, metadata: source.metadata, manifests: source.manifests, copies, rewrites };
}

export interface RestoreNames {
  readonly backupId: string;
  /** Size of each rewritten delete file, by its old key. */
  readonly rewrittenBytes: ReadonlyMap<string, number>;
}

/** Writes manifests and the first version, which name all files. From then on the table is kept from garbage collection. */
export async function announceRestored(context: CatalogContext, plan: RestorePlan, names: RestoreNames): Promise<void> {
  const { identity } = plan;
  const commitId = context.newUuid();
  await context.checkFence();
  const base = baseMetadata(context, plan, { backupId: names.backupId, commitId });
  const metadata = plan.manifests.length === 0 ? base : await withFiles(context, plan, { names, commitId, base });
  const body = encodeTableMetadata(metadata);
  const isOurs = await putVersion(context, { location: identity.location, version: 1, body, commitId });
  assert(isOurs, "a fresh uuid is nobody else's");
}

/** Says that the restore goes on. Throws TABLE_NOT_FOUND where another creation of the same name has ended it. */
export async function renewRestored(context: CatalogContext, identity: TableIdentity): Promise<void> {
  await commit(context, identity, {
    commitId: context.newUuid(),
    states: ["creating"],
    build: async ({ metadata }) => ({ metadata, delta: { added: [], removedKeys: [] } }),
  });
}

/** No snapshot, and nothing that is of the old table's life: positions of logs, refs, times. */
function baseMetadata(
  context: CatalogContext,
  { identity, metadata }: RestorePlan,
  { backupId, commitId }: { readonly backupId: string; readonly commitId: string },
): TableMetadata {
  const nowMs = context.nowMs();
  const { [parentCommitIdProperty]: _parent, ...properties } = withoutPositions(metadata.properties);
  assert(Object.keys(positionsOf(properties)).length === 0, "another table's positions would hide rows of this one");
  return {
    ...metadata,
    "table-uuid": identity.uuid,
    location: context.store.uri(identity.location),
    "last-updated-ms": nowMs,
    "current-snapshot-id": -1,
    snapshots: [],
    "snapshot-log": [],
    "metadata-log": [],
    refs: {},
    properties: {
      ...properties,
      [nameProperty]: identity.name,
      [createdProperty]: String(nowMs),
      [stateProperty]: "creating",
      [commitIdProperty]: commitId,
      [restoredFromProperty]: backupId,
    },
  };
}

interface Filling {
  readonly names: RestoreNames;
  readonly commitId: string;
  readonly base: TableMetadata;
}

async function withFiles(context: CatalogContext, plan: RestorePlan, filling: Filling): Promise<TableMetadata> {
  const { names, commitId, base } = filling;
  const { location } = plan.identity;
  const name = { location, commitId, attemptUuid: context.newUuid() };
  const numbers: SnapshotNumbers = {
    snapshotId: newSnapshotId(plan.metadata, context.random),
    parentSnapshotId: null,
    sequenceNumber: base["last-sequence-number"] + 1,
  };
  const written = plan.manifests.map((manifest) => {
    return { content: manifest.file.content, entries: movedEntries(context, plan, { manifest, names }) };
  });
  const schema = currentSchema(base);
  const files: ManifestFile[] = [];
  for (const [index, { content, entries }] of written.filter(({ entries }) => entries.length > 0).entries()) {
    const key = manifestKey(name, index);
    const spec = base["partition-specs"][0];
    assert(spec !== undefined, "a table has its spec");
    const kind = content === manifestContent.deletes ? "deletes" : "data";
    const body = encodeManifest(entries, { schema, spec, content: kind }, syncMarker(context));
    await context.store.put(key, body);
    const manifest = { uri: context.store.uri(key), bytes: body.length, specId: spec["spec-id"], content };
    files.push(describeManifest(entries, manifest, numbers));
  }
  const listKey = manifestListKey(name, numbers.snapshotId);
  await context.store.put(listKey, encodeManifestList(files, numbers, syncMarker(context)));
  const all = entriesByContent(written.map(({ entries }, index) => ({ file: manifestAt(plan, index), entries })));
  const none = { files: 0, rows: 0, bytes: 0 };
  const counts = (entries: readonly ManifestEntry[]) => {
    return { added: countsOf(entries), removed: none, total: countsOf(entries) };
  };
  return withSnapshot(base, {
    snapshotId: numbers.snapshotId,
    operation: "append",
    commitId,
    manifestListUri: context.store.uri(listKey),
    ...counts(all.data),
    deletes: counts(all.deletes),
    changedPartitions: new Set(all.data.map(({ day }) => day)).size,
    nowMs: base["last-updated-ms"],
  });
}

function manifestAt(plan: RestorePlan, index: number): ManifestFile {
  const manifest = plan.manifests[index];
  assert(manifest !== undefined, "each list of entries is of one manifest");
  return manifest.file;
}

/**
 * The live entries with their new addresses. They stay as old as they were, which says what deletes apply to; the snapshots
 * that brought them are not in the new table.
 */
function movedEntries(
  context: CatalogContext,
  plan: RestorePlan,
  { manifest, names }: { readonly manifest: LiveManifest; readonly names: RestoreNames },
): ManifestEntry[] {
  const toKeys = new Map(plan.copies.map(({ fromKey, toKey }) => [fromKey, toKey]));
  const rewrites = new Map(plan.rewrites.map((rewrite) => [rewrite.fromKey, rewrite]));
  return manifest.entries.filter(isLive).map((entry) => {
    const age = { sequenceNumber: entry.sequenceNumber, fileSequenceNumber: entry.fileSequenceNumber };
    const same = { ...age, status: entryStatus.existing, snapshotId: entry.snapshotId };
    if (entry.file.content === fileContent.data) {
      const key = toKeys.get(entry.key);
      assert(key !== undefined, "every data file is copied");
      return { ...entry, ...same, key, file: { ...entry.file, file_path: context.store.uri(key) } };
    }
    const rewrite = rewrites.get(entry.key);
    const bytes = names.rewrittenBytes.get(entry.key);
    assert(rewrite !== undefined && bytes !== undefined, "every delete file is written anew");
    const { toKey: key, dataUri } = rewrite;
    const file = { key, bytes, rows: entry.file.record_count, dataKey: "", day: entry.day, replaces: [] };
    return { ...newDeleteEntry(file, context.store.uri(key), dataUri), ...same };
  });
}
