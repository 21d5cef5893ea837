import { assert } from "../assert.js";
import { isPowerOfTwo, ringBytesMax, ringHeaderBytes, ringMagic, ringWords } from "./ring-layout.js";

/**
 * A bounded ring of entries of one size, for one producer thread and one consumer thread: completions (96 bytes,
 * completion.ts) and WAL descriptors (16 bytes, wal-descriptor.ts).
 *
 * A ring may have a gate: a count that a third thread moves. A gated consumer reads an entry only when producer and
 * gate have both passed it; so the WAL thread lets replies out by storing one number, and never touches an entry.
 *
 * Invariants: head - tail <= capacity; for a gated consumer, tail <= min(head, gate).
 */

/** Shared memory for `capacity` entries (a power of two) of `entryBytes` (a multiple of 8) each. */
export function createEntryRing(capacity: number, entryBytes: number): SharedArrayBuffer {
  assert(isPowerOfTwo(capacity), "an entry ring's capacity is a power of two");
  assert(entryBytes > 0 && entryBytes % 8 === 0, "an entry is a multiple of 8 bytes");
  assert(capacity * entryBytes <= ringBytesMax, "an entry ring is within bounds");
  const buffer = new SharedArrayBuffer(ringHeaderBytes + capacity * entryBytes);
  const words = new Int32Array(buffer);
  words[ringWords.capacity] = capacity;
  words[ringWords.entryBytes] = entryBytes;
  Atomics.store(words, ringWords.magic, ringMagic.entries);
  return buffer;
}

interface EntryRingView {
  readonly header: Int32Array;
  readonly capacity: number;
  readonly entryBytes: number;
  readonly view: DataView;
}

function openEntryRing(buffer: SharedArrayBuffer): EntryRingView {
  const header = new Int32Array(buffer, 0, ringHeaderBytes / 4);
  assert(Atomics.load(header, ringWords.magic) === ringMagic.entries, "the buffer is an entry ring");
  const capacity = header[ringWords.capacity] as number;
  const entryBytes = header[ringWords.entryBytes] as number;
  assert(buffer.byteLength === ringHeaderBytes + capacity * entryBytes, "an entry ring is as large as its header says");
  return { header, capacity, entryBytes, view: new DataView(buffer, ringHeaderBytes) };
}

/** The writing end. Exactly one thread may hold one per ring. */
export class EntryRingProducer {
  /** The entries; `reserve` returns byte offsets into it. */
  readonly view: DataView;
  readonly capacity: number;
  readonly #header: Int32Array;
  readonly #entryBytes: number;
  #head: number;
  #total: number;
  #tailSeen: number;
  #reserved = false;

  constructor(buffer: SharedArrayBuffer) {
    const ring = openEntryRing(buffer);
    this.view = ring.view;
    this.capacity = ring.capacity;
    this.#header = ring.header;
    this.#entryBytes = ring.entryBytes;
    this.#head = Atomics.load(ring.header, ringWords.head);
    this.#total = this.#head;
    this.#tailSeen = Atomics.load(ring.header, ringWords.tail);
  }

  /** Entries staged so far, modulo 2^32 as a signed integer: the unit that a gate counts in. */
  get count(): number {
    return this.#head;
  }

  /** The same, but it goes on counting beyond 2^31: for what is remembered longer than a ring of entries. */
  get total(): number {
    return this.#total;
  }

  /** Entries that can be reserved now. */
  get free(): number {
    this.#tailSeen = Atomics.load(this.#header, ringWords.tail);
    return this.capacity - ((this.#head - this.#tailSeen) | 0);
  }

  /** Byte offset in `view` of the next entry, or -1 when the ring is full. */
  reserve(): number {
    if (((this.#head - this.#tailSeen) | 0) >= this.capacity) {
      if (this.free <= 0) return -1;
    }
    this.#reserved = true;
    return (this.#head & (this.capacity - 1)) * this.#entryBytes;
  }

  /** Completes the reserved entry, for a later `publish` of several at once. */
  stage(): void {
    assert(this.#reserved, "an entry is reserved before it is staged");
    this.#reserved = false;
    this.#head = (this.#head + 1) | 0;
    this.#total++;
  }

  /** Lets the consumer see everything staged so far. */
  publish(): void {
    Atomics.store(this.#header, ringWords.head, this.#head);
  }

  /** `stage` and `publish` in one. */
  commit(): void {
    this.stage();
    this.publish();
  }
}

/** The reading end. Exactly one thread may hold one per ring. */
export class EntryRingConsumer {
  /** The entries; `peek` returns byte offsets into it. */
  readonly view: DataView;
  readonly #header: Int32Array;
  readonly #capacity: number;
  readonly #entryBytes: number;
  readonly #gated: boolean;
  #next: number;
  #limitSeen: number;
  #peeked = false;

  /** `gated`: read only what an EntryRingGate on the same ring has let out. */
  constructor(buffer: SharedArrayBuffer, gated: boolean) {
    const ring = openEntryRing(buffer);
    this.view = ring.view;
    this.#header = ring.header;
    this.#capacity = ring.capacity;
    this.#entryBytes = ring.entryBytes;
    this.#gated = gated;
    this.#next = Atomics.load(ring.header, ringWords.tail);
    this.#limitSeen = this.#next;
  }

  /** Entries that can be read now. */
  get available(): number {
    this.#loadLimit();
    return (this.#limitSeen - this.#next) | 0;
  }

  /** Byte offset in `view` of the next entry, or -1 when there is none to read yet. It stays valid until `release`. */
  peek(): number {
    if (this.#next === this.#limitSeen) {
      this.#loadLimit();
      if (this.#next === this.#limitSeen) return -1;
    }
    this.#peeked = true;
    return (this.#next & (this.#capacity - 1)) * this.#entryBytes;
  }

  /** Steps over the peeked entry and keeps its memory. */
  advance(): void {
    assert(this.#peeked, "an entry is peeked before it is passed");
    this.#peeked = false;
    this.#next = (this.#next + 1) | 0;
  }

  /** Gives the peeked entry, and every entry passed before it, back to the producer. */
  release(): void {
    if (this.#peeked) this.advance();
    Atomics.store(this.#header, ringWords.tail, this.#next);
  }

  #loadLimit(): void {
    const head = Atomics.load(this.#header, ringWords.head);
    let limit = head;
    if (this.#gated) {
      // A gate that is behind what was read would mean a reply that left before it was let out.
      const gate = Atomics.load(this.#header, ringWords.gate);
      assert(((gate - this.#next) | 0) >= 0, "a gate never moves backwards");
      if (((gate - head) | 0) < 0) limit = gate;
    }
    const ahead = (limit - this.#next) | 0;
    assert(ahead >= 0 && ahead <= this.#capacity, "an entry ring holds no more than its capacity");
    this.#limitSeen = limit;
  }
}

/** The right to let entries out of a gated ring: for exactly one thread, which is neither of the ring's ends. */
export class EntryRingGate {
  readonly #header: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#header = openEntryRing(buffer).header;
  }

  /** Entries let out so far, modulo 2^32 as a signed integer. */
  get count(): number {
    return Atomics.load(this.#header, ringWords.gate);
  }

  /** Lets the next `entries` entries out; they may even be unpublished yet. */
  open(entries: number): void {
    assert(entries >= 0, "a gate never moves backwards");
    Atomics.add(this.#header, ringWords.gate, entries);
  }
}
