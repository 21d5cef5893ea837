import { rmSync } from "node:fs";
import type { DataFile } from "../../shared/messages.js";
import { copyObject } from "./fetch-object.js";
import { temporaryPath, type PersistContext } from "./persist-context.js";

/** Objects that are on their way at once. */
const copiesAtOnce = 4;

/**
 * Runs `work` with a local path for each of the files, in their order. Those of a store elsewhere are fetched into the
 * temporary folder first, and removed afterwards: what a merge has read is not read again, and would only push out of the
 * file cache what queries read. Throws STORE_UNAVAILABLE where one cannot be fetched.
 */
export async function withLocalFiles<Result>(
  context: PersistContext,
  files: readonly Pick<DataFile, "key" | "bytes">[],
  work: (paths: readonly string[]) => Promise<Result>,
): Promise<Result> {
  const { store } = context;
  if (store.isLocal) return work(files.map(({ key }) => store.readableUrl(key)));
  const paths = files.map(() => temporaryPath(context));
  let next = 0;
  let isFailed = false;
  const copySome = async (): Promise<void> => {
    while (next < files.length && !isFailed) {
      const index = next++;
      const { key, bytes } = files[index] as Pick<DataFile, "key" | "bytes">;
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
    for (const path of paths) rmSync(path, { force: true });
  }
}
