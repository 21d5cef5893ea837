import { int64At, arrowError, type FlatTable, type FlatVector } from "./arrow-flatbuffer.js";
import type { ArrowField } from "./arrow-schema.js";
import { countClearBits } from "./bulk-bits.js";

/**
 * One array of a record batch as it lies in the body: buffers are views, checked to be as long as `length` rows need.
 * (Arrow columnar format, "Physical memory layout": buffers per type in the order of the comments below.)
 */
export interface ArrowArray {
  readonly field: ArrowField;
  readonly length: number;
  readonly nullCount: number;
  /** Bit per row from bit 0, 1 = present; null when nullCount is 0. */
  readonly validity: Uint8Array | null;
  /** text, list, map: offsets. textView: 16-byte views. All other types of fixed width: their values, or indices. */
  readonly values: Uint8Array;
  /** text: UTF-8 bytes. textView: the buffers that views point into. */
  readonly text: readonly Uint8Array[];
  readonly children: readonly ArrowArray[];
  /** Of a dictionary-encoded field: the dictionary's arrays, one after the other. */
  readonly dictionary: readonly ArrowArray[] | null;
}

/** Dictionaries by id; deltas append to the list, any other batch replaces it. */
export type ArrowDictionaries = ReadonlyMap<number, readonly ArrowArray[]>;

const noBytes = new Uint8Array(0);
const nodeBytes = 16;

/**
 * Takes the nodes and buffers of one RecordBatch table and binds them to fields. The table lists them flat, in the
 * order of a walk through the schema, children behind their parent:
 *
 * ```
 * RecordBatch  0 length  1 nodes  2 buffers  3 compression  4 counts of the buffers of view arrays
 * node         i64 length  i64 nulls          buffer  i64 offset in the body  i64 bytes
 * ```
 * Nothing of it is believed: offsets must lie in the body, buffers must be as long as their rows need, and nulls are
 * counted in the bitmap.
 */
export class ArrowBatchReader {
  /** Rows that the batch claims. */
  readonly length: number;
  readonly #body: Uint8Array;
  readonly #position: number;
  readonly #dictionaries: ArrowDictionaries;
  readonly #nodes: FlatVector | null;
  readonly #buffers: FlatVector | null;
  readonly #variadicCounts: FlatVector | null;
  #node = 0;
  #buffer = 0;
  #variadicCount = 0;

  /** `position` is the message's in the request's body; call within `readingMetadata`. */
  constructor(recordBatch: FlatTable, source: { body: Uint8Array; position: number; dictionaries: ArrowDictionaries }) {
    this.#body = source.body;
    this.#position = source.position;
    this.#dictionaries = source.dictionaries;
    this.length = recordBatch.int64(0);
    this.#nodes = recordBatch.vector(1, nodeBytes);
    this.#buffers = recordBatch.vector(2, nodeBytes);
    this.#variadicCounts = recordBatch.vector(4, 8);
    if (!(this.length >= 0)) throw this.#error("a record batch has no proper length");
  }

  /** The next array, of this field; `lengthMax` bounds what types without buffers may claim. */
  read(field: ArrowField, lengthMax: number): ArrowArray {
    const { length, declaredNulls } = this.#nextNode();
    if (!(length >= 0 && length <= lengthMax)) throw this.#error("an array is longer than its batch can be");
    if (field.dictionary !== null) {
      const validity = this.#validity(length, declaredNulls);
      const values = this.#values(length * field.dictionary.index.bytes);
      const dictionary = this.#dictionaries.get(field.dictionary.id);
      if (dictionary === undefined) throw this.#error(`dictionary ${field.dictionary.id} is used before it is sent`);
      return { field, length, ...validity, values, text: [], children: [], dictionary };
    }
    if (field.type.kind === "null") {
      const nulls = { nullCount: length, validity: null };
      return { field, length, ...nulls, values: noBytes, text: [], children: [], dictionary: null };
    }
    const validity = this.#validity(length, declaredNulls);
    const { values, text } = this.#ownBuffers(field, length);
    const children = field.children.map((child) => this.read(child, lengthMax));
    const array = { field, length, ...validity, values, text, children, dictionary: null };
    this.#checkChildren(array);
    return array;
  }

