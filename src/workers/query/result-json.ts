import type { DuckDBDataChunk } from "@duckdb/node-api";
import type { ResultFormat } from "../../shared/result-format.js";
import { CellBuffer, slackBytes } from "./json-cell-buffer.js";
import { type JsonCells, jsonCells, rawJsonCells } from "./json-cells.js";
import { escapeForLiteral } from "./json-literal.js";
import type { ResultColumn } from "./result-columns.js";
import { tooLarge } from "./result-sink.js";

/** `original`: an array of objects as a JSON string literal; `json`: an array of arrays; `ndjson`: an object per line. */
export type JsonShape = Extract<ResultFormat, "original" | "json" | "ndjson">;

const textEncoder = new TextEncoder();
const comma = 0x2c;
/** Of the rows that are written at once: they stay in the processor's cache. */
const sliceBytes = 1024 * 1024;

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
  /** What stands before each cell and behind a row: brackets, commas, and the name where the shape has names. */
  readonly #keys: readonly RowPart[];
  readonly #bytesMax: number;
  /** Bytes of a row besides its cells. */
  readonly #rowFrameBytes: number;
  readonly #buffer = new CellBuffer();
  #out: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(0));
  #length = 0;
  #rows = 0;

  /** `bytesMax`: of the rows between two calls of `take`. */
  constructor(columns: readonly JsonColumn[], shape: JsonShape, bytesMax: number) {
    this.#bytesMax = bytesMax;
    const { head, tail, rowEnd } = frames[shape];
    this.head = textEncoder.encode(head);
    this.tail = textEncoder.encode(tail);
    this.#shape = shape;
    const open = shape === "json" ? "[" : "{";
    const keys = columns.map(({ name }, index) => {
      const key = shape === "json" ? "" : `${JSON.stringify(name)}:`;
      return (index === 0 ? open : ",") + key;
    });
    this.#keys = [...keys, rowEnd].map(rowPart);
    this.#rowFrameBytes = this.#keys.reduce((sum, key) => sum + key.length, 1);
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
    let rowBytesMax = this.#rowFrameBytes;
    for (const [column, cells] of this.#cells.entries()) rowBytesMax += cells.load(chunk, column, rows);
    const count = Math.max(1, Math.floor(sliceBytes / rowBytesMax));
    for (let from = 0; from < rows; from += count) this.#appendSlice(from, Math.min(from + count, rows), rowBytesMax);
  }

  /** First all cells, column by column; then they are put together, row by row. */
  #appendSlice(from: number, to: number, rowBytesMax: number): void {
    const buffer = this.#buffer;
    const rows = to - from;
    const columns = this.#cells.length;
    buffer.clear(rows * columns, rows * rowBytesMax);
    for (const cells of this.#cells) cells.write(from, to, buffer);
    this.#checkBytes(this.#length + buffer.length);
    this.#reserve(buffer.length + rows * this.#rowFrameBytes);
    const { view, ends } = buffer;
    const keys = this.#keys;
    const rowEnd = keys[columns] as RowPart;
    const out = this.#out;
    const hasCommas = this.#shape !== "ndjson";
    let at = this.#length;
    for (let row = 0; row < rows; row++) {
      if (hasCommas && this.#rows + row > 0) out.setUint8(at++, comma);
      for (let column = 0, cell = row; column < columns; column++, cell += rows) {
        const key = keys[column] as RowPart;
        copyWords(key.text, 0, key.length, out, at);
        at += key.length;
        const start = cell === 0 ? 0 : (ends[cell - 1] as number);
        const length = (ends[cell] as number) - start;
        copyWords(view, start, length, out, at);
        at += length;
      }
      copyWords(rowEnd.text, 0, rowEnd.length, out, at);
      at += rowEnd.length;
    }
    this.#length = at;
    this.#rows += rows;
    this.#checkBytes(at);
  }

  /** The rows since the last piece; the piece is the caller's. */
  take(): Uint8Array {
    const text = new Uint8Array(this.#out.buffer, 0, this.#length);
    this.#length = 0;
    return this.#shape === "original" ? escapeForLiteral(text) : text.slice();
  }

  /** All rows with what stands around them, for a result that is one piece. */
  whole(): Uint8Array {
    const rows = this.take();
    const whole = new Uint8Array(this.head.length + rows.length + this.tail.length);
    whole.set(this.head);
    whole.set(rows, this.head.length);
    whole.set(this.tail, this.head.length + rows.length);
    return whole;
  }

  /** Makes room for so many bytes behind `#length`. */
  #reserve(bytes: number): void {
    const needed = this.#length + bytes + slackBytes;
    if (this.#out.byteLength >= needed) return;
    const grown = new Uint8Array(Math.max(needed, this.#out.byteLength * 2));
    grown.set(new Uint8Array(this.#out.buffer, 0, this.#length));
    this.#out = new DataView(grown.buffer);
  }

  #checkBytes(length: number): void {
    if (length > this.#bytesMax) throw tooLarge(this.#bytesMax);
  }
}

interface RowPart {
  /** Whole words: longer than the part. */
  readonly text: DataView;
  readonly length: number;
}

function rowPart(text: string): RowPart {
  const bytes = textEncoder.encode(text);
  const padded = new Uint8Array(bytes.length + slackBytes);
  padded.set(bytes);
  return { text: new DataView(padded.buffer), length: bytes.length };
}

/** Up to 7 bytes more than `length`, which what comes next overwrites: a call of `set` costs as much as some tens of bytes. */
function copyWords(from: DataView, start: number, length: number, to: DataView, at: number): void {
  for (let index = 0; index < length; index += 8) {
    to.setInt32(at + index, from.getInt32(start + index, true), true);
    to.setInt32(at + index + 4, from.getInt32(start + index + 4, true), true);
  }
}
