import type { QueryTable } from "../../shared/query-messages.js";
import type { LocalFiles } from "./local-files.js";
import type { SnapshotTable } from "./snapshot-provider.js";

export interface OpenTables {
  /** What a query worker gets, in the order of the snapshot's tables. */
  readonly tables: readonly QueryTable[];
  /** Files of the store that were on this machine before, and bytes that were fetched for the others. */
  readonly cachedFiles: number;
  readonly fetchedBytes: number;
  /** To be called once, when no query reads the files any more. */
  release(): void;
}

/**
 * Makes the files of these tables readable here, in one call for all tables: see LocalFiles.open, whose errors these
 * are.
 */
export async function openTables(
  local: LocalFiles,
  tables: readonly SnapshotTable[],
  signal: AbortSignal,
): Promise<OpenTables> {
  const opened = await local.open(
    tables.flatMap((table) => table.files),
    signal,
  );
  let start = 0;
  const readable = tables.map(({ name, schema, files, hot }): QueryTable => {
    const committedFiles = opened.paths.slice(start, start + files.length);
    start += files.length;
    return { name, schema, committedFiles, hotFiles: hot.map((file) => file.path) };
  });
  const { cachedFiles, fetchedBytes } = opened;
  return { tables: readable, cachedFiles, fetchedBytes, release: () => opened.release() };
}
