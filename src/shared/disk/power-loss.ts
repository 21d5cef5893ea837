import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { assert } from "../assert.js";
import { undoHeaderBytes, type JournalLine } from "./forgetful-disk.js";

/** What a power loss took, for a test's report. */
export interface PowerLossReport {
  readonly filesChanged: number;
  readonly namesChanged: number;
}

/** Random numbers of the caller's seed, in [0, 1). */
export type Random = () => number;

/**
 * Makes the real folders look as a disk could after a power loss: of what a forgetful disk with this side folder was
 * not asked to sync, any part may be gone. The server must be dead. Afterwards the side folder starts anew.
 *
 * - Names: per folder none, all, the first few, or any subset of the unsynced calls took place.
 * - Bytes: per file none, all, a beginning, or any subset of its changed 512-byte sectors or 4-KiB pages arrived; its
 *   size is the old one, the new one or in between, and bytes that never arrived read as zeros.
 */
export function losePower(sideFolder: string, random: Random): PowerLossReport {
  let filesChanged = 0;
  for (const name of readdirSync(sideFolder)) {
    const inode = /^undo-(\d+)$/.exec(name)?.[1];
    if (inode !== undefined && loseUnsyncedBytes(sideFolder, Number(inode), random)) filesChanged++;
  }
  const namesChanged = loseNames(sideFolder, random);
  rmSync(sideFolder, { recursive: true });
  return { filesChanged, namesChanged };
}

/** Loses a part of what one file's fdatasync has not covered; true when there was anything. */
export function loseUnsyncedBytes(sideFolder: string, inode: number, random: Random): boolean {
  const undoPath = join(sideFolder, `undo-${inode}`);
  const path = join(sideFolder, "inodes", String(inode));
  const undo = existsSync(undoPath) ? readFileSync(undoPath) : Buffer.alloc(0);
  if (undo.length === 0) return false;
  const current = readFileSync(path);
  writeInPlace(path, mix(current, durableImage(current, undo), random));
  truncateSync(undoPath);
  return true;
}

/** The file as it was at its last fdatasync: the undo records applied from the last to the first. */
function durableImage(current: Uint8Array, undo: Buffer): Uint8Array {
  const starts: number[] = [];
  for (let at = 0; at < undo.length; at += undoHeaderBytes + undo.readUInt32LE(at + 16)) starts.push(at);
  let image = new Uint8Array(current);
  for (const at of starts.toReversed()) {
    const position = undo.readDoubleLE(at);
    const sizeBefore = undo.readDoubleLE(at + 8);
    const old = undo.subarray(at + undoHeaderBytes, at + undoHeaderBytes + undo.readUInt32LE(at + 16));
    const before = new Uint8Array(sizeBefore);
    before.set(image.subarray(0, sizeBefore));
    before.set(old, position);
    image = before;
  }
  return image;
}

/** One way in which a disk may have written some of the changed units: see losePower. */
function mix(current: Uint8Array, durable: Uint8Array, random: Random): Uint8Array {
  const mode = Math.floor(random() * 5);
  if (mode === 0) return durable;
  if (mode === 1) return current;
  const larger = Math.max(current.length, durable.length);
  const smaller = Math.min(current.length, durable.length);
  const sizes = [current.length, durable.length, smaller + Math.floor(random() * (larger - smaller + 1))];
  const size = sizes[Math.floor(random() * sizes.length)] as number;
  const result = new Uint8Array(size);
  result.set(durable.subarray(0, size));
  const unit = random() < 0.5 ? 512 : 4096;
  const changed = changedUnits(current, durable, unit);
  // A beginning of the changed units, or any subset of them.
  const kept = mode === 2 ? Math.floor(random() * (changed.length + 1)) : -1;
  for (const [index, start] of changed.entries()) {
    const isKept = kept >= 0 ? index < kept : random() < 0.5;
    if (isKept && start < size) result.set(current.subarray(start, Math.min(start + unit, size)), start);
  }
  return result;
}

function changedUnits(current: Uint8Array, durable: Uint8Array, unit: number): number[] {
  const starts: number[] = [];
  for (let start = 0; start < Math.max(current.length, durable.length); start += unit) {
    if (Buffer.compare(current.subarray(start, start + unit), durable.subarray(start, start + unit)) !== 0) {
      starts.push(start);
    }
  }
  return starts;
}

/** Keeps the inode, and with it all its names. */
function writeInPlace(path: string, bytes: Uint8Array): void {
  truncateSync(path);
  appendFileSync(path, bytes);
}

type NamesLine = Extract<JournalLine, { op: "names" }>;
type FolderLine = Extract<JournalLine, { op: "folder" }>;

/** Only calls after a folder's last sync are open; a line per call, in the order in which they happened. */
function loseNames(sideFolder: string, random: Random): number {
  const journalPath = join(sideFolder, "journal");
  if (!existsSync(journalPath)) return 0;
  const pending = new Map<string, (NamesLine | FolderLine)[]>();
  for (const text of readFileSync(journalPath, "utf8").split("\n")) {
    if (text === "") continue;
    const line = JSON.parse(text) as JournalLine;
    if (line.op === "sync") pending.delete(line.folder);
    else pending.set(line.folder, [...(pending.get(line.folder) ?? []), line]);
  }
  let changed = 0;
  // Parents first: a folder that vanishes takes what is in it along.
  for (const folder of [...pending.keys()].toSorted((a, b) => a.length - b.length)) {
    if (existsSync(folder)) changed += loseNamesOf(sideFolder, folder, pending.get(folder) ?? [], random);
  }
  return changed;
}

/**
 * Folds a folder's open calls into what each name means. A call that did not take place leaves the name as it was, so
 * a later one that did may find it so; a rename within the folder is one call, and all or nothing.
 */
function loseNamesOf(
  sideFolder: string,
  folder: string,
  lines: readonly (NamesLine | FolderLine)[],
  random: Random,
): number {
  const mode = Math.floor(random() * 4);
  const first = Math.floor(random() * (lines.length + 1));
  const wanted = new Map<string, number | null>();
  let changed = 0;
  for (const [index, line] of lines.entries()) {
    const survives = mode === 0 ? false : mode === 1 ? true : mode === 2 ? index < first : random() < 0.5;
    if (line.op === "folder") {
      if (!survives) changed += undoFolder(join(folder, line.name), line.made);
      continue;
    }
    for (const [name, before, after] of line.changes) {
      if (survives) wanted.set(name, after);
      else if (!wanted.has(name)) wanted.set(name, before);
    }
  }
  for (const [name, inode] of wanted) changed += giveName(sideFolder, join(folder, name), inode);
  return changed;
}

function undoFolder(path: string, wasMade: boolean): number {
  if (existsSync(path) !== wasMade) return 0;
  if (wasMade) rmSync(path, { recursive: true });
  else mkdirSync(path);
  return 1;
}

/** Makes the name mean this inode, or nothing. */
function giveName(sideFolder: string, path: string, inode: number | null): number {
  const now = statSync(path, { throwIfNoEntry: false })?.ino ?? null;
  if (now === inode) return 0;
  if (now !== null) unlinkSync(path);
  if (inode !== null) {
    const kept = join(sideFolder, "inodes", String(inode));
    assert(existsSync(kept), "a file that had a name is kept aside");
    linkSync(kept, path);
  }
  return 1;
}
