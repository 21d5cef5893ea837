import type { DuckDBDataChunk, DuckDBResult, DuckDBValue } from "@duckdb/node-api";
import { MiniodbError } from "../../shared/errors.js";
import { type JsonWriter, jsonWriter } from "./json-values.js";
import type { ResultColumn } from "./result-columns.js";

/** Text that gathers before it becomes bytes: a JavaScript string cannot grow as far as a result may. */
const partCharacters = 256 * 1024;

/**
 * Collects the rows of a result as the text of a JSON array, value by value: right for every type, and the quickest
 * way for a few thousand rows. Larger results are json-copy.ts's.
 */
export class JsonRows {
  readonly #parts: Buffer[] = [];
  readonly #keys: readonly string[];
  readonly #writers: readonly JsonWriter[];
  readonly #bytesMax: number;
  #bytes = 2;
  #rows = 0;
  #chunk: DuckDBDataChunk | null = null;
  /** The row of `#chunk` that comes next. */
  #next = 0;

  constructor(columns: readonly ResultColumn[], bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#keys = columns.map(({ name }, index) => `${index === 0 ? "{" : ","}${JSON.stringify(name)}:`);
    this.#writers = columns.map(({ type }) => jsonWriter(type));
  }

  get rows(): number {
    return this.#rows;
  }

  /**
   * Takes rows of the one result that this object is for, until there are `rowsMax` of them in all. True when the
   * result has ended; false when it has at least one more row, which a later call goes on with. `checkpoint` is called
   * before each chunk and may throw. Throws RESULT_TOO_LARGE.
   */
  async take(result: DuckDBResult, rowsMax: number, checkpoint: () => void): Promise<boolean> {
    for (;;) {
      if (this.#chunk === null || this.#next === this.#chunk.rowCount) {
        checkpoint();
        this.#chunk = await result.fetchChunk();
        this.#next = 0;
        if (this.#chunk === null || this.#chunk.rowCount === 0) return true;
      }
      if (this.#rows >= rowsMax) return false;
      const end = Math.min(this.#chunk.rowCount, this.#next + rowsMax - this.#rows);
      this.#format(this.#chunk, end);
    }
  }

  /** The whole array as UTF-8. */
  finish(): Uint8Array {
    const body = new Uint8Array(this.#bytes);
    body[0] = 0x5b;
    let at = 1;
    for (const part of this.#parts) {
      body.set(part, at);
      at += part.length;
    }
    body[at] = 0x5d;
    return body;
  }

  /** Rows [#next, end) of the chunk. */
  #format(chunk: DuckDBDataChunk, end: number): void {
    const vectors = this.#writers.map((_, column) => chunk.getColumnVector(column));
    let text = "";
    for (let row = this.#next; row < end; row++) {
      if (this.#rows > 0) text += ",";
      for (const [column, write] of this.#writers.entries()) {
        const value = vectors[column]?.getItem(row) as DuckDBValue;
        text += (this.#keys[column] as string) + write(value);
      }
      text += "}";
      this.#rows++;
      if (text.length > partCharacters) {
        this.#append(text);
        text = "";
      }
    }
    this.#append(text);
    this.#next = end;
  }

  #append(text: string): void {
    const part = Buffer.from(text);
    this.#parts.push(part);
    this.#bytes += part.length;
    if (this.#bytes > this.#bytesMax) throw tooLarge(this.#bytesMax);
  }
}

export function tooLarge(bytesMax: number): MiniodbError {
  return new MiniodbError("RESULT_TOO_LARGE", `the result has more than ${bytesMax} bytes`, { limitBytes: bytesMax });
}
