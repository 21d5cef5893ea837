/** The commit that ends the life of whole days. */
import type { TableIdentity } from "../messages.js";
import type { CatalogContext } from "./catalog-context.js";
import { changeTimeMs, commit, type Committed } from "./commit.js";
import { changeFiles, readDataFiles } from "./file-change.js";
import { deleteKeysOf, liveRowsOf } from "./live-rows.js";

export interface RetentionRequest {
  /** The same in every repetition; a new one is made where it is left out. */
  readonly commitId?: string;
  /** Files of earlier days go: days since 1970-01-01. */
  readonly beforeDay: number;
}

/**
 * Takes every file of earlier days out of the table, with its delete files, in one commit. Which they are is asked of the version that the commit
 * builds on, so that a flush or a merge at the same time costs a repetition, never a row of a later day. A merge that
 * reads one of the files finds it gone, and is planned anew. Snapshots before this one keep the files until they expire.
 */
export async function commitRetention(
  context: CatalogContext,
  identity: TableIdentity,
  request: RetentionRequest,
): Promise<Committed> {
  return commit(context, identity, {
    commitId: request.commitId ?? context.newUuid(),
    states: ["live"],
    build: async (base, name) => {
      const { metadata } = base;
      const files = (await readDataFiles(context, metadata)).filter((file) => file.day < request.beforeDay);
      if (files.length === 0) return { metadata, delta: { added: [], removedKeys: [] } };
      const rows = files.reduce((sum, file) => sum + liveRowsOf(file), 0);
      const removedKeys = files.map((file) => file.key);
      const changed = await changeFiles(context, metadata, {
        name,
        operation: "delete",
        add: [],
        removeKeys: removedKeys,
        appliedDeletes: deleteKeysOf(files),
        deletes: [],
        retiredFieldIds: new Set(),
        rowsGained: { min: -rows, max: -rows },
        nowMs: changeTimeMs(context, base),
      });
      return { metadata: changed.metadata, delta: { added: [], removedKeys } };
    },
  });
}
