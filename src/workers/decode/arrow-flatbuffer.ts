import { MiniodbError } from "../../shared/errors.js";

/**
 * A reader of flatbuffer tables, as much of it as Arrow's metadata needs. Apache-arrow's generated readers trust the
 * lengths they find: a vector that claims 2^31 elements is walked to its end, and a mutated body would take the
 * worker's memory with it. Here every access is bounded by the DataView, which throws a RangeError that
 * `readingMetadata` turns into INVALID_BODY, and every vector fits its buffer before it is walked.
 *
 * ```
 * table   i32 distance back to its vtable, then the fields' inline values
 * vtable  u16 bytes of the vtable, u16 bytes of the table, u16 per field: its offset in the table, 0 = default
 * vector  u32 length, elements        string  u32 bytes, UTF-8
 * ```
 * (https://flatbuffers.dev/internals/)
 */
export class FlatTable {
  readonly #view: DataView;
  readonly #position: number;
  readonly #vtable: number;
  readonly #vtableBytes: number;

  constructor(view: DataView, position: number) {
    this.#view = view;
    this.#position = position;
    this.#vtable = position - view.getInt32(position, true);
    this.#vtableBytes = view.getUint16(this.#vtable, true);
  }

  /** The root table of a buffer. */
  static root(view: DataView): FlatTable {
    return new FlatTable(view, view.getUint32(0, true));
  }

  boolean(field: number): boolean {
    const slot = this.#slot(field);
    return slot !== 0 && this.#view.getUint8(slot) !== 0;
  }

  uint8(field: number): number {
    const slot = this.#slot(field);
    return slot === 0 ? 0 : this.#view.getUint8(slot);
  }

  int16(field: number, absent = 0): number {
    const slot = this.#slot(field);
    return slot === 0 ? absent : this.#view.getInt16(slot, true);
  }

  int32(field: number, absent = 0): number {
    const slot = this.#slot(field);
    return slot === 0 ? absent : this.#view.getInt32(slot, true);
  }

  /** A 64-bit integer, or NaN where it is beyond 2^53: no length or id of a body can be. */
  int64(field: number): number {
    const slot = this.#slot(field);
    return slot === 0 ? 0 : int64At(this.#view, slot);
  }

  table(field: number): FlatTable | null {
    const slot = this.#slot(field);
    return slot === 0 ? null : new FlatTable(this.#view, slot + this.#view.getUint32(slot, true));
  }

  /** A text, or "" where there is none; throws a TypeError where it is not UTF-8. */
  string(field: number): string {
    const vector = this.vector(field, 1);
    if (vector === null) return "";
    const bytes = new Uint8Array(this.#view.buffer, this.#view.byteOffset + vector.start, vector.length);
    return utf8Decoder.decode(bytes);
  }

  /** Where a vector's elements of `elementBytes` each start, and how many there are; they are inside the buffer. */
  vector(field: number, elementBytes: number): FlatVector | null {
    const slot = this.#slot(field);
    if (slot === 0) return null;
    const at = slot + this.#view.getUint32(slot, true);
    const length = this.#view.getUint32(at, true);
    const start = at + 4;
    if (length * elementBytes > this.#view.byteLength - start) throw new RangeError("a vector ends outside its buffer");
    return { view: this.#view, start, length };
  }

  /** The tables of a vector of tables. */
  tables(field: number): FlatTable[] {
    const vector = this.vector(field, 4);
    if (vector === null) return [];
    return Array.from({ length: vector.length }, (_, index) => {
      const slot = vector.start + index * 4;
      return new FlatTable(this.#view, slot + this.#view.getUint32(slot, true));
    });
  }

  #slot(field: number): number {
    const entry = 4 + field * 2;
    if (entry + 2 > this.#vtableBytes) return 0;
    const offset = this.#view.getUint16(this.#vtable + entry, true);
    return offset === 0 ? 0 : this.#position + offset;
  }
}

export interface FlatVector {
  readonly view: DataView;
  readonly start: number;
  readonly length: number;
}

const utf8Decoder = new TextDecoder("utf-8", { fatal: true });

/** A little-endian 64-bit integer, or NaN where it is beyond ±2^53. */
export function int64At(view: DataView, position: number): number {
  const value = view.getInt32(position + 4, true) * 0x1_0000_0000 + view.getUint32(position, true);
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

/** Runs `read`, which touches nothing but metadata that begins at byte `position` of the body. */
export function readingMetadata<Result>(position: number, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) {
      throw arrowError("the message's metadata is not a sound flatbuffer", position, error);
    }
    throw error;
  }
}

export function arrowError(sentence: string, position: number, cause?: unknown): MiniodbError {
  return new MiniodbError("INVALID_BODY", `the body is not a sound Arrow stream: ${sentence}`, { position }, cause);
}
