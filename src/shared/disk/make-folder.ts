import { dirname } from "node:path";
import { codeOf } from "../store/disk-errors.js";
import type { Disk } from "./disk.js";

/**
 * Makes the folder, and those above it that are missing. On return their names are durable, also that of a folder which is
 * there already: it may come from a run that died before it synced the parent.
 */
export function makeFolderDurably(disk: Disk, folder: string): void {
  const parent = dirname(folder);
  const isThere = isFolder(disk, folder);
  if (!isThere) {
    if (!isFolder(disk, parent)) makeFolderDurably(disk, parent);
    makeFolder(disk, folder);
  }
  try {
    disk.syncFolder(parent);
  } catch (error) {
    // A folder of someone else's, that we may pass through but not open: what we need in it was there before us.
    if (!isThere || codeOf(error) !== "EACCES") throw error;
  }
}

/** One level, not durable yet. Fine when it is there, made by another process a moment ago. */
export function makeFolder(disk: Disk, path: string): void {
  try {
    disk.makeFolder(path);
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

function isFolder(disk: Disk, path: string): boolean {
  return disk.stat(path)?.isFolder === true;
}
