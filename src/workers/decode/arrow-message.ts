import { MiniodbError } from "../../shared/errors.js";
import { arrowError, FlatTable, readingMetadata } from "./arrow-flatbuffer.js";

/** Numbers of the union MessageHeader in Message.fbs. */
export const messageKinds = { schema: 1, dictionaryBatch: 2, recordBatch: 3 } as const;

/** One encapsulated message: its header table and the bytes of its body. */
export interface ArrowMessage {
  readonly kind: number;
  readonly header: FlatTable;
  /** Where the message begins in the request's body, for errors. */
  readonly position: number;
  readonly body: Uint8Array;
}

const continuation = 0xffff_ffff;
const fileMagic = [0x41, 0x52, 0x52, 0x4f, 0x57, 0x31];
const fileMagicBytes = 8;
/** MetadataVersion V4: Arrow 0.8 and newer. */
const versionLeast = 3;

/**
 * The messages of an Arrow IPC stream, or of a file, which is a stream between a magic and a footer.
 *
 * ```
 * u32 0xFFFFFFFF (absent before Arrow 0.15)   u32 bytes of metadata, 0 = end   metadata   body
 * ```
 * Sizes are checked against the body before anything is made of them.
 */
export class ArrowMessages {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #isFile: boolean;
  #position: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#isFile = fileMagic.every((byte, index) => bytes[index] === byte);
    this.#position = this.#isFile ? fileMagicBytes : 0;
  }

  /** Bytes of the request's body that have been taken. */
  get position(): number {
    return this.#position;
  }

  /** The next message, or null after the last one. */
  next(): ArrowMessage | null {
    const start = this.#position;
    const left = this.#bytes.length - start;
    // A stream may end without its end marker; a file has one, or its footer would be read as a message.
    if (left === 0 && !this.#isFile) return null;
    const metadata = this.#metadata(start, left);
    if (metadata === null) return null;
    const { header, kind, bodyBytes } = readingMetadata(start, () => readMessage(metadata, start));
    const bodyStart = this.#position;
    if (!(bodyBytes >= 0 && bodyBytes <= this.#bytes.length - bodyStart)) {
      throw arrowError("a message's body is longer than the request's", start);
    }
    this.#position = bodyStart + bodyBytes;
    return { kind, header, position: start, body: this.#bytes.subarray(bodyStart, this.#position) };
  }

  /** The next message's metadata; null for the end marker. Leaves the position at the message's body. */
  #metadata(start: number, left: number): DataView | null {
    if (left < 4) throw arrowError("it ends inside a message's length", start);
    let metadataStart = start + 4;
    let metadataBytes = this.#view.getUint32(start, true);
    if (metadataBytes === continuation) {
      if (left < 8) throw arrowError("it ends inside a message's length", start);
      metadataBytes = this.#view.getUint32(start + 4, true);
      metadataStart = start + 8;
    }
    if (metadataBytes === 0) {
      this.#position = metadataStart;
      if (!this.#isFile && metadataStart < this.#bytes.length) {
        throw arrowError("bytes follow its end marker", metadataStart);
      }
      return null;
    }
    if (metadataBytes > this.#bytes.length - metadataStart) {
      throw arrowError("it ends inside a message's metadata", start);
    }
    this.#position = metadataStart + metadataBytes;
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + metadataStart, metadataBytes);
  }
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
