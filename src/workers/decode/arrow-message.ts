import { MiniodbError } from "../../shared/errors.js";
import { arrowError, FlatTable, int64At, readingMetadata } from "./arrow-flatbuffer.js";

/** Numbers of the union MessageHeader in Message.fbs. */
export const messageKinds = { schema: 1, dictionaryBatch: 2, recordBatch: 3 } as const;

/** One encapsulated message: its header table and the bytes of its body. */
export interface ArrowMessage {
  readonly kind: number;
  readonly header: FlatTable;
  /** Where the message begins in the request's body, for errors. */
  readonly position: number;
  readonly body: Uint8Array;
  /** Of metadata and body together. */
  readonly bytes: number;
}

const continuation = 0xffff_ffff;
/** "ARROW1", at both ends of a file. */
const fileMagic = [0x41, 0x52, 0x52, 0x4f, 0x57, 0x31];
/** Behind the footer: its length and the magic. */
const fileEndBytes = 10;
/** A Block of the footer (File.fbs): i64 offset, i32 bytes of metadata, padding, i64 bytes of body. */
const blockBytes = 24;
/** MetadataVersion V4: Arrow 0.8 and newer. */
const versionLeast = 3;

/** The messages of a body in the order in which they are to be read, the schema first. */
export interface ArrowMessages {
  /** The next message, or null after the last one. */
  next(): ArrowMessage | null;
}

/** Those of an Arrow file where the body begins like one, else those of a stream. */
export function arrowMessages(bytes: Uint8Array): ArrowMessages {
  const isFile = fileMagic.every((byte, index) => bytes[index] === byte);
  return isFile ? new FileMessages(bytes) : new StreamMessages(bytes);
}

/**
 * ```
 * u32 0xFFFFFFFF (absent before Arrow 0.15)   u32 bytes of metadata, 0 = end   metadata   body
 * ```
 * Sizes are checked against the body before anything is made of them.
 */
class StreamMessages implements ArrowMessages {
  readonly #bytes: Uint8Array;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  next(): ArrowMessage | null {
    const start = this.#position;
    // A stream may end without its end marker.
    if (start === this.#bytes.length) return null;
    const message = messageAt(this.#bytes, start);
    if (message !== null) {
      this.#position += message.bytes;
      return message;
    }
    const markerBytes = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + start).getInt32(0) === -1 ? 8 : 4;
    this.#position += markerBytes;
    if (this.#position < this.#bytes.length) throw arrowError("bytes follow its end marker", this.#position);
    return null;
  }
}

/**
 * A file's footer has the schema and says where dictionaries and record batches lie. (Between the two magics lies
 * what mostly is a stream, but not always: apache-arrow leaves the schema out there.)
 */
class FileMessages implements ArrowMessages {
  readonly #bytes: Uint8Array;
  readonly #footerStart: number;
  readonly #schema: FlatTable;
  readonly #starts: readonly number[];
  #next = -1;

  constructor(bytes: Uint8Array) {
    const lengthAt = bytes.length - fileEndBytes;
    const isWhole =
      lengthAt > fileMagic.length && fileMagic.every((byte, index) => bytes[lengthAt + 4 + index] === byte);
    if (!isWhole) throw arrowError("it begins like a file, and does not end like one", bytes.length);
    const footerBytes = new DataView(bytes.buffer, bytes.byteOffset + lengthAt, 4).getUint32(0, true);
    if (footerBytes > lengthAt) throw arrowError("its footer is longer than the body", lengthAt);
    this.#bytes = bytes;
    this.#footerStart = lengthAt - footerBytes;
    const view = new DataView(bytes.buffer, bytes.byteOffset + this.#footerStart, footerBytes);
    [this.#schema, this.#starts] = readingMetadata(this.#footerStart, () => {
      const footer = FlatTable.root(view);
      const schema = footer.table(1);
      if (schema === null) throw arrowError("its footer has no schema", this.#footerStart);
      return [schema, [...this.#blocks(footer, 2), ...this.#blocks(footer, 3)]] as const;
    });
  }

  next(): ArrowMessage | null {
    if (this.#next < 0) {
      this.#next = 0;
      const position = this.#footerStart;
      return { kind: messageKinds.schema, header: this.#schema, position, body: new Uint8Array(0), bytes: 0 };
    }
    const start = this.#starts[this.#next++];
    if (start === undefined) return null;
    const message = messageAt(this.#bytes, start);
    if (message === null) throw arrowError("its footer leads to an end marker", start);
    return message;
  }

  /** Offsets of the messages that a vector of blocks names. */
  #blocks(footer: FlatTable, field: number): number[] {
    const blocks = footer.vector(field, blockBytes);
    if (blocks === null) return [];
    let end = 0;
    return Array.from({ length: blocks.length }, (_, index) => {
      const at = blocks.start + index * blockBytes;
      const start = int64At(blocks.view, at);
      // Each message once, or a short body could name a long batch a million times.
      if (!(start >= end && start < this.#footerStart)) {
        throw arrowError("a block of its footer is out of order", start);
      }
      end = start + Math.max(blocks.view.getInt32(at + 8, true), 8);
      return start;
    });
  }
}

/** The message at `start`; null where an end marker is. */
function messageAt(bytes: Uint8Array, start: number): ArrowMessage | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const left = bytes.length - start;
  if (left < 8) {
    if (left === 4 && view.getUint32(start, true) === 0) return null;
    throw arrowError("it ends inside a message's length", start);
  }
  const isContinued = view.getUint32(start, true) === continuation;
  const metadataStart = start + (isContinued ? 8 : 4);
  const metadataBytes = view.getUint32(metadataStart - 4, true);
  if (metadataBytes === 0) return null;
  if (metadataBytes > bytes.length - metadataStart) throw arrowError("it ends inside a message's metadata", start);
  const metadata = new DataView(bytes.buffer, bytes.byteOffset + metadataStart, metadataBytes);
  const { header, kind, bodyBytes } = readingMetadata(start, () => readMessage(metadata, start));
  const bodyStart = metadataStart + metadataBytes;
  if (!(bodyBytes >= 0 && bodyBytes <= bytes.length - bodyStart)) {
    throw arrowError("a message's body is longer than the request's", start);
  }
  const end = bodyStart + bodyBytes;
  return { kind, header, position: start, body: bytes.subarray(bodyStart, end), bytes: end - start };
}

function readMessage(metadata: DataView, position: number): { kind: number; header: FlatTable; bodyBytes: number } {
  const message = FlatTable.root(metadata);
  if (message.int16(0) < versionLeast) throw arrowError("its metadata version is older than V4", position);
  const header = message.table(2);
  if (header === null) throw arrowError("a message has no header", position);
  return { kind: message.uint8(1), header, bodyBytes: message.int64(3) };
}

/** Throws where a RecordBatch table says that its buffers are compressed. */
export function refuseCompression(recordBatch: FlatTable, position: number): void {
  const compression = recordBatch.table(3);
  if (compression === null) return;
  const codec = compression.uint8(0) === 0 ? "LZ4" : "ZSTD";
  throw new MiniodbError(
    "UNSUPPORTED_MEDIA_TYPE",
    `the Arrow buffers are compressed (${codec}); write them uncompressed and use Content-Encoding instead`,
    { position },
  );
}
