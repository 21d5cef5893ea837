import { assert } from "../assert.js";
import type { ByteRingConsumer, ByteRingProducer } from "./byte-ring.js";
import { TextCache } from "./text-cache.js";

/**
 * The ingest frame, main -> ingest worker: one request's body with what main knows about it. All little-endian.
 *
 * ```
 *  0  u32  requestId        main's name for the request; comes back in the completion
 *  4  u8   format           frameFormats
 *  5  u8   durability       frameDurabilities
 *  6  u8   contentEncoding  frameEncodings: the worker inflates
 *  7  u8   tableBytes       0: the table is named inside the body
 *  8  f64  receivedMicros   µs since 1970, when the request arrived
 * 16  u16  flags            frameFlags
 * 18  u16  batchIdBytes     0: no batch id
 * 20  u16  principalBytes   0: nobody in particular
 * 22  u16  zero
 * 24  u32  slabOffset       where the body starts in the shared slab buffer; 0 when it is inline
 * 28  u32  bodyBytes
 * 32       table, batch id, principal: UTF-8, one after the other, padded together to a multiple of 8
 *          the body, when it is inline
 * ```
 */
const fixedBytes = 32;

export const frameFormats = {
  json: 1,
  ndjson: 2,
  csv: 3,
  messagePack: 4,
  messagePackColumns: 5,
  arrowStream: 6,
} as const;
export type FrameFormat = (typeof frameFormats)[keyof typeof frameFormats];

export const frameDurabilities = { memory: 0, fsync: 1, stored: 2 } as const;
export type FrameDurability = (typeof frameDurabilities)[keyof typeof frameDurabilities];

export const frameEncodings = { identity: 0, gzip: 1, zstd: 2 } as const;
export type FrameEncoding = (typeof frameEncodings)[keyof typeof frameEncodings];

export const frameFlags = {
  /** Rows without an id are rejected where the table does not generate one. */
  idRequired: 1,
  /** An unknown table is created. */
  mayCreateTable: 2,
  /** The body lies in the slab buffer. */
  slab: 4,
  /** The body is `{table, id, timestamp, payload}`, the shape of POST /v1/data. */
  originalShape: 8,
  /** Each row takes the place of all earlier rows of its id. */
  replaces: 16,
  /** Each row's id names the earlier rows that are deleted; nothing else of it counts. */
  deletes: 32,
  /** Nothing is written: the ids of the rows come back with the account. */
  readsIds: 64,
  /** Rejected rows are kept as dead letters, whatever the table's settings say. */
  deadLetters: 128,
  /** Each row's field `_op` says what it does. */
  operations: 256,
  /** Of writes that the server itself makes, whose rows have ids: none is done where one of these was written since, see guarded-body.ts. */
  unlessNewer: 512,
} as const;

/** Fields of a frame to be written. Main keeps one and refills it: nothing here is held after `pushFrame`. */
export interface FrameHeader {
  requestId: number;
  format: FrameFormat;
  durability: FrameDurability;
  contentEncoding: FrameEncoding;
  /** frameFlags, without `slab`: that follows from slabOffset. */
  flags: number;
  receivedMicros: number;
  table: string;
  batchId: string;
  principal: string;
  /** Where the body lies in the slab buffer, or -1 for an inline body. */
  slabOffset: number;
  bodyBytes: number;
}

export function newFrameHeader(): FrameHeader {
  return {
    requestId: 0,
    format: frameFormats.json,
    durability: frameDurabilities.fsync,
    contentEncoding: frameEncodings.identity,
    flags: 0,
    receivedMicros: 0,
    table: "",
    batchId: "",
    principal: "",
    slabOffset: -1,
    bodyBytes: 0,
  };
}

/** Size in the ring of a frame whose three texts have `textBytes` bytes together. */
export function frameBytes(textBytes: number, inlineBodyBytes: number): number {
  return fixedBytes + ((textBytes + 7) & ~7) + inlineBodyBytes;
}

/**
 * Writes a frame with its whole body and publishes it; false when the ring is full (nothing is then written).
 * `body` is the inline body, or null when header.slabOffset says where it lies.
 */
export function pushFrame(ring: ByteRingProducer, header: FrameHeader, body: Uint8Array | null): boolean {
  const offset = beginFrame(ring, header);
  if (offset < 0) return false;
  if (body !== null) {
    assert(body.length === header.bodyBytes, "a frame says how long its body is");
    ring.bytes.set(body, offset);
  }
  ring.commit();
  return true;
}

/**
 * Reserves a frame and writes all but its body; returns the offset in `ring.bytes` where `header.bodyBytes` bytes of
 * inline body go, or -1 when the ring is full. The caller then commits (or stages) the ring.
 */
