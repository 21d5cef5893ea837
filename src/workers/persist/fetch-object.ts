import { randomUUID } from "node:crypto";
import { closeSync, openSync, readSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
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
import { ObjectChanged, ObjectNotFound, type PartTarget, streamPart } from "../../shared/store/object-store.js";
import { isStoreFailure } from "../../shared/store/store-failure.js";
import { checkStop, type PersistContext } from "./persist-context.js";

/** Parts of one object that are on their way at once: one connection to S3 gives 85 to 90 MB/s. */
const partsOfObjectMax = 8;
/** Of all objects that this thread fetches. A store that gives parts whole has them in memory, 128 MiB together. */
const partsMax = 16;
let partsUnderWay = 0;
const waitingParts: (() => void)[] = [];

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
 * Writes the object to a new file and returns its digest (cache-paths.ts). All parts are of one object, by its etag, which
 * has the size that the catalog says. Throws STORE_UNAVAILABLE; the file is then there in part, or not.
 */
export async function copyObject(context: PersistContext, copy: ObjectCopy): Promise<string> {
  const { key, bytes, path } = copy;
  const checksums = new Uint32Array(Math.max(1, Math.ceil(bytes / partBytes)));
  const fd = openSync(path, "wx");
  let etag: string | undefined;
  const fetchPart = async (index: number): Promise<void> => {
    await enterPart();
    try {
      checkStop(context);
      await fetchNow(index);
    } finally {
      leavePart();
    }
  };
  const fetchNow = async (index: number): Promise<void> => {
    const start = index * partBytes;
    const end = Math.min(bytes, start + partBytes);
    const file = new PartOfFile(fd, start);
    const asked = etag;
    const range = { start, end };
    let part = await streamPart(context.readStore, { key, range, etag: asked, target: file });
    // The first answer says which object all parts must be of: those that were asked for before it ask again where they differ.
    etag ??= part.etag;
    if (asked === undefined && part.etag !== etag) {
      part = await streamPart(context.readStore, { key, range, etag, target: file });
    }
    if (part.objectBytes !== bytes) throw unlike(key, `has ${part.objectBytes} bytes, the catalog says ${bytes}`);
    assert(part.bytes === end - start, "a part has the bytes that were asked for");
    checksums[index] = file.checksum;
  };
  try {
    let next = 0;
    const fetchInTurn = async (): Promise<void> => {
      try {
        while (next < checksums.length) await fetchPart(next++);
      } catch (error) {
        // The others finish what they have begun.
        next = checksums.length;
        throw error;
      }
    };
    await allEnded(Array.from({ length: Math.min(partsOfObjectMax, checksums.length) }, fetchInTurn));
  } catch (error) {
    throw toStoreError(key, error);
  } finally {
    closeSync(fd);
  }
  return digestOfParts(checksums);
}

/**
 * Bytes of a part on their way into the file, piece by piece while they are in the processor's caches. In any order of parts:
 * the file has holes until the last one is there, and its name only after that. The calls of the disk wait for nothing, as
 * long as the page cache takes what comes; where it does not, this thread reads the network no faster than the disk writes.
 */
class PartOfFile implements PartTarget {
  /** CRC-32 of what the last try brought. */
  checksum = 0;
  readonly #fd: number;
  readonly #start: number;
  #position: number;

  constructor(fd: number, start: number) {
    this.#fd = fd;
    this.#start = start;
    this.#position = start;
  }

  begin(): void {
    this.checksum = 0;
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
    this.#position += bytes.length;
    this.checksum = crc32(bytes, this.checksum);
  }
}

/** Waits, in turn, until one more part may be fetched. */
async function enterPart(): Promise<void> {
  if (partsUnderWay < partsMax) partsUnderWay++;
  else await new Promise<void>((resolve) => waitingParts.push(resolve));
}

/** The next in turn takes the place over. */
function leavePart(): void {
  const next = waitingParts.shift();
  if (next === undefined) partsUnderWay--;
  else next();
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
