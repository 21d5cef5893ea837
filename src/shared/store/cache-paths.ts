/**
 * Names in the folder of the file cache:
 *
 * ```
 * <id>-<digest>.parquet     a whole object; appears by rename
 * parts/<uuid>              an object on its way; removed at the start
 * ```
 * `id` is the first 128 bits of SHA-256 of the object's key, `digest` tells whether the bytes are still those that were
 * fetched; both in hexadecimal. Two objects of one id would need 2^64 keys.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { crc32 } from "node:zlib";

const namePattern = /^([0-9a-f]{32})-([0-9a-f]{8})\.parquet$/;

/** What stands for an object's key in names of the cache. */
export function cacheId(key: string): string {
  return createHash("sha256").update(key).digest("hex").slice(0, 32);
}

export function cachedPath(folder: string, id: string, digest: string): string {
  return join(folder, `${id}-${digest}.parquet`);
}

/** Folder of files on their way: on the same device, so that a rename makes them cached ones. */
export function partsFolder(folder: string): string {
  return join(folder, "parts");
}

/** Undefined for a name that is none of ours. */
export function parseCachedName(name: string): { readonly id: string; readonly digest: string } | undefined {
  const [, id, digest] = namePattern.exec(name) ?? [];
  return id === undefined || digest === undefined ? undefined : { id, digest };
}

/** What one checksum is of; the last part of an object is shorter. */
export const partBytes = 8 * 1024 * 1024;

/** Of an object, from the CRC-32 of each of its parts in order, so that parts may arrive in any order. */
export function digestOfParts(checksums: Uint32Array): string {
  return crc32(new Uint8Array(checksums.buffer, checksums.byteOffset, checksums.byteLength))
    .toString(16)
    .padStart(8, "0");
}
