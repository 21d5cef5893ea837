/**
 * Avro object container files (Avro specification, "Object Container Files"), one call per file; `avsc` encodes and
 * decodes the values.
 *
 * ```
 * "Obj" 01 | map<bytes> { avro.schema, avro.codec, ...metadata } | sync (16)
 * then blocks: long records | long bytes | records, deflated (raw) | sync (16)
 * ```
 * Longs come out as numbers where they are exact, else as bigints (LongValue).
 *
 * The format has no checksum, and the library loops for very long on a damaged count. So our files carry one in their
 * metadata, `miniodb.crc32`, over everything else; other readers ignore it, and files of other writers have none.
 */
import type avsc from "avsc";
import { crc32, deflateRawSync, inflateRawSync } from "node:zlib";
import { MiniodbError } from "../errors.js";
import { requirePackage } from "../require-package.js";
import { toLongValue, type LongValue } from "./exact-json.js";

/** An Avro schema with Iceberg's attributes (`field-id`, `element-id`), which the library does not know. */
export type AvroSchema =
  | string
  | readonly AvroSchema[]
  | { readonly type: AvroSchema; readonly [attribute: string]: unknown };

export interface AvroFile {
  readonly schema: AvroSchema;
  /** File metadata as text, `avro.*` left out. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly records: readonly unknown[];
}

interface Header {
  readonly magic: Buffer;
  readonly meta: Readonly<Record<string, Buffer>>;
  readonly sync: Buffer;
}

interface Block {
  readonly count: LongValue;
  readonly data: Buffer;
  readonly sync: Buffer;
}

const magic = Buffer.from("Obj\u0001", "latin1");
const checksumKey = "miniodb.crc32";
const recordsPerBlock = 1_000;
/** A block says its size before it is there; a damaged one must not ask for all memory. */
const inflatedBytesMax = 1024 * 1024 * 1024;

interface Library {
  readonly toType: (schemaText: string) => avsc.Type;
  readonly headerType: avsc.Type;
  readonly blockType: avsc.Type;
}

let loadedLibrary: Library | undefined;

/** Loaded by the first file: threads that meet none do without. */
function library(): Library {
  return (loadedLibrary ??= loadLibrary());
}

function loadLibrary(): Library {
  const loaded = requirePackage("avsc");
  const longType = loaded.types.LongType.__with({
    fromBuffer: (buffer: Buffer) => toLongValue(buffer.readBigInt64LE(0)),
    toBuffer: (value: LongValue) => {
      const buffer = Buffer.alloc(8);
      buffer.writeBigInt64LE(BigInt(value));
      return buffer;
    },
    fromJSON: (value: number) => value,
    toJSON: (value: LongValue) => Number(value),
    isValid: (value: unknown) => typeof value === "bigint" || Number.isSafeInteger(value),
    compare: (left: LongValue, right: LongValue) => (left < right ? -1 : left > right ? 1 : 0),
  });
  // The library's own type for schemas leaves out attributes, which it ignores.
  const toType = (schemaText: string): avsc.Type =>
    loaded.Type.forSchema(JSON.parse(schemaText) as avsc.Type, { registry: { long: longType } });
  return { toType, headerType: toType(headerSchema), blockType: toType(blockSchema) };
}

/** Making a type compiles code (milliseconds); a process meets few schemas, over and over. */
const typesMax = 64;
const types = new Map<string, avsc.Type>();

const headerSchema = JSON.stringify({
  type: "record",
  name: "Header",
  fields: [
    { name: "magic", type: { type: "fixed", name: "Magic", size: 4 } },
    { name: "meta", type: { type: "map", values: "bytes" } },
    { name: "sync", type: { type: "fixed", name: "HeaderSync", size: 16 } },
  ],
});
const blockSchema = JSON.stringify({
  type: "record",
  name: "Block",
  fields: [
    { name: "count", type: "long" },
    { name: "data", type: "bytes" },
    { name: "sync", type: { type: "fixed", name: "BlockSync", size: 16 } },
  ],
});

/** `sync` (16 bytes) should be random per file: it is how a reader finds the next block after damage. */
export function encodeAvroFile(file: AvroFile, sync: Uint8Array): Uint8Array {
  try {
    return encode(file, sync);
  } catch (error) {
    throw new MiniodbError("INTERNAL", `A record does not fit its Avro schema: ${String(error)}`, {}, error);
  }
}

function encode(file: AvroFile, sync: Uint8Array): Uint8Array {
  const { headerType, blockType } = library();
  const schemaText = JSON.stringify(file.schema);
  const type = toType(schemaText);
  const syncBytes = asBuffer(sync);
  const meta: Record<string, Buffer> = {
    "avro.schema": Buffer.from(schemaText),
    "avro.codec": Buffer.from("deflate"),
  };
  for (const [key, text] of Object.entries(file.metadata)) meta[key] = Buffer.from(text);
  const blocks: Buffer[] = [];
  for (let start = 0; start < file.records.length; start += recordsPerBlock) {
    const records = file.records.slice(start, start + recordsPerBlock);
    const data = deflateRawSync(Buffer.concat(records.map((record) => type.toBuffer(record))));
    blocks.push(blockType.toBuffer({ count: records.length, data, sync: syncBytes }));
  }
  const body = Buffer.concat(blocks);
  meta[checksumKey] = checksumOf({ meta, sync: syncBytes, body });
  return Buffer.concat([headerType.toBuffer({ magic, meta, sync: syncBytes }), body]);
}

function checksumOf(file: Pick<Header, "meta" | "sync"> & { readonly body: Buffer }): Buffer {
  let checksum = crc32(file.sync);
  for (const [key, value] of Object.entries(file.meta).toSorted(([left], [right]) => (left < right ? -1 : 1))) {
    if (key !== checksumKey) checksum = crc32(value, crc32(key, checksum));
  }
  return Buffer.from(crc32(file.body, checksum).toString(16));
}

/** Reads a file of any writer with the writer's own schema. Throws INTERNAL, with `name`, where it is damaged. */
export function decodeAvroFile(bytes: Uint8Array, name: string): AvroFile {
  try {
    return decode(asBuffer(bytes));
  } catch (error) {
    throw new MiniodbError("INTERNAL", `Avro file ${name} cannot be read: ${String(error)}`, {}, error);
  }
}

/** The library answers an offset of -1 where the bytes end before the value does. */
function decode(bytes: Buffer): AvroFile {
  const { headerType, blockType } = library();
  const { value, offset: headerEnd } = headerType.decode(bytes, 0);
  const header: Header = value;
  if (headerEnd < 0 || !header.magic.equals(magic)) throw new Error("it does not start as one");
  const { meta, sync } = header;
  const stated = meta[checksumKey];
  if (stated !== undefined && !stated.equals(checksumOf({ meta, sync, body: bytes.subarray(headerEnd) }))) {
    throw new Error("its checksum does not match");
  }
  const schemaText = String(meta["avro.schema"]);
  const inflate = inflaterOf(String(meta["avro.codec"] ?? "null"));
  const type = toType(schemaText);
  const records: unknown[] = [];
  for (let at = headerEnd; at < bytes.length;) {
    const { value, offset } = blockType.decode(bytes, at);
    const block: Block = value;
    if (offset < 0 || !block.sync.equals(header.sync)) throw new Error(`the block at byte ${at} is damaged`);
    readRecords(type, inflate(block.data), { count: Number(block.count), into: records });
    at = offset;
  }
  const metadata = Object.entries(meta).filter(([key]) => !key.startsWith("avro.") && key !== checksumKey);
  return {
    schema: JSON.parse(schemaText) as AvroSchema,
    records,
    metadata: Object.fromEntries(metadata.map(([key, value]) => [key, value.toString()])),
  };
}

function readRecords(
  type: avsc.Type,
  data: Buffer,
  target: { readonly count: number; readonly into: unknown[] },
): void {
  let at = 0;
  for (let index = 0; index < target.count; index++) {
    const { value, offset } = type.decode(data, at);
    if (offset < 0) throw new Error("a record is cut short");
    target.into.push(value);
    at = offset;
  }
  if (at !== data.length) throw new Error("a block is longer than its records");
}

function inflaterOf(codec: string): (data: Buffer) => Buffer {
  if (codec === "null") return (data) => data;
  if (codec === "deflate") return (data) => inflateRawSync(data, { maxOutputLength: inflatedBytesMax });
  throw new Error(`it is compressed with ${codec}`);
}

/** The library's type of a schema in JSON text. */
function toType(text: string): avsc.Type {
  const known = types.get(text);
  if (known !== undefined) return known;
  const type = library().toType(text);
  if (types.size === typesMax) types.clear();
  types.set(text, type);
  return type;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
