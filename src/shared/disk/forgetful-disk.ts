import {
  appendFileSync,
  existsSync,
  fstatSync,
  linkSync,
  mkdirSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { assert } from "../assert.js";
import type { Disk, DiskEntry } from "./disk.js";
import { RealDisk } from "./real-disk.js";

/**
 * The power-loss layer for tests: everything happens to the real files at once, as in a page cache, and a side folder
 * keeps what a power loss could undo. It survives kill -9 of the server, so that the test process can then apply the
 * power loss with `losePower` (power-loss.ts). Several threads and processes may use one side folder.
 *
 * ```
 * <side>/epoch          empty; files born later were made since the last power loss
 * <side>/journal        a line of JSON per change and sync of a folder's names (JournalLine)
 * <side>/inodes/<ino>   hard link to every file met, so that a removed file can come back
 * <side>/undo-<ino>     what the file's writes since its last fdatasync replaced:
 *                         f64 offset, f64 size before, u32 length, u32 0, then the old bytes
 * ```
 * The change happens first and the line follows: a kill between the two leaves a change that counts as durable, which
 * a real disk may do as well. Syncs are not passed on: what matters is whether they were asked for.
 */
export class ForgetfulDisk implements Disk {
  readonly #real = new RealDisk();
  readonly #side: string;
  readonly #epochMs: number;
  readonly #inodeOfFd = new Map<number, number>();

  constructor(sideFolder: string) {
    this.#side = resolve(sideFolder);
    mkdirSync(join(this.#side, "inodes"), { recursive: true });
    const epoch = join(this.#side, "epoch");
    if (!existsSync(epoch)) writeFileSync(epoch, "");
    this.#epochMs = statSync(epoch).birthtimeMs;
  }

  open(path: string, flags: "r" | "r+" | "w" | "wx"): number {
    const before = inodeOf(path);
    if (before !== null) {
      this.#remember(path, before);
      // Truncation is a change of data like any other.
      if (flags === "w") this.#keepUndo(path, before, 0, statSync(path).size);
    }
    const fd = this.#real.open(path, flags);
    const inode = fstatSync(fd).ino;
    this.#inodeOfFd.set(fd, inode);
    if (before === null) {
      linkSync(path, this.#inodePath(inode));
      this.#append({ op: "names", folder: folderOf(path), changes: [[basename(path), null, inode]] });
    }
    return fd;
  }

  close(fd: number): void {
    this.#inodeOfFd.delete(fd);
    this.#real.close(fd);
  }

  writev(fd: number, buffers: readonly Uint8Array[], position: number): number {
    const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    const inode = this.#inodeOf(fd);
    this.#keepUndo(this.#inodePath(inode), inode, position, bytes);
    return this.#real.writev(fd, buffers, position);
  }

  read(fd: number, target: Uint8Array, position: number): number {
    return this.#real.read(fd, target, position);
  }

  size(fd: number): number {
    return this.#real.size(fd);
  }

  truncate(fd: number, bytes: number): void {
    const inode = this.#inodeOf(fd);
    this.#keepUndo(this.#inodePath(inode), inode, bytes, Math.max(0, this.#real.size(fd) - bytes));
    this.#real.truncate(fd, bytes);
  }

  fdatasync(fd: number): void {
    const undo = this.#undoPath(this.#inodeOf(fd));
    if (existsSync(undo)) truncateSync(undo);
  }

  syncFolder(path: string): void {
    assert(statSync(path).isDirectory(), "a folder is synced as a folder");
    this.#append({ op: "sync", folder: resolve(path) });
  }

  rename(from: string, to: string): void {
    const inode = this.#met(from);
    const replaced = inodeOf(to);
    if (replaced !== null) this.#remember(to, replaced);
    this.#real.rename(from, to);
    const removed: NameChange = [basename(from), inode, null];
    const added: NameChange = [basename(to), replaced, inode];
    if (folderOf(from) === folderOf(to)) {
      this.#append({ op: "names", folder: folderOf(to), changes: [removed, added] });
      return;
    }
    this.#append({ op: "names", folder: folderOf(to), changes: [added] });
    this.#append({ op: "names", folder: folderOf(from), changes: [removed] });
  }

  link(from: string, to: string): void {
    const inode = this.#met(from);
    this.#real.link(from, to);
    this.#append({ op: "names", folder: folderOf(to), changes: [[basename(to), null, inode]] });
  }

  unlink(path: string): void {
    const inode = this.#met(path);
    this.#real.unlink(path);
    this.#append({ op: "names", folder: folderOf(path), changes: [[basename(path), inode, null]] });
  }

  makeFolder(path: string): void {
    this.#real.makeFolder(path);
    this.#append({ op: "folder", folder: folderOf(path), name: basename(path), made: true });
  }

  removeFolder(path: string): void {
    this.#real.removeFolder(path);
    this.#append({ op: "folder", folder: folderOf(path), name: basename(path), made: false });
  }

  list(path: string): string[] {
    return this.#real.list(path);
  }

  stat(path: string): DiskEntry | undefined {
    return this.#real.stat(path);
  }

  /** Inode number of the open file, for `loseUnsyncedBytes`. */
  inodeOfOpen(fd: number): number {
    return this.#inodeOf(fd);
  }

  #inodeOf(fd: number): number {
    const inode = this.#inodeOfFd.get(fd);
    assert(inode !== undefined, "the file was opened by this disk");
    return inode;
  }

  /** The inode of a file that is about to lose or gain a name. */
  #met(path: string): number {
    const inode = inodeOf(path);
    if (inode === null) {
      // The real call fails with the right error.
      this.#real.unlink(path);
    }
    assert(inode !== null, "unlink of a missing file throws");
    this.#remember(path, inode);
    return inode;
  }

  /** First sight of a file: one that others wrote since the epoch (DuckDB, an encoder) has nothing durable yet. */
  #remember(path: string, inode: number): void {
    const kept = this.#inodePath(inode);
    if (existsSync(kept)) return;
    linkSync(path, kept);
    if (statSync(path).birthtimeMs >= this.#epochMs) this.#appendUndo(inode, 0, 0, new Uint8Array(0));
  }

  /** Must come before the write: afterwards the old bytes are gone, and a kill in between would make them durable. */
  #keepUndo(path: string, inode: number, position: number, bytes: number): void {
    const size = statSync(path).size;
    const old = new Uint8Array(Math.max(0, Math.min(bytes, size - position)));
    if (old.length > 0) {
      const fd = this.#real.open(path, "r");
      const read = readSync(fd, old, 0, old.length, position);
      this.#real.close(fd);
      assert(read === old.length, "old bytes are there to be read");
    }
    this.#appendUndo(inode, position, size, old);
  }

  #appendUndo(inode: number, position: number, sizeBefore: number, old: Uint8Array): void {
    const record = new Uint8Array(undoHeaderBytes + old.length);
    const view = new DataView(record.buffer);
    view.setFloat64(0, position, true);
    view.setFloat64(8, sizeBefore, true);
    view.setUint32(16, old.length, true);
    record.set(old, undoHeaderBytes);
    appendFileSync(this.#undoPath(inode), record);
  }

  #append(line: JournalLine): void {
    appendFileSync(join(this.#side, "journal"), `${JSON.stringify(line)}\n`);
  }

  #inodePath(inode: number): string {
    return join(this.#side, "inodes", String(inode));
  }

  #undoPath(inode: number): string {
    return join(this.#side, `undo-${inode}`);
  }
}

export const undoHeaderBytes = 24;

/** A name, the inode that it meant before, and the one that it means now. */
export type NameChange = readonly [name: string, before: number | null, after: number | null];

export type JournalLine =
  /** Changes of one call in one folder: all or none of them survive. */
  | { readonly op: "names"; readonly folder: string; readonly changes: readonly NameChange[] }
  | { readonly op: "folder"; readonly folder: string; readonly name: string; readonly made: boolean }
  | { readonly op: "sync"; readonly folder: string };

function folderOf(path: string): string {
  return dirname(resolve(path));
}

function inodeOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.ino ?? null;
}
