/** Commits about snapshots: back to an earlier one, and tags, which keep theirs from expiry. */
import { MiniodbError } from "../errors.js";
import { failpoint } from "../failpoints.js";
import { limits } from "../limits.js";
import type { DataFile, TableIdentity } from "../messages.js";
import { columnByFieldId } from "../schema/table-schema.js";
import { backupOfTag, manifestListKey, type AttemptName } from "../store/store-paths.js";
import { syncMarker, type CatalogContext } from "./catalog-context.js";
import { changeTimeMs, commit, type Built, type Change, type Committed } from "./commit.js";
import { countsOf, entriesByContent } from "./change-plan.js";
import { readLiveManifests, sequencedFilesOf } from "./file-change.js";
import type { ManifestEntry } from "./manifest.js";
import { encodeManifestList, type ManifestFile } from "./manifest-list.js";
import { newSnapshotId, withSnapshot } from "./snapshot.js";
import { currentSchema, currentSnapshot, type Snapshot, type TableMetadata } from "./table-metadata.js";
import { findSnapshot, noSnapshot, schemaOf, type HistoryRequest } from "./table-history.js";
import type { TableVersion } from "./version-log.js";

export interface RollbackRequest {
  readonly commitId?: string;
  readonly at: HistoryRequest["at"];
  /** The table's present schema lacks columns of the snapshot, or has them under another type: go back without them. */
  readonly allowMissingColumns: boolean;
}

/**
 * Makes a new snapshot of the files that an earlier one has. The history goes on: what was current until now can be gone
 * back to, too, and the positions of WAL streams stay where they are, so that no row is flushed twice. The schema is the
 * present one. Throws NOT_FOUND where there is no such snapshot (any more), and INVALID_REQUEST, naming the columns, where
 * files of the snapshot have columns that the schema lacks.
 *
 * ```
 * snapshots   1 ── 2 ── 3 ── 4            back to 2:   1 ── 2 ── 3 ── 4 ── 5, with the manifests of 2
 * ```
 */
export async function commitRollback(
  context: CatalogContext,
  identity: TableIdentity,
  request: RollbackRequest,
): Promise<Committed> {
  return commit(context, identity, {
    commitId: request.commitId ?? context.newUuid(),
    states: ["live"],
    build: async (base, name) => {
      const target = findSnapshot(base.metadata, request.at);
      if (target === undefined) throw noSnapshot(identity, base.metadata, request.at);
      return rolledBack(context, base, { name, target, allowMissingColumns: request.allowMissingColumns });
    },
  });
}

interface Rollback {
  readonly name: AttemptName;
  readonly target: Snapshot;
  readonly allowMissingColumns: boolean;
}

async function rolledBack(context: CatalogContext, base: TableVersion, rollback: Rollback): Promise<Built> {
  const { metadata } = base;
  const { target } = rollback;
  const current = currentSnapshot(metadata);
  if (current?.["snapshot-id"] === target["snapshot-id"]) return { metadata, delta: { added: [], removedKeys: [] } };
  const before = await readContents(context, metadata, current);
  const after = await readContents(context, metadata, target);
  if (!rollback.allowMissingColumns) refuseMissing(metadata, target, after.files);
  const data = changeOf(before.entries.data, after.entries.data);
  const deletes = changeOf(before.entries.deletes, after.entries.deletes);
  const snapshotId = newSnapshotId(metadata, context.random);
  const numbers = {
    snapshotId,
    parentSnapshotId: current?.["snapshot-id"] ?? null,
    sequenceNumber: metadata["last-sequence-number"] + 1,
  };
  // The manifests as they are, of delete files too: what they say of sequence numbers, and so of what applies to what, was
  // true and stays so.
  const list = encodeManifestList(after.manifests, numbers, syncMarker(context));
  const listKey = manifestListKey(rollback.name, snapshotId);
  await context.store.put(listKey, list);
  failpoint("commit.list.written");
  const touched = [...data.added, ...data.removed, ...deletes.added, ...deletes.removed];
  const next = withSnapshot(metadata, {
    snapshotId,
    operation: "overwrite",
    commitId: rollback.name.commitId,
    manifestListUri: context.store.uri(listKey),
    ...countsOfChange(data),
    deletes: countsOfChange(deletes),
    changedPartitions: new Set(touched.map((entry) => entry.day)).size,
    nowMs: changeTimeMs(context, base),
  });
  // As a whole: of a file that both have, its deletes and what else is known of it may differ.
  return { metadata: next, delta: { added: after.files, removedKeys: before.files.map(({ key }) => key) } };
}

interface Contents {
  readonly manifests: readonly ManifestFile[];
  readonly entries: ReturnType<typeof entriesByContent>;
  readonly files: readonly DataFile[];
}

