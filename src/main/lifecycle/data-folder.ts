import { mkdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { MiniodbError } from "../../shared/errors.js";

/** Where everything local lies. Only `wal` and `warehouse` hold what cannot be made again. */
export interface DataFolder {
  readonly root: string;
  readonly wal: string;
  /** Hot segments: rebuilt from the log, so emptied at start. */
  readonly hot: string;
  /** Deltas of tables with live queries. They outlive the process, so that clients can resume, but not the machine. */
  readonly live: string;
  /** The embedded object store. */
  readonly warehouse: string;
  /** Files of a store elsewhere, which can be fetched again; made when there is such a store. */
  readonly cache: string;
  /** Half-written files and DuckDB's spill; emptied at start. */
  readonly temp: string;
  /** Held by the process that runs on this folder. */
  readonly lockFile: string;
}

export function dataFolderAt(path: string): DataFolder {
  const root = resolve(path);
  return {
    root,
    wal: join(root, "wal"),
    hot: join(root, "hot"),
    live: join(root, "live"),
    warehouse: join(root, "warehouse"),
    cache: join(root, "cache"),
    temp: join(root, "temp"),
    lockFile: join(root, "lock.duckdb"),
  };
}

export interface FolderLock {
  release(): void;
}

/**
 * Makes the folder ready and takes it for this process; throws SERVER_BUSY when another one holds it. Node has no file
 * locks, DuckDB has: an open database file is locked by the operating system (fcntl) until its process ends, however it
 * ends. Nothing is ever stored in that file.
 */
export async function takeDataFolder(folder: DataFolder): Promise<FolderLock> {
  mkdirSync(folder.root, { recursive: true });
  let instance: DuckDBInstance;
  try {
    instance = await DuckDBInstance.create(folder.lockFile);
  } catch (error) {
    throw new MiniodbError(
      "SERVER_BUSY",
      `The data folder ${folder.root} is in use by another process, or cannot be written: ${String(error)}`,
      { folder: folder.root },
      error,
    );
  }
  for (const scratch of [folder.hot, folder.temp]) rmSync(scratch, { recursive: true, force: true });
  for (const path of [folder.wal, folder.hot, folder.live, folder.warehouse, folder.temp]) {
    mkdirSync(path, { recursive: true });
  }
  return { release: () => instance.closeSync() };
}
