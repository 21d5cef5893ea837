import { randomBytes } from "node:crypto";
import type { Field } from "./json-field.js";

const slotsMin = 32;
/** Other keys' hashes must not be predictable, or a client could make every lookup slow. */
const seed = randomBytes(4).readInt32LE(0);

/** Fields by their key's bytes: open addressing, at most half full, nothing is ever removed but everything at once. */
export class FieldTable {
  readonly all: Field[] = [];
  #slots: (Field | null)[] = emptySlots(slotsMin);

  /** The field of the key bytes[start, end), or null. */
  find(bytes: Uint8Array, start: number, end: number, hash: number): Field | null {
    const slots = this.#slots;
    // The number of slots is a power of two, and at least half of them are empty: every walk ends at one.
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const field = slots[slot] as Field | null;
      if (field === null) return null;
      if (field.hash === hash && isKey(field.key, bytes, start, end)) return field;
    }
  }

  /** A field whose key is not in the table. */
  add(field: Field): void {
    this.all.push(field);
    if (this.all.length * 2 <= this.#slots.length) {
      this.#place(field);
      return;
    }
    this.#slots = emptySlots(this.#slots.length * 2);
    for (const each of this.all) this.#place(each);
  }

  clear(): void {
    if (this.all.length === 0) return;
    this.all.length = 0;
    this.#slots = emptySlots(slotsMin);
  }

  #place(field: Field): void {
    const mask = this.#slots.length - 1;
    let slot = field.hash & mask;
    while (this.#slots[slot] !== null) slot = (slot + 1) & mask;
    this.#slots[slot] = field;
  }
}

/** FNV-1a with a secret start, its high bits folded into the low ones that pick the slot. */
export function hashKey(bytes: Uint8Array, start: number, end: number): number {
  let hash = seed;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
  return hash ^ (hash >>> 15);
}

/** Hashes of different keys may be the same, so the bytes decide. */
function isKey(key: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (key.length !== end - start) return false;
  for (let at = 0; at < key.length; at++) {
    if (key[at] !== bytes[start + at]) return false;
  }
  return true;
}

function emptySlots(count: number): (Field | null)[] {
  return new Array<Field | null>(count).fill(null);
}
