import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writevSync,
} from "node:fs";
import type { Disk, DiskEntry } from "./disk.js";

/** writev(2) takes no more buffers than this in one call. */
const buffersPerWriteMax = 1024;

/** The operating system's files, called synchronously. */
export class RealDisk implements Disk {
  open(path: string, flags: "r" | "r+" | "w" | "wx"): number {
    return openSync(path, flags);
  }

  close(fd: number): void {
    closeSync(fd);
  }

  writev(fd: number, buffers: readonly Uint8Array[], position: number): number {
    const batch = buffers.length > buffersPerWriteMax ? buffers.slice(0, buffersPerWriteMax) : buffers;
    return writevSync(fd, batch, position);
  }

  read(fd: number, target: Uint8Array, position: number): number {
    return readSync(fd, target, 0, target.length, position);
  }

  size(fd: number): number {
    return fstatSync(fd).size;
  }

  truncate(fd: number, bytes: number): void {
    ftruncateSync(fd, bytes);
  }

  fdatasync(fd: number): void {
    fdatasyncSync(fd);
  }

  syncFolder(path: string): void {
    const fd = openSync(path, "r");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  rename(from: string, to: string): void {
    renameSync(from, to);
  }

  link(from: string, to: string): void {
    linkSync(from, to);
  }

  unlink(path: string): void {
    unlinkSync(path);
  }

  makeFolder(path: string): void {
    mkdirSync(path);
  }

  removeFolder(path: string): void {
    rmdirSync(path);
  }

  list(path: string): string[] {
    return readdirSync(path);
  }

  stat(path: string): DiskEntry | undefined {
    const entry = statSync(path, { throwIfNoEntry: false });
    if (entry === undefined) return undefined;
    return { bytes: entry.size, modifiedMs: entry.mtimeMs, isFolder: entry.isDirectory() };
  }
}
