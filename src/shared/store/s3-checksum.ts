import type { S3Client } from "@aws-sdk/client-s3";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { requirePackage } from "../require-package.js";

const { crc32c } = requirePackage("@node-rs/crc32");
const { HeadObjectCommand } = requirePackage("@aws-sdk/client-s3");

const pieceBytes = 4 * 1024 * 1024;

/**
 * CRC-32C (Castagnoli, RFC 3720 B.4) of all bytes, as the headers of S3 have it: base64 of the four bytes, most significant
 * first. Natively: Node has only CRC-32, and in JavaScript it took a third of an upload's time.
 */
export function crc32cBase64(bytes: Uint8Array): string {
  return base64Of(crc32c(bytes));
}

/**
 * Whether a file has the CRC-32C that the store keeps with an object; null where it keeps none, or not one that can be made
 * of the file. Of an object that went up in parts it is the checksum of the parts' checksums, with `-<parts>` behind it
 * (AWS: "composite"); all of our parts but the last have one size, which the first one tells. Throws what the SDK throws.
 */
export async function hasStoredChecksum(
  client: S3Client,
  target: { readonly Bucket: string; readonly Key: string },
  path: string,
): Promise<boolean | null> {
  const { ChecksumCRC32C } = await client.send(new HeadObjectCommand({ ...target, ChecksumMode: "ENABLED" }));
  const [stored, parts] = ChecksumCRC32C?.split("-") ?? [];
  if (stored === undefined) return null;
  const fd = openSync(path, "r");
  try {
    const bytes = fstatSync(fd).size;
    if (parts === undefined) return base64Of(checksumOf(fd, 0, bytes)) === stored;
    const first = await client.send(new HeadObjectCommand({ ...target, PartNumber: 1 }));
    const partBytes = first.ContentLength ?? 0;
    if (partBytes === 0 || Math.ceil(bytes / partBytes) !== Number(parts)) return null;
    const words = Buffer.alloc(Number(parts) * Uint32Array.BYTES_PER_ELEMENT);
    for (let index = 0; index < Number(parts); index++) {
      const start = index * partBytes;
      words.writeUInt32BE(checksumOf(fd, start, Math.min(bytes, start + partBytes)), index * 4);
    }
    return crc32cBase64(words) === stored;
  } finally {
    closeSync(fd);
  }
}

/** Of bytes [start, end) of the file, which are there. */
function checksumOf(fd: number, start: number, end: number): number {
  const piece = new Uint8Array(Math.min(pieceBytes, end - start));
  let crc = 0;
  for (let at = start; at < end;) {
    const read = readSync(fd, piece, 0, Math.min(piece.length, end - at), at);
    if (read === 0) throw new RangeError("the file became shorter while it was read");
    crc = crc32c(piece.subarray(0, read), crc);
    at += read;
  }
  return crc;
}

function base64Of(crc: number): string {
  const word = Buffer.alloc(Uint32Array.BYTES_PER_ELEMENT);
  word.writeUInt32BE(crc);
  return word.toString("base64");
}
