/**
 * The batch ids of a trimmed segment, `batches/<segment number, 16 digits>.bin`, version 1. Little-endian.
 *
 * ```
 *   0  u32  magic       "MBD1"
 *   4  u32  crc32       zlib's, over bytes [8, end)
 *   8  u32  segment
 *  12  u32  entryCount
 *  16  f64  newestMs    createdMs of the newest entry
 *  24       entries:
 *   +0  16 B tableUuid
 *  +16  u64  firstSequence of the record that the entry was in
 *  +24       batch entry, see wal-batches-v1.ts
 * ```
 */
import { crc32 } from "node:zlib";
import { uuidTextAt } from "./uuid-bytes.js";
import { batchEntryAt, batchEntryBytesAt, type BatchEntry } from "./wal-batches-v1.js";
import { headerFields, readSequence, viewOf, writeSequence, type RecordHeader } from "./wal-record-v1.js";

const digestMagic = 0x3144_424d;
export const digestHeaderBytes = 24;
const prefixBytes = 24;

export interface DigestHeader {
  readonly segment: number;
  readonly entryCount: number;
  readonly newestMs: number;
}

export interface DigestEntry {
  readonly tableUuid: string;
  /** Of the record; the batch's last row has `firstSequence + lastRowOf(batch)`. */
  readonly firstSequence: number;
  readonly batch: BatchEntry;
}

/** Collects the batch entries of records into the bytes of a digest. */
export class DigestBuilder {
  readonly #parts: Uint8Array[] = [];
  readonly #sinceMs: number;
  #newestMs = 0;

  /** Entries older than `sinceMs` are left out. */
  constructor(sinceMs: number) {
    this.#sinceMs = sinceMs;
  }

  get entryCount(): number {
    return this.#parts.length;
  }

  /** Takes the entries of a verified rows record that starts at `offset`. */
  add(bytes: Uint8Array, offset: number, header: RecordHeader): void {
    const view = viewOf(bytes);
    let at = offset + header.batchesOffset;
    for (let i = 0; i < header.batchCount; i++) {
      const { entryBytes, createdMs } = batchEntryBytesAt(view, at);
      if (createdMs >= this.#sinceMs) {
        const part = new Uint8Array(prefixBytes + entryBytes);
        part.set(bytes.subarray(offset + headerFields.tableUuid, offset + headerFields.tableUuid + 16));
        writeSequence(new DataView(part.buffer), 16, header.firstSequence);
        part.set(bytes.subarray(at, at + entryBytes), prefixBytes);
        this.#parts.push(part);
        this.#newestMs = Math.max(this.#newestMs, createdMs);
      }
      at += entryBytes;
    }
  }

  /** The file's bytes, and its header. */
  finish(segment: number): { readonly header: DigestHeader; readonly bytes: Uint8Array } {
    const head = new Uint8Array(digestHeaderBytes);
    const bytes = new Uint8Array(Buffer.concat([head, ...this.#parts]));
    const header = { segment, entryCount: this.#parts.length, newestMs: this.#newestMs };
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    view.setUint32(0, digestMagic, true);
    view.setUint32(8, segment, true);
    view.setUint32(12, header.entryCount, true);
    view.setFloat64(16, header.newestMs, true);
    view.setUint32(4, crc32(bytes.subarray(8)), true);
    return { header, bytes };
  }
}

/** The header of a whole, undamaged digest; undefined otherwise. */
export function parseDigestHeader(bytes: Uint8Array): DigestHeader | undefined {
  if (bytes.length < digestHeaderBytes) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== digestMagic) return undefined;
  if (view.getUint32(4, true) !== crc32(bytes.subarray(8))) return undefined;
  return {
    segment: view.getUint32(8, true),
    entryCount: view.getUint32(12, true),
    newestMs: view.getFloat64(16, true),
  };
}

/** The entries of a digest whose header was parsed. */
export function* parseDigestEntries(bytes: Uint8Array, header: DigestHeader): Generator<DigestEntry> {
  const view = viewOf(bytes);
  let at = digestHeaderBytes;
  for (let i = 0; i < header.entryCount; i++) {
    const { entryBytes } = batchEntryBytesAt(view, at + prefixBytes);
    yield {
      tableUuid: uuidTextAt(view, at),
      firstSequence: readSequence(view, at + 16),
      batch: batchEntryAt(bytes, at + prefixBytes),
    };
    at += prefixBytes + entryBytes;
  }
}
