import { checkBounds } from "./body-bounds.js";
import type { Decode, DecodeTarget, Decoding } from "./decoder.js";
import { byteOrderMarkBytes, invalidJson, RowReaders, windowBytes } from "./json-source.js";
import type { RowReader } from "./row-reader.js";

const comma = 0x2c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;

/** What the body's next token must be. */
const states = { open: 0, firstRow: 1, row: 2, behindRow: 3, end: 4 } as const;
type State = (typeof states)[keyof typeof states];

const readers = new RowReaders("flat", true);

/**
 * A JSON array of flat rows, `[{"timestamp":..., "id":..., "any column":...}, ...]`, or one such row alone. An
 * element that is no object is rejected alone; a body that is not JSON throws INVALID_BODY with the byte position.
 */
export const decodeJsonArray: Decode = (body, target) => new JsonArrayDecoding(body, target);

class JsonArrayDecoding implements Decoding {
  readonly #body: Uint8Array;
  readonly #target: DecodeTarget;
  /** Where the next token starts that was not yet dealt with, in the body. */
  #offset: number;
  #state: State = states.open;

  constructor(body: Uint8Array, target: DecodeTarget) {
    this.#body = body;
    this.#target = target;
    this.#offset = byteOrderMarkBytes(body);
  }

  step(bytesMax: number): boolean {
    const body = this.#body;
    const reader = readers.begin(this.#target);
    const { source } = reader.scanner;
    const stepEnd = Math.min(body.length, this.#offset + Math.max(bytesMax, 1));
    // Rows may be laid out over lines in any way, so a window is cut anywhere and the row that it cuts is read again.
    let loadBytes = windowBytes;
    for (;;) {
      const start = this.#offset;
      const end = Math.min(body.length, start + loadBytes);
      source.load(body, start, end);
      this.#offset = start + this.#decodeWindow(reader, end === body.length);
      checkBounds(this.#target);
      if (end === body.length) return true;
      if (this.#offset >= stepEnd) return false;
      // A row that is longer than the window is read again with more of the body behind it.
      loadBytes = this.#offset === start ? loadBytes * 2 : windowBytes;
    }
  }

  /**
   * Takes the window's rows; returns how much of it is done with. Unless it is the body's last, what its end cuts off
   * is left for the next one.
   */
  #decodeWindow(reader: RowReader, isLast: boolean): number {
    const { scanner } = reader;
    const { bytes, end } = scanner.source;
    let at = 0;
    for (;;) {
      at = scanner.skipSpace(at);
      if (at >= end) {
        if (isLast && this.#state !== states.end) this.#fail(reader, at);
        return end;
      }
      const byte = bytes[at] as number;
      const next = this.#takeMark(byte);
      if (next !== undefined) {
        this.#state = next;
        at++;
        continue;
      }
      const expectsRow = this.#state === states.firstRow || this.#state === states.row;
      const isAlone = this.#state === states.open && byte === openBrace;
      if (!expectsRow && !isAlone) this.#fail(reader, at);
      const rowEnd = byte === openBrace ? reader.readRow(at) : scanner.skipValue(at);
      // Whatever fails at the window's end may go on behind it; so may a number that ends there.
      const isCut = rowEnd < 0 ? scanner.failedAt >= end : rowEnd >= end && byte !== openBrace;
      if (isCut && !isLast) {
        reader.undoRow();
        return at;
      }
      if (rowEnd < 0) this.#fail(reader, scanner.failedAt);
      if (byte === openBrace) reader.endRow();
      else reader.refuseRow("INVALID_ROW", null, "the element is not an object");
      this.#state = isAlone ? states.end : states.behindRow;
      at = rowEnd;
    }
  }

  /** The state behind a bracket or comma that may stand here; undefined for anything else. */
  #takeMark(byte: number): State | undefined {
    const state = this.#state;
    if (state === states.behindRow && byte === comma) return states.row;
    if ((state === states.behindRow || state === states.firstRow) && byte === closeBracket) return states.end;
    return state === states.open && byte === openBracket ? states.firstRow : undefined;
  }

  /** `at` is in the window. */
  #fail(reader: RowReader, at: number): never {
    throw invalidJson(reader.scanner, at, this.#offset);
  }
}