  #ownBuffers(field: ArrowField, length: number): { values: Uint8Array; text: Uint8Array[] } {
    const { type } = field;
    switch (type.kind) {
      case "boolean":
        return { values: this.#values((length + 7) >> 3), text: [] };
      case "int":
      case "float":
      case "decimal":
      case "date":
        return { values: this.#values(length * type.bytes), text: [] };
      case "timestamp":
        return { values: this.#values(length * 8), text: [] };
      case "text":
        return { values: this.#offsets(length, type.offsetBytes), text: [this.#nextBuffer()] };
      case "list":
        return { values: this.#offsets(length, type.offsetBytes), text: [] };
      case "map":
        return { values: this.#offsets(length, 4), text: [] };
      case "textView": {
        const values = this.#values(length * 16);
        return { values, text: Array.from({ length: this.#nextVariadicCount() }, () => this.#nextBuffer()) };
      }
      case "null":
      case "struct":
      case "fixedList":
        return { values: noBytes, text: [] };
    }
  }

  #checkChildren({ field, length, children }: ArrowArray): void {
    const { type } = field;
    const least = type.kind === "struct" ? length : type.kind === "fixedList" ? length * type.size : 0;
    for (const child of children) {
      if (child.length < least) throw this.#error("a nested array is shorter than the one around it");
    }
  }

  #validity(length: number, declaredNulls: number): { validity: Uint8Array | null; nullCount: number } {
    const buffer = this.#nextBuffer();
    // The specification lets writers leave the bitmap out where nothing is null.
    if (buffer.length === 0 && declaredNulls === 0) return { validity: null, nullCount: 0 };
    if (buffer.length < (length + 7) >> 3) throw this.#error("a validity bitmap is shorter than its array");
    const nullCount = countClearBits(buffer, length);
    return { validity: nullCount === 0 ? null : buffer, nullCount };
  }

  #offsets(length: number, offsetBytes: 4 | 8): Uint8Array {
    const buffer = this.#nextBuffer();
    // Older writers leave the one offset of an empty array out.
    if (length === 0) return buffer.length >= offsetBytes ? buffer : new Uint8Array(offsetBytes);
    if (buffer.length < (length + 1) * offsetBytes) throw this.#error("an offset buffer is shorter than its array");
    return buffer;
  }

  #values(bytes: number): Uint8Array {
    const buffer = this.#nextBuffer();
    if (buffer.length < bytes) throw this.#error("a value buffer is shorter than its array");
    return buffer.subarray(0, bytes);
  }

  #nextNode(): { length: number; declaredNulls: number } {
    const nodes = this.#nodes;
    if (nodes === null || this.#node >= nodes.length) throw this.#error("a record batch has fewer arrays than columns");
    const at = nodes.start + this.#node++ * nodeBytes;
    return { length: int64At(nodes.view, at), declaredNulls: int64At(nodes.view, at + 8) };
  }

  #nextBuffer(): Uint8Array {
    const buffers = this.#buffers;
    if (buffers === null || this.#buffer >= buffers.length) throw this.#error("a record batch lacks buffers");
    const at = buffers.start + this.#buffer++ * nodeBytes;
    const start = int64At(buffers.view, at);
    const bytes = int64At(buffers.view, at + 8);
    if (!(start >= 0 && bytes >= 0 && start + bytes <= this.#body.length)) {
      throw this.#error("a buffer lies outside its message");
    }
    return this.#body.subarray(start, start + bytes);
  }

  #nextVariadicCount(): number {
    const counts = this.#variadicCounts;
    if (counts === null || this.#variadicCount >= counts.length) throw this.#error("a view array lacks its count");
    const count = int64At(counts.view, counts.start + this.#variadicCount++ * 8);
    const left = (this.#buffers?.length ?? 0) - this.#buffer;
    if (!(count >= 0 && count <= left)) throw this.#error("a view array claims buffers that are not there");
    return count;
  }

  #error(sentence: string): Error {
    return arrowError(sentence, this.#position);
  }
}
