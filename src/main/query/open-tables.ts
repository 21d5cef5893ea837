import type { FileDeletes, QueryTable } from "../../shared/query-messages.js";
import type { CancelSignal } from "./cancel-signal.js";
import type { LocalFiles } from "./local-files.js";
import { replacedIn } from "./replaced-in.js";
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
  signal: CancelSignal,
): Promise<OpenTables> {
  const opened = await local.open(
    tables.flatMap((table) => table.files.flatMap((file) => [file, ...(file.deletes ?? [])])),
    signal,
  );
  const paths = opened.paths.values();
  const take = (count: number): string[] => Array.from({ length: count }, () => paths.next().value ?? "");
  const readable = tables.map(({ name, schema, files, hot }): QueryTable => {
    const committedFiles: string[] = [];
    const deletes: FileDeletes[] = [];
    for (const file of files) {
      const [path = "", ...deleteFiles] = take(1 + (file.deletes?.length ?? 0));
      committedFiles.push(path);
      if (deleteFiles.length > 0) deletes.push({ file: path, deleteFiles });
    }
    const hotFiles = hot.flatMap(({ path, rows }) => (rows > 0 ? [path] : []));
    const replaced = replacedIn(files, committedFiles, hot);
    return {
      name,
      schema,
      committedFiles,
      hotFiles,
      ...(deletes.length > 0 && { deletes }),
      ...(replaced.length > 0 && { replaced }),
    };
  });
  const { cachedFiles, fetchedBytes } = opened;
  return { tables: readable, cachedFiles, fetchedBytes, release: () => opened.release() };
}
