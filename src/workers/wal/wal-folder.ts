import { randomUUID } from "node:crypto";
import { dirname, join } from "node:path";
import type { Disk } from "../../shared/disk/disk.js";
import { makeFolderDurably } from "../../shared/disk/make-folder.js";
import { MiniodbError } from "../../shared/errors.js";
import { failpoint } from "../../shared/failpoints.js";

/**
 * Every name in a WAL folder is made and read here.
 *
 * ```
 * <folder>/stream              the stream's uuid as text, once and for all
 * <folder>/<number>.wal        segments, 16 digits, never a number twice
 * <folder>/spare-<number>      a file of segment size to become a segment: zeros, or an old segment's bytes
 * <folder>/batches/<number>.bin   batch ids of the trimmed segment
 * <folder>/dropped/<uuid>      the table was dropped, its records are not needed
 * <folder>/quarantine/<number>-<offset>.<corrupt|torn>   damaged bytes, kept for a human
 * <folder>/quarantine/batches-<number>.bin               a damaged file of batch ids, too
 * ```
 * `*.tmp` are files that a crash left unfinished.
 */
const segmentPattern = /^(\d{16})\.wal$/;
const sparePattern = /^spare-(\d{16})$/;
const digestPattern = /^(\d{16})\.bin$/;
const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export interface NumberedFile {
  readonly number: number;
  readonly path: string;
}

function digits(number: number): string {
  return String(number).padStart(16, "0");
}

export function segmentPath(folder: string, number: number): string {
  return join(folder, `${digits(number)}.wal`);
}

export function sparePath(folder: string, number: number): string {
  return join(folder, `spare-${digits(number)}`);
}

export function digestFolder(folder: string): string {
  return join(folder, "batches");
}

export function digestPath(folder: string, number: number): string {
  return join(digestFolder(folder), `${digits(number)}.bin`);
}

function droppedFolder(folder: string): string {
  return join(folder, "dropped");
}

export function droppedPath(folder: string, uuid: string): string {
  return join(droppedFolder(folder), uuid);
}

/** Uuids of the dropped tables. */
export function listDropped(disk: Disk, folder: string): string[] {
  return disk.list(droppedFolder(folder)).filter((name) => uuidPattern.test(name));
}

export function quarantineFolder(folder: string): string {
  return join(folder, "quarantine");
}

export function quarantinePath(folder: string, number: number, name: string): string {
  return join(quarantineFolder(folder), `${digits(number)}-${name}`);
}

/** The segments in the order in which they were written. */
export function listSegments(disk: Disk, folder: string): NumberedFile[] {
  return listNumbered(disk, folder, segmentPattern);
}

export function listSpares(disk: Disk, folder: string): NumberedFile[] {
  return listNumbered(disk, folder, sparePattern);
}

export function listDigests(disk: Disk, folder: string): NumberedFile[] {
  return listNumbered(disk, digestFolder(folder), digestPattern);
}

function listNumbered(disk: Disk, folder: string, pattern: RegExp): NumberedFile[] {
  if (disk.stat(folder) === undefined) return [];
  const files: NumberedFile[] = [];
  for (const name of disk.list(folder)) {
    const number = pattern.exec(name)?.[1];
    if (number !== undefined) files.push({ number: Number(number), path: join(folder, name) });
  }
  return files.toSorted((a, b) => a.number - b.number);
}

/**
 * Makes the folders that are missing, and removes what a crash left unfinished. On return every name in them is durable: a
 * process may have died between giving one and the sync of it.
 */
export function prepareFolder(disk: Disk, folder: string): void {
  for (const path of [folder, digestFolder(folder), droppedFolder(folder), quarantineFolder(folder)]) {
    makeFolderDurably(disk, path);
    for (const name of disk.list(path)) if (name.endsWith(".tmp")) disk.unlink(join(path, name));
  }
  for (const path of [folder, digestFolder(folder), droppedFolder(folder)]) disk.syncFolder(path);
}

/** The uuid of this folder's stream; makes one in a folder that has none. On return it is durable. */
export function openStream(disk: Disk, folder: string): string {
  const path = join(folder, "stream");
  if (disk.stat(path) === undefined) {
    // A stream without its uuid could be replayed a second time under a new one: then rows would double.
    if (listSegments(disk, folder).length > 0) {
      throw new MiniodbError("INTERNAL", `${folder} holds segments but no file "stream"; restore it from a backup`);
    }
    writeFileDurably(disk, path, Buffer.from(`${randomUUID()}\n`));
    failpoint("wal.open.stream");
  }
  const bytes = readFile(disk, path);
  const stream = Buffer.from(bytes).toString("utf8").trim();
  if (!uuidPattern.test(stream)) throw new MiniodbError("INTERNAL", `${path} does not hold a stream uuid`);
  return stream;
}

/** A new file under this name; on return its bytes and its name are durable, and before that the name is not there. */
export function writeFileDurably(disk: Disk, path: string, bytes: Uint8Array): void {
  const temporary = `${path}.tmp`;
  const fd = disk.open(temporary, "w");
  try {
    writeFully(disk, fd, [bytes], 0);
    disk.fdatasync(fd);
  } finally {
    disk.close(fd);
  }
  disk.rename(temporary, path);
  disk.syncFolder(dirname(path));
}

export function readFile(disk: Disk, path: string): Uint8Array {
  const fd = disk.open(path, "r");
  try {
    const bytes = new Uint8Array(disk.size(fd));
    let at = 0;
    while (at < bytes.length) {
      const read = disk.read(fd, bytes.subarray(at), at);
      if (read === 0) break;
      at += read;
    }
    return bytes.subarray(0, at);
  } finally {
    disk.close(fd);
  }
}

/** Writes all of the buffers, going on after short writes; nothing is durable yet. Returns the bytes written. */
export function writeFully(disk: Disk, fd: number, buffers: readonly Uint8Array[], position: number): number {
  let rest = buffers;
  let at = position;
  while (rest.length > 0) {
    let written = disk.writev(fd, rest, at);
    // A disk that takes nothing and reports no error would keep us here for ever.
    if (written <= 0) throw Object.assign(new Error("EIO: a write took no bytes"), { code: "EIO", syscall: "writev" });
    at += written;
    let done = 0;
    while (done < rest.length && written >= (rest[done] as Uint8Array).length) {
      written -= (rest[done] as Uint8Array).length;
      done++;
    }
    rest = rest.slice(done);
    if (written > 0) rest = [(rest[0] as Uint8Array).subarray(written), ...rest.slice(1)];
  }
  return at - position;
}
