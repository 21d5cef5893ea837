import type { ListObjectsV2CommandOutput, S3Client } from "@aws-sdk/client-s3";
import { readFileSync, rmSync, statSync } from "node:fs";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { requirePackage } from "../require-package.js";
import { assert } from "../assert.js";
import { assertKey } from "./key-rules.js";
import {
  ObjectNotFound,
  type ByteRange,
  type ObjectEntry,
  type ObjectPart,
  type ObjectStore,
  type PartFacts,
  type PartRequest,
  type PartTarget,
} from "./object-store.js";
import { crc32cBase64, hasStoredChecksum } from "./s3-checksum.js";
import { type S3Options, warehouseUri } from "./s3-options.js";
import { codeOfS3Error, statusOfS3Error, storeErrorOf } from "./s3-errors.js";
import { uploadParts } from "./s3-upload.js";
import { StoreError } from "./store-failure.js";

const { DeleteObjectCommand, GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, PutObjectCommand } =
  requirePackage("@aws-sdk/client-s3");

/** Rounds of "another conditional put of this key is under way", and the longest pause between two of them. */
const conflictRoundsMax = 6;
const conflictWaitMsMax = 200;

/**
 * Objects of one bucket of S3, or of a server that speaks its protocol, below a prefix. Any number of clients may share
 * it. Nothing is repeated here but what the store itself asks to repeat; see RetryingStore.
 *
 * Each upload carries its CRC-32C, which the store compares before it takes the object, and keeps. Objects that are read
 * whole are compared with it again; ranges are not, as it is the checksum of the whole.
 */
export class S3Store implements ObjectStore {
  readonly isLocal = false;
  readonly #client: S3Client;
  readonly #options: S3Options;
  /** What is put before each key. */
  readonly #prefix: string;

  constructor(client: S3Client, options: S3Options) {
    this.#client = client;
    this.#options = options;
    this.#prefix = options.prefix === "" ? "" : `${options.prefix}/`;
  }

