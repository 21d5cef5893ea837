import { ByteWindow } from "../../shared/bytes/byte-window.js";
import { JsonScanner } from "../../shared/bytes/json-scanner.js";
import type { BatchBuilder } from "../../shared/columns/batch-builder.js";
import { MiniodbError } from "../../shared/errors.js";
import type { DecodeTarget } from "./decoder.js";
import type { RowKeys } from "./key-columns.js";
import { RowReader } from "./row-reader.js";

/** Bytes of a body that are looked at in one piece: they and the columns they fill stay in the cache. */
export const windowBytes = 64 * 1024;

/**
 * One per thread and shared by all decoders, which use it only inside of a step: nothing in it outlives one, so the
 * decodings of several bodies may take turns.
 */
export const jsonScanner = new JsonScanner(new ByteWindow(windowBytes));

/** The row readers of one format, one per table: what a reader learns from one body serves the next. */
export class RowReaders {
  readonly #readers = new WeakMap<BatchBuilder, RowReader>();
  readonly #keys: RowKeys;
  readonly #newlineIsSpace: boolean;

  constructor(keys: RowKeys, newlineIsSpace: boolean) {
    this.#keys = keys;
    this.#newlineIsSpace = newlineIsSpace;
  }

  /** The reader of the target's table, ready for its next row. */
  begin(target: DecodeTarget): RowReader {
    let reader = this.#readers.get(target.builder);
    if (reader === undefined) {
      reader = new RowReader(jsonScanner, this.#keys, target);
      this.#readers.set(target.builder, reader);
    }
    reader.begin(target, this.#newlineIsSpace);
    return reader;
  }
}

/** Length of the byte order mark that some editors put in front of UTF-8: it is passed over. */
export function byteOrderMarkBytes(body: Uint8Array): number {
  return body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0;
}

/** The error of a body that is not JSON at `at` of the scanner's window, which starts at `windowAt` of the body. */
export function invalidJson(scanner: JsonScanner, at: number, windowAt: number): MiniodbError {
  if (at !== scanner.failedAt) scanner.fail(at);
  const position = windowAt + at;
  return new MiniodbError("INVALID_BODY", `The body is not valid JSON at byte ${position}: ${scanner.failure()}`, {
    position,
  });
}
