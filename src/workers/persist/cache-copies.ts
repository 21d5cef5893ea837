import { randomUUID } from "node:crypto";
import { closeSync, copyFileSync, linkSync, openSync, readSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { requirePackage } from "../../shared/require-package.js";
import type { CachedCopy, CopyPlace } from "../../shared/messages.js";
import { cachedPath, cacheId, digestOfParts, partBytes, partsFolder } from "../../shared/store/cache-paths.js";

const { crc32 } = requirePackage("@node-rs/crc32");

interface Copy extends Omit<CachedCopy, "path"> {
  readonly part: string;
  readonly digest: string;
}

/**
 * The data files that one flush wrote, on their way into the file cache: the next query would fetch from the store what
 * this machine has just sent there.
 *
 * ```
 * temporary folder ──keep──▶ parts of the cache ──publish, after the commit──▶ cache ─▶ main counts them
 *                                   └──discard, where there was no commit
 * ```
 * A copy is an extra: where one cannot be made there is none, and the file is fetched like any other. A second name
 * where both folders are on one device, else a copy of the bytes. Reading a file through for its digest takes a millisecond per MiB.
 */
export class CacheCopies {
  readonly #place: CopyPlace | undefined;
  readonly #copies: Copy[] = [];
  #bytes = 0;

  /** Without a place nothing is kept: the store's files are read where they lie. */
  constructor(place: CopyPlace | undefined) {
    this.#place = place;
  }

  /** Before the file goes into the store, which takes it away. Nobody writes to it any more. */
  keep(path: string, key: string, bytes: number): void {
    if (this.#place === undefined || this.#bytes + bytes > this.#place.bytesMax) return;
    const part = join(partsFolder(this.#place.folder), randomUUID());
    try {
      const digest = digestOf(path, bytes);
      if (digest === null) return;
      link(path, part);
      this.#copies.push({ key, bytes, part, digest });
      this.#bytes += bytes;
    } catch {
      rmSync(part, { force: true });
    }
  }

  /** Gives the files their names in the cache. What is not counted by main soon is found by the next process. */
  publish(): CachedCopy[] {
    const published: CachedCopy[] = [];
    for (const { key, bytes, part, digest } of this.#copies.splice(0)) {
      const path = cachedPath(this.#place?.folder ?? "", cacheId(key), digest);
      try {
        renameSync(part, path);
        published.push({ key, bytes, path });
      } catch {
        rmSync(part, { force: true });
      }
    }
    return published;
  }

  discard(): void {
    for (const { part } of this.#copies.splice(0)) rmSync(part, { force: true });
  }
}

function link(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EXDEV")) throw error;
    copyFileSync(from, to);
  }
}

/** As `fetchObject` makes it (fetch-object.ts); null where the file has another size than it should. */
function digestOf(path: string, bytes: number): string | null {
  const checksums = new Uint32Array(Math.max(1, Math.ceil(bytes / partBytes)));
  const part = new Uint8Array(Math.min(bytes, partBytes));
  const fd = openSync(path, "r");
  try {
    for (let index = 0; index < checksums.length; index++) {
      const start = index * partBytes;
      const wanted = part.subarray(0, Math.min(partBytes, bytes - start));
      for (let done = 0; done < wanted.length;) {
        const read = readSync(fd, wanted, done, wanted.length - done, start + done);
        if (read === 0) return null;
        done += read;
      }
      checksums[index] = crc32(wanted);
    }
  } finally {
    closeSync(fd);
  }
  return digestOfParts(checksums);
}
