/**
 * A value of an encrypted column at rest: in the log, in hot segments, in the files of the store. Golden file
 * test/golden/sealed-value-v1.txt.
 *
 * ```
 * "enc:1:" | key id, 8 hex digits | ":" | base64 of: nonce, 12 bytes | cipher text of the UTF-8 bytes | tag, 16 bytes
 * ```
 * AES-256-GCM under the column's key, with the column's scope associated (encryption/column-keys.ts). n bytes of text become
 * 15 + 4 × ceil((n + 28) / 3) bytes of ASCII. NULL stays NULL; an empty text is a value like any other.
 */
import { assert } from "../assert.js";
import { base64Bytes, type BytePlace, type ByteSpan, decodeBase64, encodeBase64 } from "../bytes/base64.js";
import type { ColumnData } from "../columns/column-batch.js";
import type { ColumnCipher, ColumnKeys } from "../encryption/column-keys.js";
import { itemExtraBytes, nonceBytes } from "../encryption/gcm-key.js";
import { MiniodbError } from "../errors.js";

const magic = Buffer.from("enc:1:", "latin1");
const keyIdCharacters = 8;
const headBytes = magic.length + keyIdCharacters + 1;
const colon = 0x3a;
const notEncrypted = "A value of an encrypted column is not encrypted: somebody put it there";
/** Rows and bytes of text that are encrypted by one call; one value may be larger. */
const groupRowsMax = 4_096;
const groupBytesMax = 1024 * 1024;

/** Bytes of the text of a value of `plainBytes` bytes. */
export function sealedValueBytes(plainBytes: number): number {
  return headBytes + base64Bytes(plainBytes + itemExtraBytes);
}

/** Bytes of all texts of the column once it is encrypted. */
export function sealedColumnBytes(column: ColumnData): number {
  let bytes = 0;
  const offsets = textOffsets(column);
  for (let row = 0; row + 1 < offsets.length; row++) {
    if (isPresent(column.validity, row)) bytes += sealedValueBytes(textLength(offsets, row));
  }
  return bytes;
}

/** The column with every value encrypted, in memory of its own. */
export function sealColumn(column: ColumnData, cipher: ColumnCipher): ColumnData {
  const { values, validity } = column;
  const from = textOffsets(column);
  const rows = from.length - 1;
  const offsets = new Int32Array(rows + 1);
  const sealed = new Uint8Array(sealedColumnBytes(column));
  const head = Buffer.from(`${magic.toString("latin1")}${cipher.keyId}:`, "latin1");
  let at = 0;
  for (let first = 0; first < rows;) {
    const { end, count, bytes } = groupFrom(column, from, first);
    const group = new Uint8Array(bytes);
    const starts = new Int32Array(count);
    const lengths = new Int32Array(count);
    let item = 0;
    let start = 0;
    for (let row = first; row < end; row++) {
      if (!isPresent(validity, row)) continue;
      const length = textLength(from, row);
      cipher.writeNonce(group, start);
      copyBytes({ bytes: values, start: from[row] as number, length }, { bytes: group, at: start + nonceBytes });
      starts[item] = start;
      lengths[item++] = length;
      start += length + itemExtraBytes;
    }
    cipher.gcm.encrypt({ bytes: group, starts, lengths, count });
    item = 0;
    for (let row = first; row < end; row++) {
      if (isPresent(validity, row)) {
        for (let i = 0; i < headBytes; i++) sealed[at + i] = head[i] as number;
        const span = (lengths[item] as number) + itemExtraBytes;
        const source = { bytes: group, start: starts[item++] as number, length: span };
        at = encodeBase64(source, { bytes: sealed, at: at + headBytes });
      }
      offsets[row + 1] = at;
    }
    first = end;
  }
  assert(at === sealed.length, "the sizes that were counted are those that were written");
  return { ...column, values: sealed, offsets };
}

/** Texts one behind the other, in the order of their rows. */
export interface TextRows {
  readonly bytes: Uint8Array;
  /** By row; 0 for NULL. */
  readonly lengths: Uint32Array;
}

export interface OpenRequest {
  readonly scope: string;
  /** Texts that are no encrypted values come back as they are. */
  readonly mayBePlain: boolean;
}

/**
 * The texts that were encrypted. Throws COLUMN_LOCKED: a key that is not among `keys`, or a value that is not what was
 * encrypted for this column.
 */
export function openTexts(texts: TextRows, { scope, mayBePlain }: OpenRequest, keys: ColumnKeys): TextRows {
  const { bytes } = texts;
  const rows = texts.lengths.length;
  // Base64 is longer than what it says, so that the items never outgrow the texts.
  const decoded = new Uint8Array(bytes.length);
  const starts = new Int32Array(rows);
  const lengths = new Int32Array(rows);
  const opened = new Uint32Array(rows);
  const isSealed = new Uint8Array(rows);
  const run = new OpenRun({ bytes: decoded, starts, lengths }, scope, keys);
  let items = 0;
  let end = 0;
  for (let row = 0, at = 0; row < rows; row++) {
    const length = texts.lengths[row] as number;
    const itemBytes = length === 0 ? -1 : decodeItem(bytes, at, length, { bytes: decoded, at: end });
    if (itemBytes >= 0) {
      run.take(bytes, at + magic.length, items);
      starts[items] = end;
      lengths[items++] = itemBytes - itemExtraBytes;
      isSealed[row] = 1;
      opened[row] = itemBytes - itemExtraBytes;
      end += itemBytes;
    } else {
      if (length > 0 && !mayBePlain) throw locked(notEncrypted);
      opened[row] = length;
    }
    at += length;
  }
  run.finish(items);
  return { bytes: gather({ texts, opened, isSealed }, decoded, starts), lengths: opened };
}

