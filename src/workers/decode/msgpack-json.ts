import { isValidUtf8 } from "../../shared/bytes/utf8.js";
import { isoOfMicros, textOfInteger } from "./bulk-epoch.js";
import { RowFailure } from "./bulk-failure.js";
import { tags, type MsgpackReader, type ValueKind } from "./msgpack-reader.js";

/** What is needed of MsgpackValues, which in turn has one of these. */
interface ScalarReader {
  readonly reader: MsgpackReader;
  readInteger(words: Int32Array): boolean;
  readNumber(): number;
  readTimestamp(kind: ValueKind, out: Int32Array, index: number): string | undefined;
}

/**
 * Maps and arrays of MessagePack as JSON text. Timestamps become RFC 3339 text, integer keys their digits, integers
 * keep all 64 bits; binary data, and floats that JSON has no number for, throw RowFailure, which leaves the position
 * inside the value.
 *
 * Recursion ends at `depthMax`; the text at `valueBytesMax`, which bounds the work as well: every entry that is read
 * adds a character at least. A text of a nested value is checked before it is decoded, because a decoder that puts
 * U+FFFD in the place of broken bytes would hide them.
 */
export class MsgpackJson {
  readonly #scalars: ScalarReader;
  readonly #bytesMax: number;
  readonly #depthMax: number;
  readonly #words = new Int32Array(2);
  #parts: string[] = [];
  #bytes = 0;

  constructor(scalars: ScalarReader, bounds: { readonly valueBytesMax: number; readonly depthMax: number }) {
    this.#scalars = scalars;
    this.#bytesMax = bounds.valueBytesMax;
    this.#depthMax = bounds.depthMax;
  }

  /** Reads the value at the position. */
  read(): string {
    this.#parts = [];
    this.#bytes = 0;
    this.#write(1);
    return this.#parts.join("");
  }

  #put(text: string): void {
    this.#count(text.length);
    this.#parts.push(text);
  }

  /** Adds to the text's length; in UTF-8 it may be up to three times that. */
  #count(length: number): void {
    this.#bytes += length;
    if (this.#bytes <= this.#bytesMax) return;
    throw new RowFailure("VALUE_TOO_LARGE", `the value is longer than ${this.#bytesMax} bytes as JSON text`);
  }

  #write(depth: number): void {
    const { reader } = this.#scalars;
    const kind = reader.kind();
    if (kind === "array" || kind === "map") {
      if (depth > this.#depthMax) throw new RowFailure("VALUE_TOO_LARGE", `the value is deeper than ${this.#depthMax}`);
      if (kind === "array") this.#writeArray(reader.readArray(), depth);
      else this.#writeMap(reader.readMap(), depth);
    } else this.#put(this.#scalarText(kind));
  }

  #writeArray(length: number, depth: number): void {
    this.#put("[");
    for (let index = 0; index < length; index++) {
      if (index > 0) this.#put(",");
      this.#write(depth + 1);
    }
    this.#put("]");
  }

  /** Keys that come twice are written twice: whoever reads the text takes the last, as with JSON bodies. */
  #writeMap(length: number, depth: number): void {
    this.#put("{");
    for (let index = 0; index < length; index++) {
      if (index > 0) this.#put(",");
      this.#put(`${this.#keyText()}:`);
      this.#write(depth + 1);
    }
    this.#put("}");
  }

  #keyText(): string {
    const kind = this.#scalars.reader.kind();
    if (kind === "text") return this.#scalarText(kind);
    if (kind === "integer") return `"${this.#scalarText(kind)}"`;
    throw new RowFailure("TYPE_MISMATCH", "a key of a nested map is neither text nor an integer");
  }

  #scalarText(kind: ValueKind): string {
    const { reader } = this.#scalars;
    const words = this.#words;
    switch (kind) {
      case "nil":
        reader.position++;
        return "null";
      case "boolean":
        return reader.bytes[reader.position++] === tags.true ? "true" : "false";
      case "integer": {
        const isUnsigned = this.#scalars.readInteger(words);
        return textOfInteger(words, 0, isUnsigned);
      }
      case "float": {
        const value = this.#scalars.readNumber();
        if (!Number.isFinite(value)) throw new RowFailure("NUMBER_OUT_OF_RANGE", "a nested number is not finite");
        return JSON.stringify(value);
      }
      case "text": {
        reader.readText();
        const { bytes, textStart, textEnd } = reader;
        if (textEnd - textStart > this.#bytesMax) this.#count(textEnd - textStart);
        if (!isValidUtf8(bytes, textStart, textEnd)) throw new RowFailure("INVALID_UTF8");
        return JSON.stringify(
          Buffer.from(bytes.buffer, bytes.byteOffset + textStart, textEnd - textStart).toString("utf8"),
        );
      }
      case "timestamp": {
        const refusal = this.#scalars.readTimestamp(kind, words, 0);
        if (refusal !== undefined) throw new RowFailure("INVALID_TIMESTAMP", "a nested timestamp is out of range");
        return `"${isoOfMicros(words, 0)}"`;
      }
      case "array":
      case "map":
        throw new RowFailure("TYPE_MISMATCH", "a key of a nested map is nested itself");
      case "binary":
      case "extension":
        throw new RowFailure("TYPE_MISMATCH", "a nested value is binary data or an extension value");
    }
  }
}
