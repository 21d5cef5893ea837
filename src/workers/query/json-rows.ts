import { type DuckDBDataChunk, DuckDBMaterializedResult, type DuckDBResult, type DuckDBValue } from "@duckdb/node-api";
import { MiniodbError } from "../../shared/errors.js";
import type { ResultFormat } from "../../shared/result-format.js";
import { jsonLiteral } from "./json-literal.js";
import { type JsonWriter, jsonWriter } from "./json-values.js";
import type { ResultColumn } from "./result-columns.js";

/** `original`: an array of objects as a JSON string literal; `json`: an array of arrays; `ndjson`: an object per line. */
export type JsonShape = Extract<ResultFormat, "original" | "json" | "ndjson">;

/** Text that gathers before it becomes bytes: a JavaScript string cannot grow as far as a result may. */
const partCharacters = 256 * 1024;

/**
 * Collects the rows of a result as JSON text, value by value: right for every type, and the quickest
 * way for a few thousand rows. Larger results are json-copy.ts's.
 */
export class JsonRows {
  readonly #parts: Buffer[] = [];
  readonly #shape: JsonShape;
  readonly #keys: readonly string[];
  readonly #rowEnd: string;
  readonly #writers: readonly JsonWriter[];
  readonly #bytesMax: number;
  #bytes = 2;
  #rows = 0;
  #chunk: DuckDBDataChunk | null = null;
  /** The row of `#chunk` that comes next. */
  #next = 0;
  /** Chunks taken so far. */
  #chunks = 0;

  constructor(columns: readonly ResultColumn[], shape: JsonShape, bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#shape = shape;
    const [open, close] = shape === "json" ? ["[", "]"] : ["{", "}"];
    this.#rowEnd = shape === "ndjson" ? `${close}\n` : close;
    this.#keys = columns.map(({ name }, index) => {
      return (index === 0 ? open : ",") + (shape === "json" ? "" : `${JSON.stringify(name)}:`);
    });
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
        const next = nextChunk(result, this.#chunks++);
        this.#chunk = next instanceof Promise ? await next : next;
        this.#next = 0;
        if (this.#chunk === null || this.#chunk.rowCount === 0) return true;
      }
      if (this.#rows >= rowsMax) return false;
      const end = Math.min(this.#chunk.rowCount, this.#next + rowsMax - this.#rows);
      this.#format(this.#chunk, end);
    }
  }

  /** All rows as UTF-8, in the shape. */
  finish(): Uint8Array {
    if (this.#shape === "ndjson") return Uint8Array.from(Buffer.concat(this.#parts));
    const body = new Uint8Array(this.#bytes);
    body[0] = 0x5b;
    let at = 1;
    for (const part of this.#parts) {
      body.set(part, at);
      at += part.length;
    }
    body[at] = 0x5d;
    return this.#shape === "original" ? jsonLiteral(body) : body;
  }

  /** Rows [#next, end) of the chunk. */
  #format(chunk: DuckDBDataChunk, end: number): void {
    const vectors = this.#writers.map((_, column) => chunk.getColumnVector(column));
    const separator = this.#shape === "ndjson" ? "" : ",";
    let text = "";
    for (let row = this.#next; row < end; row++) {
      if (this.#rows > 0) text += separator;
      for (const [column, write] of this.#writers.entries()) {
        const value = vectors[column]?.getItem(row) as DuckDBValue;
        text += (this.#keys[column] as string) + write(value);
      }
      text += this.#rowEnd;
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

/**
 * A result that is in memory hands out its chunks at once: each `fetchChunk` would go through libuv's pool and back,
 * which a small query feels, twice for the one chunk that it has.
 */
function nextChunk(result: DuckDBResult, index: number): DuckDBDataChunk | null | Promise<DuckDBDataChunk | null> {
  if (!(result instanceof DuckDBMaterializedResult)) return result.fetchChunk();
  return index < result.chunkCount ? result.getChunk(index) : null;
}
