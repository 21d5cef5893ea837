/**
 * The synchronous disk calls that durability rests on, so that tests can put a failing or forgetting disk below the
 * WAL and the local store. Errors are Node's, with `code` (ENOSPC, EIO, ...).
 * Real: real-disk.ts. Tests: faulty-disk.ts, and forgetful-disk.ts that loses at "power loss" what was not synced.
 * open-disk.ts chooses.
 */
export interface Disk {
  open(path: string, flags: "r" | "r+" | "w" | "wx"): number;
  close(fd: number): void;
  /** May write fewer bytes than given, as write(2) may. */
  writev(fd: number, buffers: readonly Uint8Array[], position: number): number;
  /** Returns the bytes read, 0 at the end. */
  read(fd: number, target: Uint8Array, position: number): number;
  size(fd: number): number;
  truncate(fd: number, bytes: number): void;
  /** Data and what is needed to read it back; after it returns the bytes survive a power loss. */
  fdatasync(fd: number): void;
  /** Makes the folder's entries (created, renamed, removed names) survive a power loss. */
  syncFolder(path: string): void;
  rename(from: string, to: string): void;
  /** Fails with EEXIST where `to` is there: the commit primitive of the local store. */
  link(from: string, to: string): void;
  unlink(path: string): void;
  /** One level; fails with EEXIST where it is there. Like any name, the folder survives once its parent is synced. */
  makeFolder(path: string): void;
  /** Fails with ENOTEMPTY where something is in it. */
  removeFolder(path: string): void;
  list(path: string): string[];
  stat(path: string): DiskEntry | undefined;
}

export interface DiskEntry {
  readonly bytes: number;
  readonly modifiedMs: number;
  readonly isFolder: boolean;
}
