import type { ByteWindow } from "./byte-window.js";
import { sequenceLength } from "./utf8.js";

const tab = 0x09;
const newline = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;
const quote = 0x22;
const plus = 0x2b;
const comma = 0x2c;
const minus = 0x2d;
const point = 0x2e;
const zero = 0x30;
const colon = 0x3a;
const openBracket = 0x5b;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const exponentMark = 0x65;

/** "null", "true", "fals" and "alse" as little-endian words. */
const nullWord = 0x6c6c756e;
const trueWord = 0x65757274;
const falsWord = 0x736c6166;
const alseWord = 0x65736c61;

/** The bytes that may follow a backslash, "u" aside. */
const simpleEscapes = new Uint8Array(256);
for (const char of '"\\/bfnrt') simpleEscapes[char.charCodeAt(0)] = 1;

/**
 * Walks over JSON text (RFC 8259) in a window without making anything of it. Every method takes and returns
 * positions; -1 means that the text is not JSON, and `failedAt` is where. The zeros behind the window's content end
 * every token, so a text that is cut off fails at `source.end`.
 */
export class JsonScanner {
  readonly source: ByteWindow;
  failedAt = 0;
  isTooDeep = false;
  /** What the last `skipString` met: strings without either are their own value. */
  hasEscapes = false;
  hasInvalidUtf8 = false;
  /** False where a line break ends the row (NDJSON). */
  #newlineIsSpace = true;
  #depthMax = 0;
  /** The closing bytes of the containers around the value in hand. */
  #closers = new Uint8Array(0);

  constructor(source: ByteWindow) {
    this.source = source;
  }

  /** For the body in hand: how deep a value may nest, and whether its rows may span lines. */
  configure(depthMax: number, newlineIsSpace: boolean): void {
    this.#newlineIsSpace = newlineIsSpace;
    if (depthMax === this.#depthMax) return;
    this.#depthMax = depthMax;
    this.#closers = new Uint8Array(depthMax);
  }

  /**
   * The first position at or after `start` that holds no white space of JSON's grammar (section 2: four characters).
   */
  skipSpace(start: number): number {
    const bytes = this.source.bytes;
    let at = start;
    for (;;) {
      const byte = bytes[at] as number;
      if (byte > space) return at;
      const isSpace =
        byte === space || byte === tab || byte === carriageReturn || (byte === newline && this.#newlineIsSpace);
      if (!isSpace) return at;
      at++;
    }
  }

  /** `start` is behind the opening quote, the result behind the closing one. Broken UTF-8 is noted, not refused. */
  skipString(start: number): number {
    const bytes = this.source.bytes;
    this.hasEscapes = false;
    this.hasInvalidUtf8 = false;
    let at = this.#plainEnd(start);
    for (;;) {
      const byte = bytes[at] as number;
      if (byte === quote) return at + 1;
      if (byte === backslash) {
        this.hasEscapes = true;
        at = this.#skipEscape(at);
        if (at < 0) return at;
      } else if (byte < space) {
        return this.fail(at);
      } else if (byte < 0x80) {
        at++;
      } else {
        const length = sequenceLength(bytes, at, this.source.end);
        if (length === 0) this.hasInvalidUtf8 = true;
        at += Math.max(length, 1);
      }
    }
  }

  /**
   * Any value, from its first byte to behind its last. Iterative, so that no nesting can exhaust the stack: all it
   * has to know of a container around the value in hand is its closing byte. Each turn of the outer loop reads one
   * value or opens one container; the inner loop closes containers until another value must follow. Broken UTF-8
   * anywhere inside, keys included, is noted in `hasInvalidUtf8`.
   */
  skipValue(start: number): number {
    const bytes = this.source.bytes;
    const closers = this.#closers;
    let depth = 0;
    let at = start;
    let anyInvalidUtf8 = false;
    this.hasInvalidUtf8 = false;
    for (;;) {
      const byte = bytes[at] as number;
      if (byte === openBrace || byte === openBracket) {
        if (depth === this.#depthMax) return this.#failDeep(at);
        // In ASCII "}" is "{" + 2, and "]" is "[" + 2.
        closers[depth++] = byte + 2;
        at = this.skipSpace(at + 1);
        if (bytes[at] !== byte + 2) {
          if (byte === openBrace) at = this.skipKey(at);
          if (at < 0) return at;
          anyInvalidUtf8 ||= this.hasInvalidUtf8;
          continue;
        }
      } else {
        at = byte === quote ? this.skipString(at + 1) : this.#skipScalar(at);
        if (at < 0) return at;
        anyInvalidUtf8 ||= this.hasInvalidUtf8;
      }
      // Behind a value, or at the closer of an empty container: close what ends here, then on to the next value.
      for (;;) {
        if (depth === 0) {
          this.hasInvalidUtf8 = anyInvalidUtf8;
          return at;
        }
        at = this.skipSpace(at);
        const closer = closers[depth - 1] as number;
        if (bytes[at] === closer) {
          depth--;
          at++;
          continue;
        }
        if (bytes[at] !== comma) return this.fail(at);
        at = this.skipSpace(at + 1);
        if (closer === closeBrace) at = this.skipKey(at);
        if (at < 0) return at;
        anyInvalidUtf8 ||= this.hasInvalidUtf8;
        break;
      }
    }
  }

  /** From a key's opening quote to the value behind its colon. */
  skipKey(start: number): number {
    if (this.source.bytes[start] !== quote) return this.fail(start);
    const at = this.skipString(start + 1);
    return at < 0 ? at : this.skipColon(at);
  }

  /** From behind a key to its value. */
  skipColon(start: number): number {
    const at = this.skipSpace(start);
    if (this.source.bytes[at] !== colon) return this.fail(at);
    return this.skipSpace(at + 1);
  }

  /**
   * Section 6: no leading zeros, a digit on both sides of the point. Whether a double or a long holds it is not asked
   * here.
   */
  #skipNumber(start: number): number {
    const bytes = this.source.bytes;
    let at = bytes[start] === minus ? start + 1 : start;
    const first = at;
    at = this.#skipDigits(at);
    if (at < 0) return at;
    if (bytes[first] === zero && at > first + 1) return this.fail(first + 1);
    if (bytes[at] === point) {
      at = this.#skipDigits(at + 1);
      if (at < 0) return at;
    }
    if (((bytes[at] as number) | 0x20) === exponentMark) {
      at++;
      if (bytes[at] === plus || bytes[at] === minus) at++;
      at = this.#skipDigits(at);
    }
    return at;
  }

  /** null, true or false. */
  #skipLiteral(start: number): number {
    const { view, bytes } = this.source;
    const word = view.getInt32(start, true);
    if (word === nullWord || word === trueWord) return start + 4;
    if (word === falsWord && view.getInt32(start + 1, true) === alseWord) return start + 5;
    // None of the three: it fails where the text leaves the literal that its first letter promised.
    const text = bytes[start] === 0x6e ? "null" : bytes[start] === 0x74 ? "true" : "false";
    let at = 0;
    while (at < text.length && bytes[start + at] === text.charCodeAt(at)) at++;
    return this.fail(start + at);
  }

  /** Notes where the text stops being JSON. Returns -1, for callers to hand on. */
  fail(at: number): number {
    this.failedAt = at;
    this.isTooDeep = false;
    return -1;
  }

  /** What is wrong at `failedAt`, as the end of a sentence. */
  failure(): string {
    if (this.isTooDeep) return `nested deeper than ${this.#depthMax} levels`;
    if (this.failedAt >= this.source.end) return "unexpected end of the text";
    const byte = this.source.bytes[this.failedAt] as number;
    const isPrintable = byte > space && byte < 0x7f;
    return `unexpected ${isPrintable ? `"${String.fromCharCode(byte)}"` : `byte 0x${byte.toString(16).padStart(2, "0")}`}`;
  }

  #failDeep(at: number): number {
    this.failedAt = at;
    this.isTooDeep = true;
    return -1;
  }

