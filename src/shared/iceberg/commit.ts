/**
 * The commit loop: read the latest version, apply a change to it, claim the next number, check that the claim holds.
 *
 * ```
 * list versions ─▶ read v<N> ─▶ change: manifests, list ─▶ invariants ─▶ put-if-absent v<N+1> ─▶ still in the chain? ─▶ hint
 *      ▲                                                                    │ another's                 │ no
 *      └──────────────────────────── wait a little ◀────────────────────────┴───────────────────────────┘
 * ```
 * Every version carries the uuid of the commit that made it and of the one before, so "is this mine" has an answer after
 * an unclear put, in a repeated call, and for a writer that slept.
 */
import { MiniodbError } from "../errors.js";
import { failpoint } from "../failpoints.js";
import { limits } from "../limits.js";
import type { TableIdentity } from "../messages.js";
import { ObjectNotFound } from "../store/object-store.js";
import { versionKey, type AttemptName } from "../store/store-paths.js";
import type { CatalogContext } from "./catalog-context.js";
import type { FileDelta } from "./commit-result.js";
import { checkVersion } from "./invariants.js";
import { withoutExpired, withoutUnusedSchemas } from "./snapshot.js";
import { encodeTableMetadata, snapshotsOf, type TableMetadata } from "./table-metadata.js";
import { commitIdProperty, lifeState, parentCommitIdProperty, type TableLifeState } from "./table-properties.js";
import { isInChain, putVersion, readLatest, writeHint, type NewVersion, type TableVersion } from "./version-log.js";

export interface Change {
  /** The same in every repetition of the same logical commit. */
  readonly commitId: string;
  /** States in which the change makes sense; a table in another is not found. */
  readonly states: readonly TableLifeState[];
  /** Applies the change to a version; called again for another one after a lost race. Objects it writes carry `name`. */
  readonly build: (base: TableVersion, name: AttemptName) => Promise<Built>;
}

export interface Built {
  readonly metadata: TableMetadata;
  readonly delta: Omit<FileDelta, "baseVersion">;
}

export interface Committed extends TableVersion {
  readonly outcome: "committed" | "already-committed";
  readonly delta: FileDelta | null;
}

const waitMs = 4;
const waitMsMax = 250;

/**
 * Commits a change. When it returns, the version is durable and part of the table's chain, and the store was the first
 * pool when it was written. Throws TABLE_NOT_FOUND, COMMIT_CONFLICT and POOL_SUPERSEDED (not made), STORE_UNAVAILABLE (may or may not have been made: repeat with the same commit id), and
 * what `build` throws (not made).
 */
export async function commit(context: CatalogContext, identity: TableIdentity, change: Change): Promise<Committed> {
  const { location } = identity;
  const deadlineMs = context.nowMs() + context.options.commitMsMax;
  failpoint("commit.begun");
  for (let attempt = 1; attempt <= limits.commitAttemptsMax; attempt++) {
    const [base] = await Promise.all([readLatest(context.store, location), context.checkFence()]);
    if (base === undefined) throw notFound(identity);
    if (hasCommit(base.metadata, change.commitId)) return { ...base, outcome: "already-committed", delta: null };
    if (!change.states.includes(lifeState(base.metadata.properties))) throw notFound(identity);
    // Not the commit's own uuid with a number: the same commit may be asked for again, and objects are cached by their keys.
    const name = { location, commitId: change.commitId, attemptUuid: context.newUuid() };
    const built = await build(context, base, { change, name });
    if (built === undefined) continue;
    const metadata = finish(context, base, { metadata: built.metadata, location, commitId: change.commitId });
    checkVersion(base.metadata, metadata);
    if (context.nowMs() > deadlineMs) break;
    const version = base.version + 1;
    const next = { location, version, body: encodeTableMetadata(metadata), commitId: change.commitId };
    const claim = await claimVersion(context, next);
    if (claim === "made") {
      await writeHint(context.store, location, version);
      failpoint("commit.hint.written");
      return { version, metadata, outcome: "committed", delta: { baseVersion: base.version, ...built.delta } };
    }
    if (claim === "outside the chain") await context.store.delete(versionKey(location, version));
    await context.sleep(context.random() * Math.min(waitMsMax, waitMs * attempt));
  }
  throw new MiniodbError(
    "COMMIT_CONFLICT",
    `Table "${identity.name}" changes so fast that the commit found no place in time.`,
  );
}

