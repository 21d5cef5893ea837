import type { CompletedPart, S3Client } from "@aws-sdk/client-s3";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { requirePackage } from "../require-package.js";
import { crc32cBase64 } from "./s3-checksum.js";
import { storeErrorOf } from "./s3-errors.js";
import { isPassingFailure, StoreError } from "./store-failure.js";

const {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  UploadPartCommand,
} = requirePackage("@aws-sdk/client-s3");

/** S3's bound, and its smallest part but for the last. */
const partsMax = 10_000;
const partBytesMin = 5 * 1024 * 1024;
/** Tries of one part, so that a lost connection costs a part and not the file. */
const partAttemptsMax = 8;
const partWaitMs = 100;
const partWaitMsMax = 2_000;

export interface Upload {
  readonly target: { readonly Bucket: string; readonly Key: string };
  /** A finished file. */
  readonly path: string;
  readonly partBytes: number;
  /** Parts that are on their way, and in memory. */
  readonly partsAtOnce: number;
}

/**
 * Puts a large file as one object, in parts, each with its CRC-32C. The object appears, durable, with the last request and
 * not before; when anything fails the parts are removed and no object was made, but for a last request whose answer was
 * lost. Throws a StoreError or what the SDK throws.
 */
export async function uploadParts(client: S3Client, upload: Upload): Promise<void> {
  const { target, path } = upload;
  const fd = openSync(path, "r");
  try {
    const bytes = fstatSync(fd).size;
    const partBytes = Math.max(upload.partBytes, partBytesMin, Math.ceil(bytes / partsMax));
    const start = { ...target, ChecksumAlgorithm: "CRC32C", ChecksumType: "COMPOSITE" } as const;
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(start));
    if (UploadId === undefined) throw new StoreError("unclear", "the store's answer has no UploadId");
    try {
      const parts = await sendParts(client, { ...upload, fd, bytes, partBytes, uploadId: UploadId });
      const MultipartUpload = { Parts: [...parts] };
      await client.send(new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload }));
    } catch (error) {
      // What this cannot remove, the sweep at the next start does.
      await client.send(new AbortMultipartUploadCommand({ ...target, UploadId })).catch(() => {});
      throw error;
    }
  } finally {
    closeSync(fd);
  }
}

interface Sending extends Upload {
  readonly fd: number;
  readonly bytes: number;
  readonly uploadId: string;
}

/** In order of their numbers. All have ended when it returns or throws. */
async function sendParts(client: S3Client, sending: Sending): Promise<readonly CompletedPart[]> {
  const { bytes, partBytes, partsAtOnce } = sending;
  const parts: CompletedPart[] = [];
  const count = Math.ceil(bytes / partBytes);
  let next = 0;
  const sendSome = async (): Promise<void> => {
    while (next < count) {
      const index = next++;
      try {
        parts[index] = await sendPart(client, sending, index);
      } catch (error) {
        next = count;
        throw error;
      }
    }
  };
  const workers = Array.from({ length: Math.min(partsAtOnce, count) }, sendSome);
  for (const result of await Promise.allSettled(workers)) if (result.status === "rejected") throw result.reason;
  return parts;
}

/** A repeated part replaces the one before it, so that every failure that may pass is worth another try. */
async function sendPart(client: S3Client, sending: Sending, index: number): Promise<CompletedPart> {
  const { target, uploadId, fd, bytes, partBytes } = sending;
  const start = index * partBytes;
  const body = readPart(fd, start, Math.min(partBytes, bytes - start));
  const ChecksumCRC32C = crc32cBase64(body);
  const PartNumber = index + 1;
  const input = { ...target, UploadId: uploadId, PartNumber, Body: body, ContentLength: body.length, ChecksumCRC32C };
  for (let attempt = 1; ; attempt++) {
    try {
      const { ETag } = await client.send(new UploadPartCommand(input));
      if (ETag === undefined) throw new StoreError("unclear", "the store's answer has no ETag");
      return { PartNumber, ETag, ChecksumCRC32C };
    } catch (error) {
      if (attempt === partAttemptsMax || !isPassingFailure(storeErrorOf(error, "put part of", target.Key))) throw error;
      await delay(Math.random() * Math.min(partWaitMsMax, partWaitMs * 2 ** attempt));
    }
  }
}

function readPart(fd: number, start: number, length: number): Uint8Array {
  const part = Buffer.allocUnsafeSlow(length);
  let done = 0;
  while (done < length) {
    const read = readSync(fd, part, done, length - done, start + done);
    if (read === 0) throw new RangeError("the file became shorter while it was sent");
    done += read;
  }
  return part;
}

/** Long past any upload that still runs. */
const staleMs = 24 * 60 * 60 * 1000;

/**
 * Removes the parts of uploads below the prefix that nobody finished: they cost room, and show in no list of objects. Best
 * effort; some servers do not list uploads, and remove them by themselves.
 */
export async function removeStaleUploads(
  client: S3Client,
  place: { readonly bucket: string; readonly prefix: string },
  nowMs: number,
): Promise<void> {
  const Bucket = place.bucket;
  try {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: place.prefix }));
    for (const { Key, UploadId, Initiated } of Uploads) {
      if (Initiated === undefined || nowMs - Initiated.getTime() < staleMs) continue;
      await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
    }
  } catch {
    // Tried again at the next start.
  }
}