export function beginFrame(ring: ByteRingProducer, header: FrameHeader): number {
  const inline = header.slabOffset < 0;
  const tableBytes = utf8Bytes(header.table);
  const batchIdBytes = utf8Bytes(header.batchId);
  const principalBytes = utf8Bytes(header.principal);
  assert(tableBytes <= 0xff && batchIdBytes <= 0xffff && principalBytes <= 0xffff, "a frame's texts are short");
  const textBytes = tableBytes + batchIdBytes + principalBytes;
  const start = ring.reserve(frameBytes(textBytes, inline ? header.bodyBytes : 0));
  if (start < 0) return -1;
  const { view, bytes } = ring;
  view.setUint32(start, header.requestId, true);
  view.setUint8(start + 4, header.format);
  view.setUint8(start + 5, header.durability);
  view.setUint8(start + 6, header.contentEncoding);
  view.setUint8(start + 7, tableBytes);
  view.setFloat64(start + 8, header.receivedMicros, true);
  view.setUint16(start + 16, inline ? header.flags : header.flags | frameFlags.slab, true);
  view.setUint16(start + 18, batchIdBytes, true);
  view.setUint16(start + 20, principalBytes, true);
  view.setUint16(start + 22, 0, true);
  view.setUint32(start + 24, inline ? 0 : header.slabOffset, true);
  view.setUint32(start + 28, header.bodyBytes, true);
  let at = start + fixedBytes;
  at = writeText(bytes, at, header.table, tableBytes);
  at = writeText(bytes, at, header.batchId, batchIdBytes);
  writeText(bytes, at, header.principal, principalBytes);
  return frameBytes(textBytes, 0) + start;
}

/** Reads frames into its own fields: one is enough for a worker, and reading allocates only for batch ids. */
export class FrameReader {
  requestId = 0;
  format: number = frameFormats.json;
  durability: number = frameDurabilities.fsync;
  contentEncoding: number = frameEncodings.identity;
  flags = 0;
  receivedMicros = 0;
  /** Empty when the table is named inside the body. Repeated names are the same string object. */
  table = "";
  batchId = "";
  principal = "";
  /** Where the body starts: in the slab buffer with frameFlags.slab, else in the ring's `bytes`. */
  bodyStart = 0;
  bodyBytes = 0;
  readonly #tables = new TextCache(256);
  readonly #principals = new TextCache(64);

  /** Reads the frame that `ring.peek()` found at `start`. */
  read(ring: ByteRingConsumer, start: number): void {
    const { view, bytes, frameBytes: length } = ring;
    assert(length >= fixedBytes, "a frame is longer than its fixed part");
    this.requestId = view.getUint32(start, true);
    this.format = view.getUint8(start + 4);
    this.durability = view.getUint8(start + 5);
    this.contentEncoding = view.getUint8(start + 6);
    this.receivedMicros = view.getFloat64(start + 8, true);
    this.flags = view.getUint16(start + 16, true);
    this.bodyBytes = view.getUint32(start + 28, true);
    const tableEnd = start + fixedBytes + view.getUint8(start + 7);
    const batchIdEnd = tableEnd + view.getUint16(start + 18, true);
    const principalEnd = batchIdEnd + view.getUint16(start + 20, true);
    const inSlab = (this.flags & frameFlags.slab) !== 0;
    const bodyStart = start + frameBytes(principalEnd - start - fixedBytes, 0);
    assert(bodyStart + (inSlab ? 0 : this.bodyBytes) === start + length, "a frame is as long as its parts");
    this.bodyStart = inSlab ? view.getUint32(start + 24, true) : bodyStart;
    this.table = this.#tables.text(bytes, start + fixedBytes, tableEnd);
    this.batchId = batchIdEnd === tableEnd ? "" : decodeUtf8(bytes, tableEnd, batchIdEnd);
    this.principal = this.#principals.text(bytes, batchIdEnd, principalEnd);
  }

  /** The body as a view, valid until the frame is released (inline) or the completion is read (slab). */
  body(ring: ByteRingConsumer, slab: Uint8Array): Uint8Array {
    const source = (this.flags & frameFlags.slab) !== 0 ? slab : ring.bytes;
    return source.subarray(this.bodyStart, this.bodyStart + this.bodyBytes);
  }
}

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

function decodeUtf8(bytes: Uint8Array, start: number, end: number): string {
  return textDecoder.decode(bytes.subarray(start, end));
}

/** Length as UTF-8. Header texts are nearly always ASCII, so no encoder is asked. */
function utf8Bytes(text: string): number {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) > 0x7f) return textEncoder.encode(text).length;
  }
  return text.length;
}

function writeText(bytes: Uint8Array, at: number, text: string, byteCount: number): number {
  if (byteCount === text.length) {
    for (let index = 0; index < byteCount; index++) bytes[at + index] = text.charCodeAt(index);
  } else {
    bytes.set(textEncoder.encode(text), at);
  }
  return at + byteCount;
}
