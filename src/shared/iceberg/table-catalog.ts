import { MiniodbError } from "../errors.js";
import type { TableIdentity, TableState } from "../messages.js";
import type { SettingsPatch } from "../schema/table-settings.js";
import { ObjectNotFound, type ObjectStore } from "../store/object-store.js";
import { isStoreFailure } from "../store/store-failure.js";
import { catalogContext, type CatalogContext } from "./catalog-context.js";
import { collectGarbage, type GarbageReport, type GarbageRequest } from "./collect-garbage.js";
import { changeTimeMs, commit, type Committed } from "./commit.js";
import {
  commitAppend,
  commitDelete,
  commitRewrite,
  type AppendRequest,
  type DeleteRequest,
  type RewriteRequest,
} from "./commit-files.js";
import { commitRollback, commitTag, commitUntag, type RollbackRequest, type TagRequest } from "./commit-refs.js";
import { commitRetention, type RetentionRequest } from "./commit-retention.js";
import type { CommitResult } from "./commit-result.js";
import { withChangedSettings } from "./schema-change.js";
import { withoutExpired } from "./snapshot.js";
import {
  createTable,
  dropTable,
  findTable,
  listTables,
  loadPastRows,
  loadTable,
  type CreateRequest,
} from "./table-life.js";
import {
  type HistoryRequest,
  type LoadedSnapshot,
  listSnapshots,
  loadSnapshot,
  type SnapshotInfo,
} from "./table-history.js";
import { headOf, type PastRows } from "./table-state.js";

export interface ExpireRequest {
  /** The newest that stay however old they are; the current one always does. */
  readonly keep: number;
  readonly olderThanMs: number;
}

/**
 * The tables of one warehouse, as Iceberg v2 metadata in its object store: the only truth, and safe for any number of
 * writers in any number of processes. For workers: the local store blocks its thread.
 *
 * Every method throws STORE_UNAVAILABLE when the store fails. After that a commit may or may not have been made; the
 * same call with the same `commitId` finds out, and makes it if it was not. When a commit returns it is durable.
 */
export class TableCatalog {
  readonly #context: CatalogContext;

  constructor(store: ObjectStore, parts: Partial<CatalogContext> = {}) {
    this.#context = catalogContext(store, parts);
  }

