import type { CommitResult } from "../../shared/iceberg/commit-result.js";
import type { NewDataFile } from "../../shared/iceberg/manifest.js";
import type { CommitSchemaTask } from "../../shared/table-messages.js";
import { commitOnce, removeFiles } from "./commit-once.js";
import type { PersistContext } from "./persist-context.js";
import { replaceFields, type Replacement } from "./replace-fields.js";

/**
 * Commits a schema without rows; where it replaces a field, with the files that hold the field, rewritten. Durable when it
 * returns. Throws COMMIT_CONFLICT where one of those files is no longer in the table (nothing changed).
 */
export async function commitSchema(context: PersistContext, task: CommitSchemaTask): Promise<CommitResult> {
  const { identity, schema } = task;
  const add: NewDataFile[] = [];
  let replacement: Replacement;
  try {
    replacement = await replaceFields(context, { identity, schema, onFile: (file) => add.push(file) });
  } catch (error) {
    await removeFiles(context, add);
    throw error;
  }
  const { removedKeys: remove } = replacement;
  return commitOnce(context, {
    identity,
    files: add,
    range: null,
    commit: (commitId) => context.catalog.commitRewrite(identity, { commitId, remove, add, schema }),
  });
}
