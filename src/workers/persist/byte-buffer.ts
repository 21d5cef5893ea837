const initialBytes = 1024;

/** Bytes that grow at their end. Numbers are little-endian; varints are unsigned LEB128. */
export class ByteBuffer {
  length = 0;
  #bytes: Uint8Array<ArrayBuffer>;

  constructor(capacity: number = initialBytes) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** Valid until the next write. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.length);
  }

  /** The memory behind, longer than what is written; another one after a write that makes it grow. */
  get memory(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  clear(): void {
    this.length = 0;
  }

  /** Makes room for `count` more bytes and returns the memory: write from `length` on, then move `length`. */
  reserve(count: number): Uint8Array<ArrayBuffer> {
    if (this.length + count > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.length + count, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, this.length));
      this.#bytes = grown;
    }
    return this.#bytes;
  }

  byte(value: number): void {
    this.reserve(1)[this.length++] = value;
  }

  uint32(value: number): void {
    const bytes = this.reserve(4);
    bytes[this.length++] = value;
    bytes[this.length++] = value >>> 8;
    bytes[this.length++] = value >>> 16;
    bytes[this.length++] = value >>> 24;
  }

  append(source: Uint8Array): void {
    this.reserve(source.length).set(source, this.length);
    this.length += source.length;
  }

  /** A whole number from 0 to 2^53. */
  varint(value: number): void {
    const bytes = this.reserve(8);
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes[this.length++] = (rest % 128) | 0x80;
    bytes[this.length++] = rest;
  }

  /** A whole number within ±2^52. */
  zigzag(value: number): void {
    this.varint(value >= 0 ? value * 2 : -value * 2 - 1);
  }
}
