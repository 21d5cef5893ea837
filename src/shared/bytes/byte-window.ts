import { assert } from "../assert.js";

/** Zero bytes behind the content: a reader may look this far ahead, and no token of JSON or CSV contains a zero. */
export const readAheadBytes = 128;
/** A window that had to grow past this for one long row is given back afterwards. */
const keptBytes = 1024 * 1024;

/**
 * A copy of a part of a body with zeros behind it, so that readers need no bounds checks of their own and all bodies
 * (Buffers, views on shared memory) are the same to the compiler. `view` is for unaligned reads of whole words. Large
 * bodies that suit are borrowed instead of copied.
 *
 * ```
 * loaded    content [0, end)   zeros [end, end + readAheadBytes)   rest of an earlier content
 * borrowed  content [0, end)   readAheadBytes of what follows it in the body
 * ```
 */
export class ByteWindow {
  bytes: Uint8Array;
  view: DataView;
  /** Number of content bytes. */
  end = 0;
  readonly #initialBytes: number;
  #ownBytes: Uint8Array;
  #ownView: DataView;

  constructor(initialBytes: number) {
    this.#initialBytes = initialBytes;
    this.#ownBytes = new Uint8Array(initialBytes + readAheadBytes);
    this.#ownView = new DataView(this.#ownBytes.buffer);
    this.bytes = this.#ownBytes;
    this.view = this.#ownView;
  }

  /** Replaces the content by body[start, end). */
  load(body: Uint8Array, start: number, end: number): void {
    const length = end - start;
    const capacity = this.#ownBytes.length - readAheadBytes;
    if (length > capacity || (capacity > keptBytes && length <= keptBytes)) this.#allocate(length);
    const bytes = this.#ownBytes;
    const view = this.#ownView;
    bytes.set(start === 0 && end === body.length ? body : body.subarray(start, end));
    // In place of fill(), which costs more than a small body's copy.
    for (let at = length; at < length + readAheadBytes; at += 8) view.setFloat64(at, 0);
    this.bytes = bytes;
    this.view = view;
    this.end = length;
  }

  /**
   * Makes body[start, end) the content where it is: out of shared memory a copy costs as much as a tenth of the
   * decoding. Only for text in which no token crosses `end`, since no zeros end it there; at least `readAheadBytes`
   * of the body must follow.
   */
  borrow(body: Uint8Array, start: number, end: number): void {
    assert(end + readAheadBytes <= body.length, "readers may look ahead");
    const length = end - start;
    this.bytes = new Uint8Array(body.buffer, body.byteOffset + start, length + readAheadBytes);
    this.view = new DataView(body.buffer, body.byteOffset + start, length + readAheadBytes);
    this.end = length;
  }

  /** Lets go of a borrowed body, which may be large. */
  release(): void {
    this.bytes = this.#ownBytes;
    this.view = this.#ownView;
    this.end = 0;
  }

  #allocate(length: number): void {
    this.#ownBytes = new Uint8Array(Math.max(length, this.#initialBytes) + readAheadBytes);
    this.#ownView = new DataView(this.#ownBytes.buffer);
  }
}