/**
 * From the put on no error says "not made" any more, whatever it is: its caller would remove the files that the version
 * may name. So all of them become STORE_UNAVAILABLE.
 */
async function claimVersion(
  context: CatalogContext,
  next: NewVersion,
): Promise<"made" | "another's" | "outside the chain"> {
  try {
    if (!(await putVersion(context, next))) return "another's";
    failpoint("commit.metadata.written");
    // Fenced meanwhile: who did so may have copied the table before this version was there.
    const [isMade] = await Promise.all([isInChain(context.store, next), context.checkFence()]);
    return isMade ? "made" : "outside the chain";
  } catch (error) {
    const key = versionKey(next.location, next.version);
    const message = `It is not clear whether ${key} was written and stands.`;
    throw new MiniodbError("STORE_UNAVAILABLE", message, { key, unclear: true }, error);
  }
}

/** Undefined when the base was replaced and expired meanwhile, and what it names is gone. */
async function build(
  context: CatalogContext,
  base: TableVersion,
  { change, name }: { readonly change: Change; readonly name: AttemptName },
): Promise<Built | undefined> {
  try {
    return await change.build(base, name);
  } catch (error) {
    if (!(error instanceof ObjectNotFound)) throw error;
    const latest = await readLatest(context.store, name.location);
    if (latest?.version === base.version) throw error;
    return undefined;
  }
}

/** True when the version, or one that it grew from, is the work of this commit. */
export function hasCommit(metadata: TableMetadata, commitId: string): boolean {
  if (metadata.properties[commitIdProperty] === commitId) return true;
  return snapshotsOf(metadata).some((snapshot) => snapshot.summary[commitIdProperty] === commitId);
}

/** What every version gets, whatever the change: expiry, the logs, the time, the commit's marks. */
function finish(
  context: CatalogContext,
  base: TableVersion,
  change: { readonly metadata: TableMetadata; readonly location: string; readonly commitId: string },
): TableMetadata {
  const { snapshotsKeep, snapshotAgeMsMax } = context.options;
  const nowMs = changeTimeMs(context, base);
  const rule = {
    keep: snapshotsKeep,
    ageMsMax: snapshotAgeMsMax,
    max: Math.max(snapshotsKeep, limits.snapshotsMax),
    nowMs,
  };
  const kept = withoutUnusedSchemas(withoutExpired(change.metadata, rule));
  const replaced = {
    "metadata-file": context.store.uri(versionKey(change.location, base.version)),
    "timestamp-ms": base.metadata["last-updated-ms"],
  };
  return {
    ...kept,
    location: context.store.uri(change.location),
    "last-updated-ms": nowMs,
    "metadata-log": [...(kept["metadata-log"] ?? []), replaced].slice(-limits.metadataLogMax),
    properties: {
      ...kept.properties,
      [commitIdProperty]: change.commitId,
      [parentCommitIdProperty]: base.metadata.properties[commitIdProperty] ?? "",
    },
  };
}

/** Time of a change on this base: readers refuse a snapshot that is older than the metadata before it. */
export function changeTimeMs(context: CatalogContext, base: TableVersion): number {
  return Math.max(context.nowMs(), base.metadata["last-updated-ms"]);
}

export function notFound(identity: TableIdentity): MiniodbError {
  return new MiniodbError("TABLE_NOT_FOUND", `No table has the name "${identity.name}" and the uuid ${identity.uuid}.`);
}
