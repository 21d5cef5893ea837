import type { DuckDBDataChunk } from "@duckdb/node-api";
import type { ResultFormat } from "../../shared/result-format.js";
import { type FixedBytes, fixedBytes, slackBytes, writeFixed } from "./json-bytes.js";
import { type JsonCells, jsonCells, rawJsonCells } from "./json-cells.js";
import { escapeForLiteral } from "./json-literal.js";
import type { ResultColumn } from "./result-columns.js";
import { tooLarge } from "./result-sink.js";

/** `original`: an array of objects as a JSON string literal; `json`: an array of arrays; `ndjson`: an object per line. */
export type JsonShape = Extract<ResultFormat, "original" | "json" | "ndjson">;

const textEncoder = new TextEncoder();
const comma = 0x2c;
/** Room for a result of few rows; it doubles as they come. */
const firstBytes = 16 * 1024;
const noRoom = new DataView(new ArrayBuffer(0));
/** The room of the last small result, for the next one: without a pause between, as `whole` ends it. */
let spareRoom: DataView<ArrayBuffer> | null = null;
/** The same for what is escaped; a larger one is not kept. */
const noLiteral = new Uint8Array(0);
let spareLiteral = noLiteral;
const spareLiteralBytesMax = 2 * 1024 * 1024;

/** What stands around the rows, before each row's cells, and behind them. */
const frames: Readonly<Record<JsonShape, { readonly head: string; readonly tail: string; readonly rowEnd: string }>> = {
  original: { head: '"[', tail: ']"', rowEnd: "}" },
  json: { head: "[", tail: "]", rowEnd: "]" },
  ndjson: { head: "", tail: "", rowEnd: "}\n" },
};

export interface JsonColumn extends ResultColumn {
  /** The column is JSON text that DuckDB made of the value. */
  readonly isRaw: boolean;
}

/**
 * Chunks of a result as JSON text, piece by piece: `head`, what `take` returns after each `append`, `tail`.
 */
export class JsonResult {
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  readonly #shape: JsonShape;
  readonly #cells: readonly JsonCells[];
  /** What stands before each cell: a bracket or comma, and the name where the shape has names. */
  readonly #keys: readonly FixedBytes[];
  readonly #rowEnd: FixedBytes;
  readonly #bytesMax: number;
  /** Bytes of a row besides its cells. */
  readonly #rowFrameBytes: number;
  #out: DataView<ArrayBuffer> = noRoom;
  /** Of the last piece, or the next one. */
  #spare: DataView<ArrayBuffer> = noRoom;
  /** Of the last piece as a literal: this result's own, as others are written while a sink takes it. */
  #literal = noLiteral;
  #length = 0;
  #rows = 0;

  /** `bytesMax`: of the rows between two calls of `take`. */
  constructor(columns: readonly JsonColumn[], shape: JsonShape, bytesMax: number) {
    this.#bytesMax = bytesMax;
    const { head, tail, rowEnd } = frames[shape];
    this.head = textEncoder.encode(head);
    this.tail = textEncoder.encode(tail);
    this.#shape = shape;
    this.#rowEnd = fixedBytes(rowEnd);
    const open = shape === "json" ? "[" : "{";
    this.#keys = columns.map(({ name }, index) => {
      const key = shape === "json" ? "" : `${JSON.stringify(name)}:`;
      return fixedBytes((index === 0 ? open : ",") + key);
    });
    this.#rowFrameBytes = this.#keys.reduce((sum, key) => sum + key.length, 1 + this.#rowEnd.length);
    this.#cells = columns.map(({ type, isRaw }) => (isRaw ? rawJsonCells() : jsonCells(type)));
  }

  get rows(): number {
    return this.#rows;
  }

  /** Of the rows since the last piece. */
  get bytes(): number {
    return this.#length;
  }

  /** Takes the first `rows` rows of the chunk. Throws RESULT_TOO_LARGE. */
  append(chunk: DuckDBDataChunk, rows: number): void {
    let rowBytesMax = this.#rowFrameBytes + slackBytes;
    for (const [column, cells] of this.#cells.entries()) rowBytesMax += cells.load(chunk, column, rows);
    const hasCommas = this.#shape !== "ndjson";
    const cells = this.#cells;
    let out = this.#out;
    let at = this.#length;
    for (let row = 0; row < rows; row++) {
      if (at + rowBytesMax > out.byteLength) out = this.#grow(at, rowBytesMax);
      if (hasCommas && this.#rows > 0) out.setUint8(at++, comma);
      for (let column = 0; column < cells.length; column++) {
        at = writeFixed(this.#keys[column] as FixedBytes, out, at);
        at = (cells[column] as JsonCells).write(row, out, at);
      }
      at = writeFixed(this.#rowEnd, out, at);
      this.#rows++;
    }
    this.#length = at;
    this.#checkBytes(at);
  }

  /** The rows since the last piece. It is the caller's until the next call. */
  take(): Uint8Array {
    const text = new Uint8Array(this.#out.buffer, 0, this.#length);
    this.#length = 0;
    [this.#out, this.#spare] = [this.#spare, this.#out];
    if (this.#shape !== "original") return text;
    if (this.#literal.length < text.length * 2) this.#literal = new Uint8Array(text.length * 2);
    return escapeForLiteral(text, this.#literal);
  }

  /** All rows with what stands around them, for a result that is one piece. Empties this for the next such result. */
  whole(): Uint8Array {
    this.#literal = spareLiteral;
    const rows = this.take();
    const whole = new Uint8Array(this.head.length + rows.length + this.tail.length);
    whole.set(this.head);
    whole.set(rows, this.head.length);
    whole.set(this.tail, this.head.length + rows.length);
    // Where `take` has put what it wrote to.
    if (this.#spare.byteLength === firstBytes) spareRoom = this.#spare;
    if (this.#literal.length <= spareLiteralBytesMax) spareLiteral = this.#literal;
    this.#literal = noLiteral;
    this.#out = noRoom;
    this.#spare = noRoom;
    this.#rows = 0;
    return whole;
  }

  /** `length` bytes are written, and `more` will be. */
  #grow(length: number, more: number): DataView<ArrayBuffer> {
    this.#checkBytes(length);
    if (length === 0 && more <= firstBytes && this.#out.byteLength === 0) {
      this.#out = spareRoom ?? new DataView(new ArrayBuffer(firstBytes));
      spareRoom = null;
      return this.#out;
    }
    const grown = new Uint8Array(Math.max(length + more, this.#out.byteLength * 2));
    grown.set(new Uint8Array(this.#out.buffer, 0, length));
    this.#out = new DataView(grown.buffer);
    return this.#out;
  }

  #checkBytes(length: number): void {
    if (length > this.#bytesMax) throw tooLarge(this.#bytesMax);
  }
}
