import type { CommitResult } from "../../shared/iceberg/commit-result.js";
import type { NewDataFile } from "../../shared/iceberg/manifest.js";
import type { CommitSchemaTask } from "../../shared/table-messages.js";
import { commitOnce, removeFiles } from "./commit-once.js";
import type { PersistContext } from "./persist-context.js";
import { replaceFields, type Replacement } from "./replace-fields.js";

/**
 * Commits a schema without rows, and the settings that are to change with it; where it replaces a field, with the files that
 * hold the field, rewritten. Durable when it returns. Throws COMMIT_CONFLICT where one of those files is no longer in the table, or lost further rows
 * meanwhile (nothing changed).
 */
export async function commitSchema(context: PersistContext, task: CommitSchemaTask): Promise<CommitResult> {
  const { identity, schema, settings } = task;
  const add: NewDataFile[] = [];
  let replacement: Replacement;
  try {
    replacement = await replaceFields(context, { identity, schema, onFile: (file) => add.push(file) });
  } catch (error) {
    await removeFiles(context, add);
    throw error;
  }
  const { removedKeys: remove, appliedDeletes } = replacement;
  return commitOnce(context, {
    identity,
    files: add,
    range: null,
    commit: (commitId) => {
      const request = { commitId, remove, appliedDeletes, add, schema, ...(settings !== undefined && { settings }) };
      return context.catalog.commitRewrite(identity, request);
    },
  });
}
