import { randomUUID } from "node:crypto";
import { closeSync, openSync, readSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { requirePackage } from "../../shared/require-package.js";
import { assert } from "../../shared/assert.js";
import { MiniodbError } from "../../shared/errors.js";
import type { FetchResult, FetchTask } from "../../shared/messages.js";
import {
  cachedPath,
  cacheId,
  digestOfParts,
  parseCachedName,
  partBytes,
  partsFolder,
} from "../../shared/store/cache-paths.js";
import {
  type ByteRange,
  ObjectChanged,
  ObjectNotFound,
  type PartTarget,
  streamPart,
} from "../../shared/store/object-store.js";
import { isStoreFailure } from "../../shared/store/store-failure.js";
import { checkStop, type PersistContext } from "./persist-context.js";

const { crc32 } = requirePackage("@node-rs/crc32");

/**
 * Requests that one object is shared out to, as one connection to S3 gives 85 to 90 MB/s. No more than are of use: each takes
 * this thread 3 to 5 ms, in which it could take 2 MB off the network. Each asks for one or two parts.
 */
const requestsWanted = 4;
const requestPartsMax = 2;
const requestsOfObjectMax = 8;
/** Of all objects that this thread fetches. A store that gives ranges whole has them in memory, so much together. */
const bytesUnderWayMax = 16 * partBytes;
let bytesUnderWay = 0;
const waiting: { readonly bytes: number; readonly start: () => void }[] = [];

/** See FetchTask. The file gets its name when all bytes are in it, so that a half-written one never counts. */
export async function fetchObject(context: PersistContext, task: FetchTask): Promise<FetchResult> {
  const { key, bytes, folder, knownPath } = task;
  if (knownPath !== null) {
    if (isIntact(knownPath, bytes)) return { kind: "fetched", path: knownPath, fetchedBytes: 0 };
    rmSync(knownPath, { force: true });
  }
  const part = join(partsFolder(folder), randomUUID());
  try {
    const digest = await copyObject(context, { key, bytes, path: part });
    const path = cachedPath(folder, cacheId(key), digest);
    renameSync(part, path);
    return { kind: "fetched", path, fetchedBytes: bytes };
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
}

export interface ObjectCopy {
  readonly key: string;
  /** The object's size, as the catalog has it. */
  readonly bytes: number;
  /** A new file. */
  readonly path: string;
}

/**
 * Writes the object to a new file and returns its digest (cache-paths.ts). All ranges are of one object, by its etag, which
 * has the size that the catalog says. Throws STORE_UNAVAILABLE; the file is then there in part, or not.
 */
export async function copyObject(context: PersistContext, copy: ObjectCopy): Promise<string> {
  const { key, bytes, path } = copy;
  const checksums = new Uint32Array(Math.max(1, Math.ceil(bytes / partBytes)));
  const rangeBytes = rangeBytesOf(bytes);
  const ranges = Math.max(1, Math.ceil(bytes / rangeBytes));
  const fd = openSync(path, "wx");
  let etag: string | undefined;
  const fetchRange = async (index: number): Promise<void> => {
    const start = index * rangeBytes;
    const range = { start, end: Math.min(bytes, start + rangeBytes) };
    await enter(range.end - start);
    try {
      checkStop(context);
      await fetchNow(range);
    } finally {
      leave(range.end - start);
    }
  };
  const fetchNow = async (range: ByteRange): Promise<void> => {
    const file = new RangeOfFile(fd, range.start, checksums);
    const asked = etag;
    let part = await streamPart(context.readStore, { key, range, etag: asked, target: file });
    // The first answer says which object all ranges must be of: those that were asked for before it ask again where they differ.
    etag ??= part.etag;
    if (asked === undefined && part.etag !== etag) {
      part = await streamPart(context.readStore, { key, range, etag, target: file });
    }
    if (part.objectBytes !== bytes) throw unlike(key, `has ${part.objectBytes} bytes, the catalog says ${bytes}`);
    assert(part.bytes === range.end - range.start, "a range has the bytes that were asked for");
  };
  try {
    let next = 0;
    const fetchInTurn = async (): Promise<void> => {
      try {
        while (next < ranges) await fetchRange(next++);
      } catch (error) {
        // The others finish what they have begun.
        next = ranges;
        throw error;
      }
    };
    await allEnded(Array.from({ length: Math.min(requestsOfObjectMax, ranges) }, fetchInTurn));
  } catch (error) {
    throw toStoreError(key, error);
  } finally {
    closeSync(fd);
  }
  return digestOfParts(checksums);
}

/** Of one request: whole parts, but for the object's end. */
function rangeBytesOf(bytes: number): number {
  const parts = Math.ceil(bytes / requestsWanted / partBytes);
  return partBytes * Math.min(requestPartsMax, Math.max(1, parts));
}

/**
 * Bytes of a range on their way into the file, piece by piece while they are in the processor's caches. In any order of ranges:
 * the file has holes until the last one is there, and its name only after that. The calls of the disk wait for nothing, as
 * long as the page cache takes what comes; where it does not, this thread reads the network no faster than the disk writes.
 */
class RangeOfFile implements PartTarget {
  readonly #fd: number;
  readonly #start: number;
  readonly #checksums: Uint32Array;
  #position: number;

  /** The range begins with a part; `checksums` gets the CRC-32 of each part of it. */
  constructor(fd: number, start: number, checksums: Uint32Array) {
    assert(start % partBytes === 0, "a range begins with a part");
    this.#fd = fd;
    this.#start = start;
    this.#checksums = checksums;
    this.#position = start;
  }

  begin(): void {
    this.#position = this.#start;
  }

  take(bytes: Uint8Array): void {
    try {
      for (let done = 0; done < bytes.length;) {
        done += writeSync(this.#fd, bytes, done, bytes.length - done, this.#position + done);
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new MiniodbError("STORE_UNAVAILABLE", `A file could not be written: ${reason}`, {}, error);
    }
    for (let done = 0; done < bytes.length;) {
      const index = Math.floor(this.#position / partBytes);
      const piece = bytes.subarray(done, done + (index + 1) * partBytes - this.#position);
      // A part's first piece begins anew, whatever an earlier try brought.
      const before = this.#position === index * partBytes ? 0 : this.#checksums[index];
      this.#checksums[index] = crc32(piece, before);
      this.#position += piece.length;
      done += piece.length;
    }
  }
}

/** Waits, in turn, until so many more bytes may be on their way. */
async function enter(bytes: number): Promise<void> {
  if (waiting.length === 0 && bytesUnderWay + bytes <= bytesUnderWayMax) bytesUnderWay += bytes;
  else await new Promise<void>((start) => waiting.push({ bytes, start }));
}

/** The next in turn begin, as far as there is room: their bytes count from now on. */
function leave(bytes: number): void {
  bytesUnderWay -= bytes;
  for (let next = waiting[0]; next !== undefined && bytesUnderWay + next.bytes <= bytesUnderWayMax; next = waiting[0]) {
    waiting.shift();
    bytesUnderWay += next.bytes;
    next.start();
  }
}

/** Rejects with the first failure, when nothing writes to the file any more. */
async function allEnded(work: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === "rejected") throw result.reason;
}

function toStoreError(key: string, error: unknown): unknown {
  if (error instanceof ObjectNotFound) return unlike(key, "is not there");
  if (error instanceof ObjectChanged) return unlike(key, "was replaced");
  if (!isStoreFailure(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new MiniodbError("STORE_UNAVAILABLE", `The store did not give ${key}: ${message}`, { key }, error);
}

function unlike(key: string, how: string): MiniodbError {
  return new MiniodbError("STORE_UNAVAILABLE", `The object ${key} ${how}`, { key });
}

/**
 * True when the file has this size and the bytes that the digest in its name says. A millisecond per MiB in which this
 * thread fetches nothing: once per file and process.
 */
function isIntact(path: string, bytes: number): boolean {
  const digest = parseCachedName(path.slice(path.lastIndexOf("/") + 1))?.digest;
  const checksums = new Uint32Array(Math.max(1, Math.ceil(bytes / partBytes)));
  const part = new Uint8Array(Math.min(bytes, partBytes) + 1);
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return false;
  }
  try {
    for (let index = 0; index < checksums.length; index++) {
      const length = Math.min(partBytes, bytes - index * partBytes);
      // One byte more than the last part has: there is none in a file of the right size.
      const isLast = index === checksums.length - 1;
      const read = readFully(fd, part.subarray(0, isLast ? length + 1 : length), index * partBytes);
      if (read !== length) return false;
      checksums[index] = crc32(part.subarray(0, length));
    }
    return digestOfParts(checksums) === digest;
  } catch {
    return false;
  } finally {
    closeSync(fd);
  }
}

/** Bytes read: fewer than the target has at the file's end only. */
function readFully(fd: number, target: Uint8Array, position: number): number {
  let done = 0;
  while (done < target.length) {
    const read = readSync(fd, target, done, target.length - done, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}
