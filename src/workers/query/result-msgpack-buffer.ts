const textEncoder = new TextEncoder();

/**
 * Growing MessagePack; numbers are big endian. The heads that it writes, by what they are for:
 *
 * ```
 *   c0 nil   c2 false   c3 true   ca float 32   cb float 64
 *   00-7f 0 to 127   e0-ff -32 to -1   cc cd ce cf uint 8 to 64   d0 d1 d2 d3 int 8 to 64
 *   a0-bf d9 da db str   c4 c5 c6 bin   80-8f de map   dd array 32   d7 fixext 8   c7 ext 8
 * ```
 * `#take` may replace the view when the buffer grows: it is always called before the view is used.
 */
export class MsgpackBuffer {
  #bytes: Uint8Array;
  #view: DataView;
  #at = 0;

  constructor(firstBytes: number) {
    this.#bytes = new Uint8Array(firstBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#at;
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  nil(): void {
    this.#byte(0xc0);
  }

  boolean(value: boolean): void {
    this.#byte(value ? 0xc3 : 0xc2);
  }

  /** From -2^31 to 2^32 - 1, in the fewest bytes. */
  integer(value: number): void {
    if (value >= 0) {
      if (value < 0x80) this.#byte(value);
      else this.#length(value, [0xcc, 0xcd, 0xce]);
    } else if (value >= -0x20) this.#byte(value & 0xff);
    else if (value >= -0x80) {
      const at = this.#take(0xd0, 1);
      this.#view.setInt8(at, value);
    } else if (value >= -0x8000) {
      const at = this.#take(0xd1, 2);
      this.#view.setInt16(at, value);
    } else {
      const at = this.#take(0xd2, 4);
      this.#view.setInt32(at, value);
    }
  }

  /** For numbers that `integer` does not take. */
  int64(value: bigint): void {
    const at = this.#take(0xd3, 8);
    this.#view.setBigInt64(at, value);
  }

  uint64(value: bigint): void {
    const at = this.#take(0xcf, 8);
    this.#view.setBigUint64(at, value);
  }

  float32(value: number): void {
    const at = this.#take(0xca, 4);
    this.#view.setFloat32(at, value);
  }

  float64(value: number): void {
    const at = this.#take(0xcb, 8);
    this.#view.setFloat64(at, value);
  }

  /** timestamp 64: 30 bits of nanoseconds, 34 of seconds. */
  timestamp64(seconds: number, nanos: number): void {
    const at = this.#take(0xd7, 9);
    this.#view.setInt8(at, -1);
    this.#view.setUint32(at + 1, nanos * 4 + Math.floor(seconds / 4_294_967_296));
    this.#view.setUint32(at + 5, seconds >>> 0);
  }

  /** timestamp 64 where it fits, else timestamp 96. */
  timestamp(seconds: bigint, nanos: number): void {
    if (seconds >= 0n && seconds < 1n << 34n) return this.timestamp64(Number(seconds), nanos);
    const at = this.#take(0xc7, 14);
    this.#view.setUint8(at, 12);
    this.#view.setInt8(at + 1, -1);
    this.#view.setUint32(at + 2, nanos);
    this.#view.setBigInt64(at + 6, seconds);
  }

  textHead(length: number): void {
    if (length < 32) this.#byte(0xa0 | length);
    else this.#length(length, [0xd9, 0xda, 0xdb]);
  }

  blobHead(length: number): void {
    this.#length(length, [0xc4, 0xc5, 0xc6]);
  }

  /** At most 65,535 entries: a result has fewer columns. */
  map(entries: number): void {
    if (entries < 16) this.#byte(0x80 | entries);
    else {
      const at = this.#take(0xde, 2);
      this.#view.setUint16(at, entries);
    }
  }

  /** Always in its longest form, as results are long. */
  array(items: number): void {
    const at = this.#take(0xdd, 4);
    this.#view.setUint32(at, items);
  }

  text(value: string): void {
    const bytes = textEncoder.encode(value);
    this.textHead(bytes.length);
    this.raw(bytes);
  }

  /** Bytes that are MessagePack already, or what follows a head. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** `raw` for a few bytes of a larger array, without a view of them. */
  part(bytes: Uint8Array, from: number, length: number): void {
    if (length > 64) return this.raw(bytes.subarray(from, from + length));
    this.#reserve(length);
    for (let index = 0; index < length; index++) this.#bytes[this.#at++] = bytes[from + index] as number;
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = value;
  }

  /** A head and a number in one, two or four bytes, whichever do. */
  #length(value: number, heads: readonly [number, number, number]): void {
    if (value < 0x100) {
      const at = this.#take(heads[0], 1);
      this.#view.setUint8(at, value);
    } else if (value < 0x1_0000) {
      const at = this.#take(heads[1], 2);
      this.#view.setUint16(at, value);
    } else {
      const at = this.#take(heads[2], 4);
      this.#view.setUint32(at, value);
    }
  }

  /** Puts the head and returns where the next `length` bytes go. */
  #take(head: number, length: number): number {
    this.#reserve(length + 1);
    this.#bytes[this.#at] = head;
    const at = this.#at + 1;
    this.#at = at + length;
    return at;
  }

  #reserve(length: number): void {
    if (this.#at + length <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + length));
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