  async get(key: string, range?: ByteRange): Promise<Uint8Array> {
    if (range !== undefined) return (await this.getPart(key, range)).body;
    const target = this.#target(key);
    return calling("get", key, async () => {
      const { Body, ContentLength } = await this.#client.send(
        new GetObjectCommand({ ...target, ChecksumMode: "ENABLED" }),
      );
      return readBody(Body, ContentLength);
    });
  }

  async getPart(key: string, range: ByteRange, etag?: string): Promise<ObjectPart> {
    const pieces: Uint8Array[] = [];
    const target = { begin: () => pieces.splice(0), take: (bytes: Uint8Array) => void pieces.push(bytes) };
    const { objectBytes, etag: found } = await this.streamPart({ key, range, etag, target });
    return { body: Buffer.concat(pieces), objectBytes, etag: found };
  }

  async streamPart({ key, range, etag, target: taker }: PartRequest): Promise<PartFacts> {
    const target = { ...this.#target(key), ...(etag !== undefined && { IfMatch: etag }) };
    taker.begin();
    // HTTP has no empty range, nor one that begins after the end: only the object's facts are asked for then.
    if (range.end <= range.start) return this.#emptyPart(key, target);
    try {
      return await calling("get", key, async () => {
        const Range = `bytes=${range.start}-${range.end - 1}`;
        const { Body, ContentLength, ContentRange, ETag } = await this.#client.send(
          new GetObjectCommand({ ...target, Range }),
        );
        const objectBytes = ContentRange === undefined ? ContentLength : Number(ContentRange.split("/")[1]);
        // A server that does not know ranges sends the whole object.
        const wanted = ContentRange === undefined ? range : { start: 0, end: range.end - range.start };
        const bytes = await streamBody(Body, ContentLength, { ...wanted, taker });
        return { bytes, objectBytes: definite(objectBytes, "size"), etag: definite(ETag, "ETag") };
      });
    } catch (error) {
      if (error instanceof RangeOutside) return this.#emptyPart(key, target);
      throw error;
    }
  }

  async put(key: string, body: Uint8Array): Promise<void> {
    const target = this.#target(key);
    const input = { ...target, Body: body, ContentLength: body.length, ChecksumCRC32C: crc32cBase64(body) };
    await calling("put", key, () => this.#client.send(new PutObjectCommand(input)));
  }

  async putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    const target = this.#target(key);
    const input = { ...target, Body: body, ContentLength: body.length, ChecksumCRC32C: crc32cBase64(body) };
    for (let round = 1; ; round++) {
      try {
        await this.#client.send(new PutObjectCommand({ ...input, IfNoneMatch: "*" }));
        return true;
      } catch (error) {
        if (statusOfS3Error(error) === 412) return false;
        const isConflict = statusOfS3Error(error) === 409 && codeOfS3Error(error) !== "NoSuchBucket";
        // Another put was under way, and ours was not made. It may yet fail: only the next answer tells.
        if (!isConflict || round === conflictRoundsMax) throw storeErrorOf(error, "put if absent", key);
        await delay(Math.random() * Math.min(conflictWaitMsMax, 10 * 2 ** round));
      }
    }
  }

  /** The file stays where it is until the object is there: after a failure the same call may be made again. */
  async putFile(key: string, path: string): Promise<void> {
    const target = this.#target(key);
    if (statSync(path).size <= this.#options.multipartBytes) await this.put(key, readFileSync(path));
    else await calling("put", key, () => uploadParts(this.#client, { target, path, ...this.#options }));
    rmSync(path, { force: true });
  }

  /** Whole objects that are read by `get` were compared on the way. */
  async compareChecksum(key: string, path: string): Promise<boolean | null> {
    const target = this.#target(key);
    return calling("head", key, () => hasStoredChecksum(this.#client, target, path));
  }

  async *list(prefix: string): AsyncIterable<ObjectEntry> {
    for await (const page of this.#pages(prefix)) {
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        const key = this.#keyOf(Key);
        // What other tools make of a folder.
        if (key.endsWith("/") || key === "") continue;
        yield { key, bytes: definite(Size, "Size"), modifiedMs: definite(LastModified, "LastModified").getTime() };
      }
    }
  }

  async listFolders(prefix: string): Promise<string[]> {
    const folders: string[] = [];
    for await (const page of this.#pages(prefix, "/")) {
      for (const { Prefix } of page.CommonPrefixes ?? []) folders.push(this.#keyOf(Prefix).replace(/\/$/, ""));
    }
    return folders;
  }

  async delete(key: string): Promise<void> {
    const target = this.#target(key);
    try {
      await calling("delete", key, () => this.#client.send(new DeleteObjectCommand(target)));
    } catch (error) {
      if (!(error instanceof ObjectNotFound)) throw error;
    }
  }

  async removeEmptyFolders(): Promise<void> {}

  readableUrl(key: string): string {
    throw new Error(`${key} lies in a bucket; what DuckDB reads is fetched first`);
  }

  uri(key: string): string {
    return `${warehouseUri(this.#options)}/${key}`;
  }

  #target(key: string): { readonly Bucket: string; readonly Key: string } {
    assertKey(key);
    return { Bucket: this.#options.bucket, Key: this.#prefix + key };
  }

  #keyOf(name: string | undefined): string {
    const full = definite(name, "Key");
    assert(full.startsWith(this.#prefix), `${full} was listed, but does not begin with ${this.#prefix}`);
    return full.slice(this.#prefix.length);
  }

  async #emptyPart(key: string, target: { readonly Bucket: string; readonly Key: string }): Promise<PartFacts> {
    return calling("head", key, async () => {
      const { ContentLength, ETag } = await this.#client.send(new HeadObjectCommand(target));
      return {
        bytes: 0,
        objectBytes: definite(ContentLength, "size"),
        etag: definite(ETag, "ETag"),
      };
    });
  }

  /** 1,000 keys or folders a page. */
  async *#pages(prefix: string, delimiter?: string): AsyncIterable<ListObjectsV2CommandOutput> {
    let next: string | undefined;
    do {
      const input = {
        Bucket: this.#options.bucket,
        Prefix: this.#prefix + prefix,
        ...(delimiter !== undefined && { Delimiter: delimiter }),
        ...(next !== undefined && { ContinuationToken: next }),
      };
      const page = await calling("list", prefix, () => this.#client.send(new ListObjectsV2Command(input)));
      yield page;
      next = page.IsTruncated === true ? definite(page.NextContinuationToken, "NextContinuationToken") : undefined;
    } while (next !== undefined);
  }
}

/** The asked range begins after the object's end (416): an answer, not a failure. */
class RangeOutside extends Error {
  override readonly name = "RangeOutside";
}

async function calling<Result>(doing: string, key: string, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act();
  } catch (error) {
    if (statusOfS3Error(error) === 416) throw new RangeOutside(key);
    // HEAD has no body, and so no code.
    if (doing === "head" && statusOfS3Error(error) === 404) throw new ObjectNotFound(key);
    throw storeErrorOf(error, doing, key);
  }
}

type Body = { readonly transformToByteArray: () => Promise<Uint8Array> };

/** All bytes; throws a StoreError where the connection ended before the last of them. */
async function readBody(body: Body | undefined, bytes: number | undefined): Promise<Uint8Array> {
  const read = await definite(body, "body").transformToByteArray();
  if (bytes === undefined || read.length === bytes) return read;
  throw new StoreError("unclear", `the store sent ${read.length} bytes of ${bytes}`);
}

interface WantedBytes extends ByteRange {
  readonly taker: PartTarget;
}

/**
 * Hands the body's bytes [start, end) on as they come off the network, a few dozen KiB at a time; returns how many there
 * were. Throws what the taker throws, and a StoreError where the connection ended before the last byte of the body.
 */
async function streamBody(body: unknown, bodyBytes: number | undefined, wanted: WantedBytes): Promise<number> {
  const stream = definite(body, "body");
  assert(stream instanceof Readable, "the SDK gives streams of Node's on Node");
  const { start, end, taker } = wanted;
  let read = 0;
  await new Promise<void>((resolve, reject) => {
    stream.on("data", (bytes: Uint8Array) => {
      const from = Math.max(0, start - read);
      const to = Math.min(bytes.length, end - read);
      read += bytes.length;
      if (from >= to) return;
      try {
        taker.take(bytes.subarray(from, to));
      } catch (error) {
        reject(error instanceof Error ? error : new TypeError(String(error)));
        stream.destroy();
      }
    });
    stream.once("end", resolve);
    stream.once("error", reject);
    // Of a connection that went, an end or an error comes before it; nothing happens then.
    stream.once("close", () => reject(new StoreError("unclear", "the connection ended before the body did")));
  });
  if (bodyBytes !== undefined && read !== bodyBytes) {
    throw new StoreError("unclear", `the store sent ${read} bytes of ${bodyBytes}`);
  }
  return Math.max(0, Math.min(read, end) - start);
}

/** What every S3 answer of its kind has. */
function definite<Value>(value: Value | undefined, name: string): Value {
  if (value === undefined) throw new StoreError("unclear", `the store's answer has no ${name}`);
  return value;
}
