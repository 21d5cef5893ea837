import { limits } from "../../shared/limits.js";
import { appendArrowColumn } from "./arrow-append.js";
import { ArrowBatchReader, type ArrowArray } from "./arrow-array.js";
import { arrowError, readingMetadata } from "./arrow-flatbuffer.js";
import {
  arrowMessages,
  messageKinds,
  refuseCompression,
  type ArrowMessage,
  type ArrowMessages,
} from "./arrow-message.js";
import { arrowValues } from "./arrow-normalise.js";
import { readArrowSchema, type ArrowField } from "./arrow-schema.js";
import { DecodedBytes, type ArrowValues, type ValuesContext } from "./arrow-values.js";
import { BulkRows } from "./bulk-rows.js";
import type { Decode, DecodeTarget, Decoding } from "./decoder.js";

/**
 * Arrow IPC, stream or file: buffers of a record batch go into columns in one copy where the layouts agree, which they
 * do for int64, float64, utf8 and timestamps of µs; the rest is converted in typed loops.
 *
 * The metadata is read here rather than by apache-arrow's reader, which walks whatever lengths it finds: see
 * `FlatTable`. The tests hold the two against each other.
 *
 * Errors: INVALID_BODY for what is no sound stream, and for columns of a type that no column type can hold (binary,
 * durations, unions), which the message names; UNSUPPORTED_MEDIA_TYPE for compressed buffers; BODY_TOO_LARGE.
 */
export const decodeArrow: Decode = (body, target) => new ArrowDecoding(body, target);

/** Batches of one dictionary that add to it: each one means copying what is known so far. */
const dictionaryPartsMax = 1_000;

class ArrowDecoding implements Decoding {
  readonly #messages: ArrowMessages;
  readonly #target: DecodeTarget;
  readonly #decodedBytes = new DecodedBytes(limits.decodedBytesMax);
  readonly #dictionaryValues = new WeakMap<readonly ArrowArray[], ArrowValues>();
  readonly #dictionaries = new Map<number, readonly ArrowArray[]>();
  #fields: readonly ArrowField[] | null = null;
  /** The record batch in hand: its arrays from `#column` on are still to be appended. */
  #batch: { readonly arrays: readonly ArrowArray[]; readonly bulk: BulkRows; readonly position: number } | null = null;
  #column = 0;

  constructor(body: Uint8Array, target: DecodeTarget) {
    this.#messages = arrowMessages(body);
    this.#target = target;
  }

  /** Goes on column by column: a record batch may be as large as the body. */
  step(bytesMax: number): boolean {
    let bytes = 0;
    while (bytes < bytesMax) {
      if (this.#batch !== null) bytes += 1 + this.#appendColumn();
      else {
        const message = this.#messages.next();
        if (message === null) {
          if (this.#fields === null) throw arrowError("it has no schema", 0);
          return true;
        }
        this.#readMessage(message);
        bytes += message.bytes - message.body.length;
      }
    }
    // Others come between the steps.
    this.#target.builder.keepSchema();
    return false;
  }

  #readMessage(message: ArrowMessage): void {
    const { kind, header, position } = message;
    if (this.#fields === null) {
      if (kind !== messageKinds.schema) throw arrowError("it does not begin with a schema", position);
      this.#fields = readingMetadata(position, () => readArrowSchema(header, position, this.#target.depthMax));
    } else if (kind === messageKinds.dictionaryBatch) this.#readDictionary(message, this.#fields);
    else if (kind === messageKinds.recordBatch) this.#readRecordBatch(message, this.#fields);
    else throw arrowError(`a message of kind ${kind} is in its middle`, position);
  }

  #readRecordBatch({ header, body, position }: ArrowMessage, fields: readonly ArrowField[]): void {
    const { arrays, length } = readingMetadata(position, () => {
      refuseCompression(header, position);
      const reader = new ArrowBatchReader(header, { body, position, dictionaries: this.#dictionaries });
      return { arrays: fields.map((field) => reader.read(field, limits.bodyRowsMax)), length: reader.length };
    });
    for (const array of arrays) {
      if (array.length !== length) throw arrowError("a column is not as long as its record batch", position);
    }
    if (length === 0) return;
    this.#batch = { arrays, bulk: new BulkRows(this.#target, length), position };
    this.#column = 0;
  }

  /** Appends the next column of the batch in hand, or, behind the last one, takes its rows. Returns bytes read. */
  #appendColumn(): number {
    const batch = this.#batch;
    if (batch === null) return 0;
    const array = batch.arrays[this.#column++];
    if (array === undefined) {
      batch.bulk.take();
      this.#batch = null;
      return 0;
    }
    const context = this.#context(batch.position);
    appendArrowColumn(batch.bulk, array.field.name, arrowValues(array, context), context);
    return array.values.length + array.text.reduce((sum, { length }) => sum + length, 0);
  }

  #readDictionary({ header, body, position }: ArrowMessage, fields: readonly ArrowField[]): void {
    const { id, isDelta, array } = readingMetadata(position, () => {
      const id = header.int64(0);
      const data = header.table(1);
      const field = findDictionary(fields, id);
      if (data === null || field === undefined) throw arrowError(`no column uses dictionary ${id}`, position);
      refuseCompression(data, position);
      const reader = new ArrowBatchReader(data, { body, position, dictionaries: this.#dictionaries });
      // A dictionary's entries are read like a column of their own type.
      const array = reader.read({ ...field, dictionary: null }, limits.bodyRowsMax);
      return { id, isDelta: header.boolean(2), array };
    });
    const known = isDelta ? (this.#dictionaries.get(id) ?? []) : [];
    if (known.length === dictionaryPartsMax) throw arrowError(`dictionary ${id} comes in too many parts`, position);
    this.#dictionaries.set(id, [...known, array]);
  }

  #context(position: number): ValuesContext {
    return {
      decodedBytes: this.#decodedBytes,
      dictionaryValues: this.#dictionaryValues,
      fail: (sentence) => arrowError(sentence, position),
    };
  }
}

function findDictionary(fields: readonly ArrowField[], id: number): ArrowField | undefined {
  for (const field of fields) {
    if (field.dictionary?.id === id) return field;
    const nested = findDictionary(field.children, id);
    if (nested !== undefined) return nested;
  }
  return undefined;
}
