import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import type { Disk } from "../../shared/disk/disk.js";
import { makeFolderDurably } from "../../shared/disk/make-folder.js";
import { openDisk } from "../../shared/disk/open-disk.js";
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
    lockFile: join(root, lockName),
  };
}

/**
 * Who has this folder, for claims on a warehouse: the same for ever, and no other folder's. Only for the holder of the
 * folder's lock. Not synced: a claim under a lost name is one of a server that is gone.
 */
export function holderOf(folder: DataFolder): string {
  const path = join(folder.root, "holder.uuid");
  if (!existsSync(path)) {
    writeFileSync(`${path}.new`, randomUUID());
    renameSync(`${path}.new`, path);
  }
  return readFileSync(path, "utf8");
}

export interface FolderLock {
  release(): void;
}

/**
 * Makes the folder ready and takes it for this process; throws SERVER_BUSY when another one holds it. On return the names of
 * the folders that hold what cannot be made again are durable, so that a power loss takes no log away with its folder.
 */
export async function takeDataFolder(folder: DataFolder, disk: Disk = openDisk()): Promise<FolderLock> {
  makeFolderDurably(disk, folder.root);
  const lock = await takeLock(folder.root, folder.lockFile, "data folder");
  for (const scratch of [folder.hot, folder.temp]) rmSync(scratch, { recursive: true, force: true });
  for (const path of [folder.wal, folder.warehouse]) makeFolderDurably(disk, path);
  for (const path of [folder.hot, folder.live, folder.temp]) mkdirSync(path, { recursive: true });
  return lock;
}

/**
 * Takes the folder of fetched files, which may lie outside of the data folder: two servers in one would each keep its
 * own account of the bytes, and remove files that the other one reads. Throws SERVER_BUSY as `takeDataFolder` does.
 */
export function takeCacheFolder(path: string): Promise<FolderLock> {
  return takeLock(path, join(path, lockName), "folder of the file cache (cache.folder)");
}

const lockName = "lock.duckdb";

/** Of DuckDB's addon: the classes around it, in some hundred modules, are for queries. */
interface Bindings {
  create_config(): unknown;
  set_config(config: unknown, name: string, value: string): void;
  open(path: string, config: unknown): Promise<unknown>;
  close_sync(database: unknown): void;
}

/**
 * Node has no file locks, DuckDB has: an open database file is locked by the operating system (fcntl) until its process
 * ends, however it ends. Nothing is ever stored in that file.
 */
async function takeLock(path: string, lockFile: string, what: string): Promise<FolderLock> {
  mkdirSync(path, { recursive: true });
  try {
    const duckdb = loadBindings();
    const config = duckdb.create_config();
    // No threads of its own: it has nothing to do.
    duckdb.set_config(config, "threads", "1");
    const database = await duckdb.open(lockFile, config);
    return { release: () => duckdb.close_sync(database) };
  } catch (error) {
    throw new MiniodbError(
      "SERVER_BUSY",
      `The ${what} ${path} is in use by another process, or cannot be written: ${String(error)}`,
      { folder: path },
      error,
    );
  }
}

function loadBindings(): Bindings {
  const { resolve: find } = createRequire(import.meta.url);
  return createRequire(find("@duckdb/node-api"))("@duckdb/node-bindings") as Bindings;
}
