/** Commits about snapshots: back to an earlier one, and tags, which keep theirs from expiry. */
import { MiniodbError } from "../errors.js";
import { failpoint } from "../failpoints.js";
import { limits } from "../limits.js";
import type { DataFile, DeleteFile, TableIdentity } from "../messages.js";
import { columnByFieldId } from "../schema/table-schema.js";
import { manifestListKey, type AttemptName } from "../store/store-paths.js";
import { syncMarker, type CatalogContext } from "./catalog-context.js";
import { changeTimeMs, commit, type Built, type Committed } from "./commit.js";
import { readDataFiles, readManifestList } from "./file-change.js";
import { deleteKeysOf } from "./live-rows.js";
import { encodeManifestList } from "./manifest-list.js";
import { newSnapshotId, withSnapshot, type FileCounts, type NewSnapshot } from "./snapshot.js";
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
  const before = await readDataFiles(context, metadata);
  const after = await readDataFiles(context, metadata, target);
  if (!rollback.allowMissingColumns) refuseMissing(metadata, target, after);
  const keysBefore = new Set(before.map((file) => file.key));
  const keysAfter = new Set(after.map((file) => file.key));
  const added = after.filter((file) => !keysBefore.has(file.key));
  const removed = before.filter((file) => !keysAfter.has(file.key));
  const deletes = deletesOf(before);
  const changed = after.filter(
    (file) => keysBefore.has(file.key) && deletes.get(file.key) !== deleteKeysOf([file]).join(),
  );
  const snapshotId = newSnapshotId(metadata, context.random);
  const numbers = {
    snapshotId,
    parentSnapshotId: current?.["snapshot-id"] ?? null,
    sequenceNumber: metadata["last-sequence-number"] + 1,
  };
  // The manifests as they are: what they say of sequence numbers, and so of what applies to what, was true and stays so.
  const list = encodeManifestList(await readManifestList(context, target), numbers, syncMarker(context));
  const listKey = manifestListKey(rollback.name, snapshotId);
  await context.store.put(listKey, list);
  failpoint("commit.list.written");
  const next = withSnapshot(metadata, {
    snapshotId,
    operation: "overwrite",
    commitId: rollback.name.commitId,
    manifestListUri: context.store.uri(listKey),
    added: countsOf(added),
    removed: countsOf(removed),
    total: countsOf(after),
    deletes: deleteCounts(before, after),
    changedPartitions: new Set([...added, ...removed].map((file) => file.day)).size,
    nowMs: changeTimeMs(context, base),
  });
  return { metadata: next, delta: { added, removedKeys: removed.map((file) => file.key), changed } };
}

/** Which delete files each data file has. */
function deletesOf(files: readonly DataFile[]): Map<string, string> {
  return new Map(files.map((file) => [file.key, deleteKeysOf([file]).join()]));
}

/** Rows deleted since come back, and rows deleted then are gone again. */
function deleteCounts(before: readonly DataFile[], after: readonly DataFile[]): NewSnapshot["deletes"] {
  const deletesBefore = before.flatMap((file) => file.deletes ?? []);
  const deletesAfter = after.flatMap((file) => file.deletes ?? []);
  const keysBefore = new Set(deletesBefore.map((file) => file.key));
  const keysAfter = new Set(deletesAfter.map((file) => file.key));
  return {
    added: countsOf(deletesAfter.filter((file) => !keysBefore.has(file.key))),
    removed: countsOf(deletesBefore.filter((file) => !keysAfter.has(file.key))),
    total: countsOf(deletesAfter),
  };
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

function countsOf(files: readonly DeleteFile[]): FileCounts {
  const sum = (count: (file: DeleteFile) => number): number => files.reduce((total, file) => total + count(file), 0);
  return { files: files.length, rows: sum((file) => file.rows), bytes: sum((file) => file.bytes) };
}

export interface TagRequest {
  readonly commitId?: string;
  readonly name: string;
  /** What the tag names from now on, wherever it stood before; null: the current snapshot. */
  readonly at: HistoryRequest["at"] | null;
}

/** Names a snapshot: it stays, with its files, until no tag names it. Throws NOT_FOUND, and INVALID_REQUEST for too many. */
export async function commitTag(context: CatalogContext, identity: TableIdentity, tag: TagRequest): Promise<Committed> {
  return commitReferences(context, identity, tag.commitId, (metadata) => {
    const snapshot = tag.at === null ? currentSnapshot(metadata) : findSnapshot(metadata, tag.at);
    if (snapshot === undefined) throw noSnapshot(identity, metadata, tag.at ?? { kind: "current" });
    const refs = metadata.refs ?? {};
    const known = Object.hasOwn(refs, tag.name) ? refs[tag.name] : undefined;
    if (known !== undefined && known.type !== "tag") {
      throw new MiniodbError("INVALID_REQUEST", `${tag.name} is a branch of the table`, { field: "tag" });
    }
    if (known === undefined && Object.keys(refs).length > limits.tagsMax) {
      throw new MiniodbError("INVALID_REQUEST", `The table has ${limits.tagsMax} tags: delete one first`, {
        field: "tag",
      });
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
  return commitReferences(context, identity, tag.commitId, (metadata) => {
    const { [tag.name]: known, ...others } = metadata.refs ?? {};
    if (known?.type === "tag") return others;
    throw new MiniodbError("NOT_FOUND", `Table ${identity.name} has no tag ${tag.name}`, { table: identity.name });
  });
}

async function commitReferences(
  context: CatalogContext,
  identity: TableIdentity,
  commitId: string | undefined,
  change: (metadata: TableMetadata) => NonNullable<TableMetadata["refs"]>,
): Promise<Committed> {
  return commit(context, identity, {
    commitId: commitId ?? context.newUuid(),
    states: ["live"],
    build: async ({ metadata }) => ({
      metadata: { ...metadata, refs: change(metadata) },
      delta: { added: [], removedKeys: [] },
    }),
  });
}
