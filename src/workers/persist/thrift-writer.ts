import type { ByteBuffer } from "./byte-buffer.js";

/** Type numbers of Thrift's compact protocol. */
export const thriftTypes = { true: 1, false: 2, i16: 4, i32: 5, i64: 6, binary: 8, list: 9, struct: 12 } as const;

/**
 * Writes structs in Thrift's compact protocol; thrift-compact.ts draws it and reads it back. Fields must come in the
 * order of their numbers.
 */
export class ThriftWriter {
  readonly #out: ByteBuffer;
  /** Number of the last field, of the struct in hand and of those around it. */
  readonly #fields: number[] = [];
  #lastField = 0;

  constructor(out: ByteBuffer) {
    this.#out = out;
  }

  /** Fields of the struct between this and `endStruct`; field 0 for the outermost, and for items of a list. */
  beginStruct(field = 0): void {
    if (field !== 0) this.#header(field, thriftTypes.struct);
    this.#fields.push(this.#lastField);
    this.#lastField = 0;
  }

  endStruct(): void {
    this.#out.byte(0);
    this.#lastField = this.#fields.pop() ?? 0;
  }

  /** A struct without fields. */
  emptyStruct(field: number): void {
    this.beginStruct(field);
    this.endStruct();
  }

  boolean(field: number, value: boolean): void {
    this.#header(field, value ? thriftTypes.true : thriftTypes.false);
  }

  integer(field: number, type: 4 | 5 | 6, value: number): void {
    this.#header(field, type);
    this.#out.zigzag(value);
  }

  binary(field: number, value: Uint8Array): void {
    this.#header(field, thriftTypes.binary);
    this.binaryItem(value);
  }

  text(field: number, value: string): void {
    this.binary(field, Buffer.from(value));
  }

  /** Items follow, written with the `...Item` methods or as structs. */
  beginList(field: number, type: number, size: number): void {
    this.#header(field, thriftTypes.list);
    if (size < 15) this.#out.byte((size << 4) | type);
    else {
      this.#out.byte(0xf0 | type);
      this.#out.varint(size);
    }
  }

  integerItem(value: number): void {
    this.#out.zigzag(value);
  }

  binaryItem(value: Uint8Array): void {
    this.#out.varint(value.length);
    this.#out.append(value);
  }

  #header(field: number, type: number): void {
    const delta = field - this.#lastField;
    if (delta > 0 && delta <= 15) this.#out.byte((delta << 4) | type);
    else {
      this.#out.byte(type);
      this.#out.zigzag(field);
    }
    this.#lastField = field;
  }
}
