import { MiniodbError } from "../../shared/errors.js";

/**
 * The first byte of a MessagePack value says what it is (https://github.com/msgpack/msgpack/blob/master/spec.md):
 *
 * ```
 * 00-7f integer   80-8f map    90-9f array   a0-bf text   c0 nil   c1 never used   c2 false   c3 true
 * c4-c6 binary    c7-c9 extension   ca cb float 32, 64    cc-cf uint 8, 16, 32, 64   d0-d3 int 8, 16, 32, 64
 * d4-d8 extension of 1, 2, 4, 8, 16 bytes   d9-db text    dc dd array   de df map    e0-ff negative integer
 * ```
 * Numbers and lengths are big-endian.
 */
export const tags = {
  nil: 0xc0,
  false: 0xc2,
  true: 0xc3,
  extension8: 0xc7,
  float32: 0xca,
  float64: 0xcb,
  uint8: 0xcc,
  uint16: 0xcd,
  uint32: 0xce,
  uint64: 0xcf,
  int8: 0xd0,
  int16: 0xd1,
  int32: 0xd2,
  int64: 0xd3,
  fixedExtension4: 0xd6,
  fixedExtension8: 0xd7,
  text8: 0xd9,
  text16: 0xda,
  text32: 0xdb,
} as const;

export type ValueKind =
  | "nil"
  | "boolean"
  | "integer"
  | "float"
  | "text"
  | "binary"
  | "array"
  | "map"
  | "timestamp"
  | "extension";

/** Bytes of the length field behind each of the tags c4 to df that has one, else 0. */
const lengthBytesOf = new Uint8Array(256);
/** Bytes behind the tag (and length field) of values of fixed size; of extensions, the type byte. */
const fixedBytesOf = new Uint8Array(256);
const kindOf: ValueKind[] = Array.from({ length: 256 }, (_, tag) => kindOfTag(tag));
for (const [tag, bytes] of [
  [0xc4, 1],
  [0xc5, 2],
  [0xc6, 4],
  [0xc7, 1],
  [0xc8, 2],
  [0xc9, 4],
  [0xd9, 1],
  [0xda, 2],
  [0xdb, 4],
  [0xdc, 2],
  [0xdd, 4],
  [0xde, 2],
  [0xdf, 4],
] as const) {
  lengthBytesOf[tag] = bytes;
}
for (const [tag, bytes] of [
  [0xc7, 1],
  [0xc8, 1],
  [0xc9, 1],
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
  [0xd4, 2],
  [0xd5, 3],
  [0xd6, 5],
  [0xd7, 9],
  [0xd8, 17],
] as const) {
  fixedBytesOf[tag] = bytes;
}

function kindOfTag(tag: number): ValueKind {
  if (tag < 0x80 || tag >= 0xe0 || (tag >= 0xcc && tag <= 0xd3)) return "integer";
  if (tag < 0x90 || tag >= 0xde) return "map";
  if (tag < 0xa0 || tag >= 0xdc) return "array";
  if (tag < 0xc0 || tag >= 0xd9) return "text";
  if (tag === tags.false || tag === tags.true) return "boolean";
  if (tag <= 0xc1) return "nil";
  if (tag <= 0xc6) return "binary";
  return tag === tags.float32 || tag === tags.float64 ? "float" : "extension";
}

/** Extension type -1 as a byte: a timestamp. */
const timestampExtension = 0xff;

/**
 * A position in a MessagePack body. Every method checks that what it reads lies within the body, and that a
 * container's claimed length can (an entry has at least a byte) before anyone allocates for it; what does not throws
 * INVALID_BODY with the position.
 */
export class MsgpackReader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly end: number;
  position = 0;
  /** Where the text that `readText` read last lies. */
  textStart = 0;
  textEnd = 0;

  constructor(body: Uint8Array) {
    this.bytes = body;
    this.view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    this.end = body.length;
  }

  /** What the value at the position is. */
  kind(): ValueKind {
    const tag = this.tag();
    const kind = kindOf[tag] as ValueKind;
    if (kind === "extension") return this.#isTimestamp(tag) ? "timestamp" : kind;
    if (tag === 0xc1) throw this.fail("the byte c1 begins no value");
    return kind;
  }

  /** The first byte of the value at the position. */
  tag(): number {
    if (this.position >= this.end) throw this.fail("it ends where a value should begin");
    return this.bytes[this.position] as number;
  }

  /** Moves behind the head of a map and returns its number of entries, or returns -1 where there is none. */
  readMap(): number {
    const tag = this.tag();
    if (kindOf[tag] !== "map") return -1;
    return this.#readLength(tag, tag & 0x0f, 2);
  }

  /** The same for an array. */
  readArray(): number {
    const tag = this.tag();
    if (kindOf[tag] !== "array") return -1;
    return this.#readLength(tag, tag & 0x0f, 1);
  }

  /** Moves behind a text, which is then bytes[textStart, textEnd); false where there is none. Not validated. */
  readText(): boolean {
    const tag = this.tag();
    if (kindOf[tag] !== "text") return false;
    const bytes = this.#readLength(tag, tag & 0x1f, 1);
    this.textStart = this.position;
    this.textEnd = this.position + bytes;
    this.position = this.textEnd;
    return true;
  }

  /** Moves behind the value at the position, however deep it is. */
  skip(): void {
    // Counted, not recursive: ten million nested arrays are one loop.
    let left = 1;
    while (left > 0) {
      left--;
      const tag = this.tag();
      const kind = kindOf[tag];
      if (kind === "map") left += 2 * this.#readLength(tag, tag & 0x0f, 2);
      else if (kind === "array") left += this.#readLength(tag, tag & 0x0f, 1);
      else this.#skipScalar(tag, kind === "text" ? tag & 0x1f : 0);
    }
  }

  #skipScalar(tag: number, small: number): void {
    if (tag === 0xc1) throw this.fail("the byte c1 begins no value");
    const isSized = small > 0 || lengthBytesOf[tag] !== 0;
    const bytes = isSized ? this.#readLength(tag, small, 1) : 1;
    this.position += bytes + (fixedBytesOf[tag] as number);
    if (this.position > this.end) throw this.fail("it ends inside a value");
  }

  /** Throws unless `bytes` of the value at the position, its tag included, are there. */
  need(bytes: number): void {
    if (this.position + bytes > this.end) throw this.fail("it ends inside a value");
  }

  fail(sentence: string, position = Math.min(this.position, this.end)): MiniodbError {
    return new MiniodbError("INVALID_BODY", `the body is not well-formed MessagePack: ${sentence}`, { position });
  }

  #isTimestamp(tag: number): boolean {
    const typeAt = this.position + 1 + (lengthBytesOf[tag] as number);
    if (typeAt >= this.end) throw this.fail("it ends inside a value");
    return this.bytes[typeAt] === timestampExtension;
  }

  /** Moves behind a tag and its length field; `small` is the length where the tag itself has it. */
  #readLength(tag: number, small: number, bytesPerEntry: 1 | 2): number {
    const lengthBytes = lengthBytesOf[tag] as number;
    this.need(1 + lengthBytes);
    const at = this.position + 1;
    let length = small;
    if (lengthBytes === 1) length = this.bytes[at] as number;
    else if (lengthBytes === 2) length = this.view.getUint16(at);
    else if (lengthBytes === 4) length = this.view.getUint32(at);
    if (length * bytesPerEntry > this.end - at - lengthBytes) throw this.fail("a length leads past its end");
    this.position = at + lengthBytes;
    return length;
  }
}
