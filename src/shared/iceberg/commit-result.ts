import type { DataFile, TableState } from "../messages.js";

/** What a commit answers. Small, also for a table of many files: it crosses to the main thread. */
export interface CommitResult {
  /** "already-committed": a version that an earlier call with this commit id made is there. */
  readonly outcome: "committed" | "already-committed";
  /** The table at the committed version, without its files. */
  readonly head: TableHead;
  /** Null where the step from the version before is not known: load the table. */
  readonly delta: FileDelta | null;
}

export type TableHead = Omit<TableState, "files">;

/** How the files of `baseVersion` became those of the head. */
export interface FileDelta {
  readonly baseVersion: number;
  readonly added: readonly DataFile[];
  readonly removedKeys: readonly string[];
  /** Files of before, with the deletes that they have now. */
  readonly changed?: readonly DataFile[];
}

/** The state after the commit, from the state before it; null when another commit lies between: load the table. */
export function applyCommit(previous: TableState, result: CommitResult): TableState | null {
  const { head, delta } = result;
  if (delta === null || delta.baseVersion !== previous.version) return null;
  const removed = new Set(delta.removedKeys);
  const changed = new Map((delta.changed ?? []).map((file) => [file.key, file]));
  const stayed =
    removed.size === 0 && changed.size === 0
      ? previous.files
      : previous.files.filter((file) => !removed.has(file.key)).map((file) => changed.get(file.key) ?? file);
  return { ...head, files: [...stayed, ...delta.added] };
}