  /** Throws TABLE_EXISTS, with the other's identity in `details`. */
  createTable(request: CreateRequest): Promise<TableState> {
    return answering(() => createTable(this.#context, request));
  }

  /** The live tables. */
  listTables(): Promise<TableIdentity[]> {
    return answering(() => listTables(this.#context));
  }

  /** By name, whatever its case. */
  findTable(name: string): Promise<TableIdentity | undefined> {
    return answering(() => findTable(this.#context, name));
  }

  /** The latest version with all its files. Throws TABLE_NOT_FOUND. */
  loadTable(identity: TableIdentity): Promise<TableState> {
    return answering(() => loadTable(this.#context, identity));
  }

  /** The files whose rows had all come by this data sequence number (null: all), as they are now. Throws TABLE_NOT_FOUND. */
  loadPastRows(identity: TableIdentity, through: number | null): Promise<PastRows> {
    return answering(() => loadPastRows(this.#context, identity, through));
  }

  /** Newest first. Throws TABLE_NOT_FOUND. */
  listSnapshots(identity: TableIdentity): Promise<SnapshotInfo[]> {
    return answering(() => listSnapshots(this.#context, identity));
  }

  /** The table as it was. Throws TABLE_NOT_FOUND, and NOT_FOUND where that snapshot is not there (any more). */
  loadSnapshot(identity: TableIdentity, request: HistoryRequest): Promise<LoadedSnapshot> {
    return answering(() => loadSnapshot(this.#context, identity, request));
  }

  /**
   * Files, schema, stream position and rows that leave the table in one commit. Throws TABLE_NOT_FOUND, and COMMIT_CONFLICT
   * where the range does not continue the stream's position (`details.position`), the schema does not continue the table's, a
   * file is too old, or rows are to leave a file that is gone (`details.gone`) or has other deletes by now (`details.deletes`).
   */
  commitAppend(identity: TableIdentity, request: AppendRequest): Promise<CommitResult> {
    return this.#committing(identity, () => commitAppend(this.#context, identity, request));
  }

  /**
   * Replaces live files by others in one commit, with the schema that needs it, and with the rows of an append where
   * `append` says so. Throws as commitAppend does, and COMMIT_CONFLICT where a file to remove is gone (`details.gone`) or has
   * other deletes than were applied (`details.deletes`).
   */
  commitRewrite(identity: TableIdentity, request: RewriteRequest): Promise<CommitResult> {
    return this.#committing(identity, () => commitRewrite(this.#context, identity, request));
  }

  /**
   * Takes rows out: by delete files, and whole data files. Throws TABLE_NOT_FOUND, and COMMIT_CONFLICT where one of the data
   * files is gone or has other deletes than the request knows of.
   */
  commitDelete(identity: TableIdentity, request: DeleteRequest): Promise<CommitResult> {
    return this.#committing(identity, () => commitDelete(this.#context, identity, request));
  }

  /** Every file of earlier days goes, in one commit. Throws TABLE_NOT_FOUND. */
  commitRetention(identity: TableIdentity, request: RetentionRequest): Promise<CommitResult> {
    return this.#committing(identity, () => commitRetention(this.#context, identity, request));
  }

  /** A new snapshot with the files of an earlier one. Throws NOT_FOUND, INVALID_REQUEST; see commit-refs.ts. */
  rollback(identity: TableIdentity, request: RollbackRequest): Promise<CommitResult> {
    return this.#committing(identity, () => commitRollback(this.#context, identity, request));
  }

  /** Throws NOT_FOUND where there is no such snapshot (any more). */
  tag(identity: TableIdentity, request: TagRequest): Promise<CommitResult> {
    return this.#committing(identity, () => commitTag(this.#context, identity, request));
  }

  /** Throws NOT_FOUND where there is no such tag. */
  untag(identity: TableIdentity, request: Pick<TagRequest, "commitId" | "name">): Promise<CommitResult> {
    return this.#committing(identity, () => commitUntag(this.#context, identity, request));
  }

  /** What the patch does not name stays as it is: two changes at the same time both count. */
  changeSettings(
    identity: TableIdentity,
    patch: SettingsPatch,
    commitId = this.#context.newUuid(),
  ): Promise<CommitResult> {
    return this.#committing(identity, () =>
      commit(this.#context, identity, {
        commitId,
        states: ["live"],
        build: async ({ metadata }) => {
          return { metadata: withChangedSettings(metadata, patch), delta: { added: [], removedKeys: [] } };
        },
      }),
    );
  }

  /** No later commit finds the table; its objects go with garbage collection. Throws TABLE_NOT_FOUND. */
  dropTable(identity: TableIdentity, commitId = this.#context.newUuid()): Promise<void> {
    return answering(() => dropTable(this.#context, identity, commitId));
  }

  /** Beyond the expiry that every commit does by the options. What the snapshots named becomes garbage. */
  expireSnapshots(identity: TableIdentity, request: ExpireRequest): Promise<CommitResult> {
    const max = Number.POSITIVE_INFINITY;
    return this.#committing(identity, () =>
      commit(this.#context, identity, {
        commitId: this.#context.newUuid(),
        states: ["live"],
        build: async (base) => {
          const nowMs = changeTimeMs(this.#context, base);
          const rule = { keep: request.keep, ageMsMax: request.olderThanMs, max, nowMs };
          return { metadata: withoutExpired(base.metadata, rule), delta: { added: [], removedKeys: [] } };
        },
      }),
    );
  }

  /** See collect-garbage.ts. Tables that cannot be read are left alone and reported. */
  collectGarbage(request: GarbageRequest): Promise<GarbageReport> {
    return answering(() => collectGarbage(this.#context, request));
  }

  #committing(identity: TableIdentity, act: () => Promise<Committed>): Promise<CommitResult> {
    return answering(async () => {
      const { outcome, delta, version, metadata } = await act();
      return { outcome, delta, head: headOf(identity, { version, metadata }) };
    });
  }
}

/** The store's own errors as the one that callers know. An object that metadata names and the store lacks is damage. */
async function answering<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof ObjectNotFound) {
      throw new MiniodbError("INTERNAL", `The store has lost ${error.message}.`, { key: error.message }, error);
    }
    if (!isStoreFailure(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new MiniodbError("STORE_UNAVAILABLE", `The object store failed: ${reason}`, {}, error);
  }
}