  #skipScalar(at: number): number {
    const byte = this.source.bytes[at] as number;
    this.hasInvalidUtf8 = false;
    return byte === minus || (byte - zero) >>> 0 < 10 ? this.#skipNumber(at) : this.#skipLiteral(at);
  }

  /** One digit at least. */
  #skipDigits(start: number): number {
    const bytes = this.source.bytes;
    let at = start;
    while (((bytes[at] as number) - zero) >>> 0 < 10) at++;
    return at === start ? this.fail(at) : at;
  }

  /**
   * `at` is the backslash. Halves of surrogate pairs are grammatical, alone too: what they mean is for who reads the
   * text.
   */
  #skipEscape(at: number): number {
    const bytes = this.source.bytes;
    const kind = bytes[at + 1] as number;
    if (simpleEscapes[kind] === 1) return at + 2;
    if (kind !== 0x75) return this.fail(at + 1);
    for (let digit = at + 2; digit < at + 6; digit++) {
      if (hexValue(bytes[digit] as number) < 0) return this.fail(digit);
    }
    return at + 6;
  }

  /** Skips whole words of printable ASCII without quote or backslash (see read-text.ts for the test). */
  #plainEnd(start: number): number {
    const view = this.source.view;
    let at = start;
    for (;;) {
      const word = view.getInt32(at, true);
      const marks =
        (word - 0x20202020) | ((word ^ 0x22222222) - 0x01010101) | ((word ^ 0x5c5c5c5c) - 0x01010101) | word;
      if ((marks & 0x80808080) !== 0) return at;
      at += 4;
    }
  }
}

/** Of one hexadecimal digit, or -1. */
export function hexValue(byte: number): number {
  const digit = (byte - zero) >>> 0;
  if (digit < 10) return digit;
  const letter = ((byte | 0x20) - 0x61) >>> 0;
  return letter < 6 ? letter + 10 : -1;
}