async function readContents(
  context: CatalogContext,
  metadata: TableMetadata,
  snapshot: Snapshot | undefined,
): Promise<Contents> {
  const live = await readLiveManifests(context, snapshot);
  return {
    manifests: live.map(({ file }) => file),
    entries: entriesByContent(live),
    files: sequencedFilesOf(context, metadata, live).map(({ file }) => file),
  };
}

interface EntryChange {
  readonly added: readonly ManifestEntry[];
  readonly removed: readonly ManifestEntry[];
  readonly total: readonly ManifestEntry[];
}

function changeOf(before: readonly ManifestEntry[], after: readonly ManifestEntry[]): EntryChange {
  return { added: without(after, before), removed: without(before, after), total: after };
}

function countsOfChange({ added, removed, total }: EntryChange) {
  return { added: countsOf(added), removed: countsOf(removed), total: countsOf(total) };
}

/** Those whose key none of the others has. */
function without<Keyed extends { readonly key: string }>(files: readonly Keyed[], others: readonly Keyed[]): Keyed[] {
  const keys = new Set(others.map((other) => other.key));
  return files.filter((file) => !keys.has(file.key));
}

/** A column that was dropped, or became double since, would be gone from the rows without a word. */
function refuseMissing(metadata: TableMetadata, target: Snapshot, files: readonly DataFile[]): void {
  const schema = currentSchema(metadata);
  const held = new Set(files.flatMap((file) => file.fieldIds));
  const missing = schemaOf(target, metadata).columns.filter(({ fieldId, type }) => {
    return held.has(fieldId) && columnByFieldId(schema, fieldId)?.type !== type;
  });
  if (missing.length === 0) return;
  const columns = missing.map((column) => column.name);
  const message = `Rows of that snapshot have columns that the table lacks now (${columns.join(", ")}): say allow_missing_columns to go back without them`;
  throw new MiniodbError("INVALID_REQUEST", message, { field: "allow_missing_columns", columns });
}

export interface TagRequest {
  readonly commitId?: string;
  readonly name: string;
  /** What the tag names from now on, wherever it stood before; null: the current snapshot. */
  readonly at: HistoryRequest["at"] | null;
}

/** Names a snapshot: it stays, with its files, until no tag names it. Throws NOT_FOUND, and INVALID_REQUEST for too many. */
export async function commitTag(context: CatalogContext, identity: TableIdentity, tag: TagRequest): Promise<Committed> {
  return commitReferences(context, identity, { commitId: tag.commitId, states: ["live"] }, (metadata) => {
    const snapshot = tag.at === null ? currentSnapshot(metadata) : findSnapshot(metadata, tag.at);
    if (snapshot === undefined) throw noSnapshot(identity, metadata, tag.at ?? { kind: "current" });
    const refs = metadata.refs ?? {};
    const known = Object.hasOwn(refs, tag.name) ? refs[tag.name] : undefined;
    if (known !== undefined && known.type !== "tag") {
      throw new MiniodbError("INVALID_REQUEST", `${tag.name} is a branch of the table`, { field: "tag" });
    }
    const isBackup = backupOfTag(tag.name) !== undefined;
    const tagsMax = isBackup ? limits.backupTagsMax : limits.tagsMax;
    const alike = Object.keys(refs).filter((name) => (backupOfTag(name) !== undefined) === isBackup && name !== "main");
    if (known === undefined && alike.length >= tagsMax) {
      const what = isBackup ? "tags of backups" : "tags";
      const message = `Table ${identity.name} has ${tagsMax} ${what}: delete one first`;
      throw new MiniodbError("INVALID_REQUEST", message, { field: "tag" });
    }
    return { ...refs, [tag.name]: { "snapshot-id": snapshot["snapshot-id"], type: "tag" } };
  });
}

/** The snapshot expires like any other from here on. Throws NOT_FOUND where there is no such tag. */
export async function commitUntag(
  context: CatalogContext,
  identity: TableIdentity,
  tag: Pick<TagRequest, "commitId" | "name">,
): Promise<Committed> {
  // A backup keeps its snapshot of a table that was dropped since, too.
  const states: Change["states"] = backupOfTag(tag.name) === undefined ? ["live"] : ["live", "dropped"];
  return commitReferences(context, identity, { commitId: tag.commitId, states }, (metadata) => {
    const { [tag.name]: known, ...others } = metadata.refs ?? {};
    if (known?.type === "tag") return others;
    throw new MiniodbError("NOT_FOUND", `Table ${identity.name} has no tag ${tag.name}`, { table: identity.name });
  });
}

async function commitReferences(
  context: CatalogContext,
  identity: TableIdentity,
  { commitId, states }: { readonly commitId: string | undefined; readonly states: Change["states"] },
  change: (metadata: TableMetadata) => NonNullable<TableMetadata["refs"]>,
): Promise<Committed> {
  return commit(context, identity, {
    commitId: commitId ?? context.newUuid(),
    states,
    build: async ({ metadata }) => ({
      metadata: { ...metadata, refs: change(metadata) },
      delta: { added: [], removedKeys: [] },
    }),
  });
}