interface OpenedRows {
  readonly texts: TextRows;
  readonly opened: Uint32Array;
  readonly isSealed: Uint8Array;
}

function gather({ texts, opened, isSealed }: OpenedRows, decoded: Uint8Array, starts: Int32Array): Uint8Array {
  const bytes = new Uint8Array(opened.reduce((sum, length) => sum + length, 0));
  let to = 0;
  for (let row = 0, at = 0, item = 0; row < opened.length; row++) {
    const length = opened[row] as number;
    const start = isSealed[row] === 1 ? (starts[item++] as number) + nonceBytes : at;
    copyBytes({ bytes: isSealed[row] === 1 ? decoded : texts.bytes, start, length }, { bytes, at: to });
    at += texts.lengths[row] as number;
    to += length;
  }
  return bytes;
}

/** Decrypts runs of items that have the same key. */
class OpenRun {
  readonly #items: { readonly bytes: Uint8Array; readonly starts: Int32Array; readonly lengths: Int32Array };
  readonly #scope: string;
  readonly #keys: ColumnKeys;
  #first = 0;
  #cipher: ColumnCipher | undefined;

  constructor(
    items: { readonly bytes: Uint8Array; readonly starts: Int32Array; readonly lengths: Int32Array },
    scope: string,
    keys: ColumnKeys,
  ) {
    this.#items = items;
    this.#scope = scope;
    this.#keys = keys;
  }

  /** The key id at `at` is that of item `item`, which is the next. */
  take(bytes: Uint8Array, at: number, item: number): void {
    if (this.#cipher !== undefined && isText(bytes, at, this.#cipher.keyId)) return;
    this.finish(item);
    const keyId = Buffer.from(bytes.buffer, bytes.byteOffset + at, keyIdCharacters).toString("latin1");
    this.#cipher = this.#keys.byId(keyId, this.#scope);
    if (this.#cipher === undefined) {
      throw locked(`A value of an encrypted column is under key ${keyId}, which this node does not have`, {
        key: keyId,
      });
    }
  }

  finish(end: number): void {
    const { bytes, starts, lengths } = this.#items;
    const count = end - this.#first;
    if (count === 0 || this.#cipher === undefined) return;
    const run = {
      bytes,
      starts: starts.subarray(this.#first, end),
      lengths: lengths.subarray(this.#first, end),
      count,
    };
    if (this.#cipher.gcm.decrypt(run) >= 0) {
      throw locked("A value of an encrypted column is not the one that was written there");
    }
    this.#first = end;
  }
}

function locked(message: string, details: Readonly<Record<string, string>> = {}): MiniodbError {
  return new MiniodbError("COLUMN_LOCKED", message, details);
}

function groupFrom({ validity }: ColumnData, offsets: Int32Array, first: number) {
  const rows = offsets.length - 1;
  let bytes = 0;
  let count = 0;
  let end = first;
  for (; end < rows && count < groupRowsMax && bytes < groupBytesMax; end++) {
    if (!isPresent(validity, end)) continue;
    bytes += textLength(offsets, end) + itemExtraBytes;
    count++;
  }
  return { end, count, bytes };
}

function textOffsets({ offsets }: ColumnData): Int32Array {
  assert(offsets !== null, "an encrypted column has texts");
  return offsets;
}

function textLength(offsets: Int32Array, row: number): number {
  return (offsets[row + 1] as number) - (offsets[row] as number);
}

function isPresent(validity: Uint8Array | null, row: number): boolean {
  return validity === null || ((validity[row >> 3] as number) & (1 << (row & 7))) !== 0;
}

/** Texts of columns are short: below this many bytes a loop is cheaper than a call of `set`. */
const loopBytesMax = 64;

function copyBytes({ bytes: source, start, length }: ByteSpan, { bytes, at }: BytePlace): void {
  if (length > loopBytesMax) bytes.set(source.subarray(start, start + length), at);
  else for (let i = 0; i < length; i++) bytes[at + i] = source[start + i] as number;
}

/** The item of an encrypted value, written to `target` from `at` on: its bytes, or -1 where the text is no such value. */
function decodeItem(bytes: Uint8Array, start: number, length: number, target: BytePlace): number {
  if (length < headBytes + base64Bytes(itemExtraBytes) || bytes[start + headBytes - 1] !== colon) return -1;
  for (let i = 0; i < magic.length; i++) if (bytes[start + i] !== magic[i]) return -1;
  if (!isHex(bytes, start + magic.length)) return -1;
  const size = decodeBase64({ bytes, start: start + headBytes, length: length - headBytes }, target);
  return size < itemExtraBytes ? -1 : size;
}

function isHex(bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < keyIdCharacters; i++) {
    const character = bytes[start + i] as number;
    const isDigit = (character >= 0x30 && character <= 0x39) || (character >= 0x61 && character <= 0x66);
    if (!isDigit) return false;
  }
  return true;
}

function isText(bytes: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}
