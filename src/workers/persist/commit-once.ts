import { randomUUID } from "node:crypto";
import { MiniodbError } from "../../shared/errors.js";
import type { StreamRange } from "../../shared/iceberg/commit-files.js";
import type { CommitResult } from "../../shared/iceberg/commit-result.js";
import type { DataFile, TableIdentity } from "../../shared/messages.js";
import type { PersistContext } from "./persist-context.js";

const attemptsMax = 4;
const waitMs = 100;

export interface CommitAttempt {
  readonly identity: TableIdentity;
  /** Files that only this commit names: removed where it is certain that it was not made. */
  readonly files: readonly Pick<DataFile, "key">[];
  /** The rows that the commit brings to the table; null where it brings none. */
  readonly range: StreamRange | null;
  /** One call of the catalog, which knows by the id what an earlier call has done. */
  readonly commit: (commitId: string) => Promise<CommitResult>;
}

/**
 * Makes a commit once, repeating it under one id while the store answers nothing clear. A range that the table holds
 * already counts as made: its commit was that of an earlier task whose answer was lost.
 *
 * Throws COMMIT_CONFLICT and TABLE_NOT_FOUND (not made), STORE_UNAVAILABLE (may or may not have been made).
 */
export async function commitOnce(context: PersistContext, attempt: CommitAttempt): Promise<CommitResult> {
  const commitId = randomUUID();
  let isUnclear = false;
  for (let count = 1; ; count++) {
    try {
      return await attempt.commit(commitId);
    } catch (error) {
      if (error instanceof MiniodbError && error.code === "STORE_UNAVAILABLE") {
        isUnclear = true;
        if (count === attemptsMax) throw error;
        await context.sleep(waitMs * 2 ** (count - 1));
        continue;
      }
      // A call that may still take effect may name the files.
      if (!isUnclear) await removeFiles(context, attempt.files);
      const done = await committedBefore(context, attempt, error);
      if (done === undefined) throw error;
      return done;
    }
  }
}

/** The table's head, when the conflict says that the position is where the commit would have moved it. */
async function committedBefore(
  context: PersistContext,
  { identity, range }: CommitAttempt,
  error: unknown,
): Promise<CommitResult | undefined> {
  if (!(error instanceof MiniodbError) || error.code !== "COMMIT_CONFLICT" || range === null) return undefined;
  if (error.details["position"] !== range.lastSequence) return undefined;
  const { files: _, ...head } = await context.catalog.loadTable(identity);
  return { outcome: "already-committed", head, delta: null };
}

/** Best effort: what stays behind is garbage, and collected as such. */
export async function removeFiles(context: PersistContext, files: readonly Pick<DataFile, "key">[]): Promise<void> {
  for (const file of files) {
    try {
      await context.store.delete(file.key);
    } catch {
      return;
    }
  }
}
