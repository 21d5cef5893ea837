import { MiniodbError } from "../../shared/errors.js";
import type { ArrowArray } from "./arrow-array.js";
import type { TimestampUnit } from "./arrow-schema.js";

/**
 * An Arrow array in one of the few forms that columns are filled from. Where Arrow's layout is the form, the arrays
 * are views on the body.
 */
export type ArrowValues =
  | NullValues
  | LongValues
  | DoubleValues
  | BooleanValues
  | TextValues
  | TimestampValues
  | JsonValues;

interface Values {
  readonly length: number;
  readonly nullCount: number;
  /** Bit per row from bit 0, 1 = present; null when nullCount is 0. */
  readonly validity: Uint8Array | null;
}

export interface NullValues extends Values {
  readonly kind: "null";
}
export interface LongValues extends Values {
  readonly kind: "long";
  /** [lo, hi] per row. */
  readonly words: Int32Array;
  /** The values are unsigned: a set top bit is a value of 2^63 and more. */
  readonly unsigned: boolean;
}
export interface DoubleValues extends Values {
  readonly kind: "double";
  readonly doubles: Float64Array;
}
export interface BooleanValues extends Values {
  readonly kind: "boolean";
  readonly bits: Uint8Array;
}
export interface TextValues extends Values {
  readonly kind: "text";
  /** length + 1 entries that never decrease, within `text`; not validated as UTF-8. */
  readonly offsets: Int32Array;
  readonly text: Uint8Array;
}
export interface TimestampValues extends Values {
  readonly kind: "timestamp";
  /** [lo, hi] per row, in `unit` since 1970. */
  readonly words: Int32Array;
  readonly unit: TimestampUnit;
}
/** Nested values: rows are turned into text one by one. */
export interface JsonValues extends Values {
  readonly kind: "json";
  readonly array: ArrowArray;
}

/** What one body may still make of itself: a dictionary lets a short body name a long text a million times. */
export class DecodedBytes {
  readonly #limitBytes: number;
  #takenBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Throws BODY_TOO_LARGE where `bytes` more are over the limit; call before allocating them. */
  take(bytes: number): void {
    this.#takenBytes += bytes;
    if (this.#takenBytes <= this.#limitBytes) return;
    const message = `the body decodes to more than ${this.#limitBytes} bytes`;
    throw new MiniodbError("BODY_TOO_LARGE", message, { limitBytes: this.#limitBytes });
  }
}

export interface ValuesContext {
  readonly decodedBytes: DecodedBytes;
  readonly fail: (sentence: string) => Error;
  /** Dictionaries that are in form already: a stream of small batches names the same one again and again. */
  readonly dictionaryValues: WeakMap<readonly ArrowArray[], ArrowValues>;
}
