import { linkSync, rmSync } from "node:fs";
import type { DataFile } from "../../shared/messages.js";
import type { FileDeletes } from "../../shared/query-messages.js";
import { copyObject } from "./fetch-object.js";
import { temporaryPath, type PersistContext } from "./persist-context.js";

/** Objects that are on their way at once. */
const copiesAtOnce = 4;

/**
 * Runs `work` with a local path for each of the files, in their order. Those of a store elsewhere are fetched into the
 * temporary folder first, and removed afterwards: what a merge has read is not read again, and would only push out of the
 * file cache what queries read. `known` are objects that are here already, by key (absent: the context's): they are read where
 * they lie. Throws STORE_UNAVAILABLE where one cannot be fetched.
 */
export async function withLocalFiles<Result>(
  context: PersistContext,
  files: readonly Pick<DataFile, "key" | "bytes">[],
  work: (paths: readonly string[]) => Promise<Result>,
  known: Readonly<Record<string, string>> = context.localPaths ?? {},
): Promise<Result> {
  const { store } = context;
  if (store.isLocal) return work(files.map(({ key }) => store.readableUrl(key)));
  const paths = files.map(({ key }) => known[key] ?? temporaryPath(context));
  let next = 0;
  let isFailed = false;
  const copySome = async (): Promise<void> => {
    while (next < files.length && !isFailed) {
      const index = next++;
      const { key, bytes } = files[index] as Pick<DataFile, "key" | "bytes">;
      if (known[key] !== undefined) continue;
      try {
        await copyObject(context, { key, bytes, path: paths[index] as string });
      } catch (error) {
        isFailed = true;
        throw error;
      }
    }
  };
  try {
    const copying = Array.from({ length: Math.min(copiesAtOnce, files.length) }, copySome);
    // All have ended before the files go.
    for (const result of await Promise.allSettled(copying)) if (result.status === "rejected") throw result.reason;
    return await work(paths);
  } finally {
    for (const [index, { key }] of files.entries()) {
      if (known[key] === undefined) rmSync(paths[index] as string, { force: true });
    }
  }
}

/**
 * Runs `work` with second names, in the temporary folder, of the files at these paths: whoever removes the first ones takes
 * nothing away from it. Left out are those that are gone already, and all where the folder is on another device.
 */
export async function withSecondNames<Result>(
  context: PersistContext,
  paths: Readonly<Record<string, string>>,
  work: (paths: Readonly<Record<string, string>>) => Promise<Result>,
): Promise<Result> {
  const named: Record<string, string> = {};
  for (const [key, path] of Object.entries(paths)) {
    const second = temporaryPath(context);
    try {
      linkSync(path, second);
      named[key] = second;
    } catch {
      // It is fetched, like any other.
    }
  }
  try {
    return await work(named);
  } finally {
    for (const path of Object.values(named)) rmSync(path, { force: true });
  }
}

/** Data files on this machine, with the rows that are not to be read. */
export interface LocalRows {
  /** In the order of the files. */
  readonly sources: readonly string[];
  readonly deletes: readonly FileDeletes[];
}

/** As withLocalFiles, with the delete files of the data files. */
export async function withLocalRows<Result>(
  context: PersistContext,
  files: readonly Pick<DataFile, "key" | "bytes" | "deletes">[],
  work: (rows: LocalRows) => Promise<Result>,
  known?: Readonly<Record<string, string>>,
): Promise<Result> {
  const wanted = files.flatMap((file) => [file, ...(file.deletes ?? [])]);
  const toRows = (paths: readonly string[]): Promise<Result> => {
    const sources: string[] = [];
    const deletes: FileDeletes[] = [];
    let at = 0;
    for (const file of files) {
      const [source = "", ...deleteFiles] = paths.slice(at, at + 1 + (file.deletes?.length ?? 0));
      at += 1 + deleteFiles.length;
      sources.push(source);
      if (deleteFiles.length > 0) deletes.push({ file: source, deleteFiles });
    }
    return work({ sources, deletes });
  };
  return withLocalFiles(context, wanted, toRows, known);
}
