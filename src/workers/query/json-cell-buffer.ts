/** Bytes that may be written behind what is asked for: texts are copied in whole words. What comes next overwrites them. */
export const slackBytes = 16;

/** Cells one behind the other, and where each ends. Several columns go into one; it is used again and again. */
export class CellBuffer {
  /** Of all cells so far. */
  length = 0;
  /** How many there are. */
  count = 0;
  #view: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(0));
  #ends = new Int32Array(0);

  /** Has room for what was reserved, and `slackBytes` more. */
  get view(): DataView<ArrayBuffer> {
    return this.#view;
  }

  get bytes(): Uint8Array {
    return new Uint8Array(this.#view.buffer);
  }

  /** By cell; has room for as many as were announced to `clear`. */
  get ends(): Int32Array {
    return this.#ends;
  }

  /** Empties it, for so many cells of so many bytes in all. */
  clear(count: number, bytes: number): void {
    this.length = 0;
    this.count = 0;
    if (this.#ends.length < count) this.#ends = new Int32Array(count);
    this.reserve(bytes);
  }

  /** Makes room for so many bytes behind `length`; the view may be another one then. */
  reserve(bytes: number): DataView<ArrayBuffer> {
    const needed = this.length + bytes + slackBytes;
    if (this.#view.byteLength >= needed) return this.#view;
    const grown = new Uint8Array(Math.max(needed, this.#view.byteLength * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.#view = new DataView(grown.buffer);
    return this.#view;
  }
}

const nullText = 0x6c_6c_75_6e;

/** `null`. Like all writers here: returns where it ends. */
export function writeNull(view: DataView, at: number): number {
  view.setInt32(at, nullText, true);
  return at + 4;
}

export function writeAscii(text: string, view: DataView, at: number): number {
  for (let index = 0; index < text.length; index++) view.setUint8(at + index, text.charCodeAt(index));
  return at + text.length;
}
