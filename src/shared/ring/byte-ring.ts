import { assert } from "../assert.js";
import {
  alignTo8,
  byteFrameHeaderBytes,
  byteFrameSkip,
  isPowerOfTwo,
  ringBytesMax,
  ringBytesMin,
  ringHeaderBytes,
  ringMagic,
  ringWords,
} from "./ring-layout.js";

/**
 * A bounded ring of frames of any length, for one producer thread and one consumer thread. A frame is contiguous, so
 * that both sides work on one view; where it does not fit before the end, a skip marker sends the reader to offset 0.
 *
 * ```
 *  data:  | .. free .. | len chk payload.. pad | len chk payload | .. free .. | skip ...unused... |
 *                      ^ tail                                    ^ head
 * ```
 * Invariants: head - tail <= capacity; frames start at multiples of 8; a skip marker is published together with the
 * frame behind it. Cost: one atomic store per publish and per release, one atomic load per batch on each side.
 */

/** Shared memory for a ring of `capacityBytes` (a power of two); both ends are then opened on it. */
export function createByteRing(capacityBytes: number): SharedArrayBuffer {
  assert(isPowerOfTwo(capacityBytes), "a byte ring's capacity is a power of two");
  assert(capacityBytes >= ringBytesMin && capacityBytes <= ringBytesMax, "a byte ring's capacity is within bounds");
  const buffer = new SharedArrayBuffer(ringHeaderBytes + capacityBytes);
  const words = new Int32Array(buffer);
  words[ringWords.capacity] = capacityBytes;
  Atomics.store(words, ringWords.magic, ringMagic.bytes);
  return buffer;
}

/** The largest payload that a ring of this capacity surely takes when it is empty. */
export function byteRingFrameBytesMax(capacityBytes: number): number {
  return capacityBytes / 2 - byteFrameHeaderBytes;
}

function openHeader(buffer: SharedArrayBuffer): { readonly header: Int32Array; readonly capacity: number } {
  const header = new Int32Array(buffer, 0, ringHeaderBytes / 4);
  assert(Atomics.load(header, ringWords.magic) === ringMagic.bytes, "the buffer is a byte ring");
  const capacity = header[ringWords.capacity] as number;
  assert(buffer.byteLength === ringHeaderBytes + capacity, "a byte ring is as large as its header says");
  return { header, capacity };
}

/** The writing end. Exactly one thread may hold one per ring. */
export class ByteRingProducer {
  /** The ring's data area; `reserve` returns offsets into it. */
  readonly bytes: Uint8Array;
  /** The same bytes, for typed writes. */
  readonly view: DataView;
  readonly capacityBytes: number;
  /** Largest payload that `reserve` takes. */
  readonly frameBytesMax: number;
  readonly #header: Int32Array;
  readonly #words: Int32Array;
  /** Position behind the last staged frame; published by `publish`. */
  #head: number;
  #tailSeen: number;
  #reservedBytes = -1;
  #reservedStart = 0;
  #skipBytes = 0;

  constructor(buffer: SharedArrayBuffer) {
    const { header, capacity } = openHeader(buffer);
    this.#header = header;
    this.capacityBytes = capacity;
    this.frameBytesMax = byteRingFrameBytesMax(capacity);
    this.bytes = new Uint8Array(buffer, ringHeaderBytes, capacity);
    this.view = new DataView(buffer, ringHeaderBytes, capacity);
    this.#words = new Int32Array(buffer, ringHeaderBytes, capacity / 4);
    this.#head = Atomics.load(header, ringWords.head);
    this.#tailSeen = Atomics.load(header, ringWords.tail);
  }

  /** Bytes staged or published and not yet given back, headers and padding included. */
  get usedBytes(): number {
    this.#tailSeen = Atomics.load(this.#header, ringWords.tail);
    return (this.#head - this.#tailSeen) | 0;
  }

  /**
   * Room for a payload of `byteCount` bytes in one piece; returns its offset in `bytes` (a multiple of 8), or -1
   * when the ring is full. A reservation that is not staged or committed is dropped by the next one.
   */
  reserve(byteCount: number): number {
    assert(byteCount >= 0 && byteCount <= this.frameBytesMax, "a frame is at most half of its ring");
    const size = byteFrameHeaderBytes + alignTo8(byteCount);
    let start = this.#head & (this.capacityBytes - 1);
    const rest = this.capacityBytes - start;
    this.#skipBytes = 0;
    if (rest < size) {
      this.#skipBytes = rest;
      start = 0;
    }
    const end = (this.#head + this.#skipBytes + size) | 0;
    if (((end - this.#tailSeen) | 0) > this.capacityBytes) {
      this.#tailSeen = Atomics.load(this.#header, ringWords.tail);
      if (((end - this.#tailSeen) | 0) > this.capacityBytes) {
        this.#reservedBytes = -1;
        return -1;
      }
    }
    this.#reservedBytes = byteCount;
    this.#reservedStart = start;
    return start + byteFrameHeaderBytes;
  }

  /** Completes the reserved frame with its first `byteCount` bytes, for a later `publish` of several at once. */
  stage(byteCount: number = this.#reservedBytes): void {
    assert(this.#reservedBytes >= 0, "a frame is reserved before it is staged");
    assert(byteCount >= 0 && byteCount <= this.#reservedBytes, "a frame ends within its reservation");
    const words = this.#words;
    const word = this.#reservedStart >> 2;
    if (this.#skipBytes > 0) {
      words[(this.#head & (this.capacityBytes - 1)) >> 2] = byteFrameSkip;
      this.#head = (this.#head + this.#skipBytes) | 0;
    }
    words[word] = byteCount;
    words[word + 1] = byteCount ^ this.#head ^ ringMagic.bytes;
    this.#head = (this.#head + byteFrameHeaderBytes + alignTo8(byteCount)) | 0;
    this.#reservedBytes = -1;
  }

  /** Lets the consumer see everything staged so far. */
  publish(): void {
    Atomics.store(this.#header, ringWords.head, this.#head);
  }

  /** `stage` and `publish` in one. */
  commit(byteCount: number = this.#reservedBytes): void {
    this.stage(byteCount);
    this.publish();
  }
}

/** The reading end. Exactly one thread may hold one per ring. */
export class ByteRingConsumer {
  /** The ring's data area; `peek` returns offsets into it. */
  readonly bytes: Uint8Array;
  /** The same bytes, for typed reads. */
  readonly view: DataView;
  /** Payload length of the frame that `peek` found. */
  frameBytes = 0;
  readonly #header: Int32Array;
  readonly #words: Int32Array;
  readonly #capacity: number;
  /** Position of the next frame to read; published as the tail by `release`. */
  #next: number;
  #headSeen: number;
  #peeked = false;

  constructor(buffer: SharedArrayBuffer) {
    const { header, capacity } = openHeader(buffer);
    this.#header = header;
    this.#capacity = capacity;
    this.bytes = new Uint8Array(buffer, ringHeaderBytes, capacity);
    this.view = new DataView(buffer, ringHeaderBytes, capacity);
    this.#words = new Int32Array(buffer, ringHeaderBytes, capacity / 4);
    this.#next = Atomics.load(header, ringWords.tail);
    this.#headSeen = Atomics.load(header, ringWords.head);
  }

  /**
   * Offset in `bytes` of the next frame's payload, or -1 when there is none; its length is then in `frameBytes`.
   * The bytes stay valid until `release`. Peeking again without `advance` finds the same frame.
   */
  peek(): number {
    if (this.#next === this.#headSeen) {
      this.#headSeen = Atomics.load(this.#header, ringWords.head);
      if (this.#next === this.#headSeen) return -1;
    }
    let start = this.#next & (this.#capacity - 1);
    if (this.#words[start >> 2] === byteFrameSkip) {
      this.#next = (this.#next + this.#capacity - start) | 0;
      start = 0;
    }
    const length = this.#words[start >> 2] as number;
    const check = this.#words[(start >> 2) + 1] as number;
    assert(length >= 0 && length <= byteRingFrameBytesMax(this.#capacity), "a frame's length is within its bound");
    assert(check === (length ^ this.#next ^ ringMagic.bytes), "a frame is read at the position it was written at");
    this.frameBytes = length;
    this.#peeked = true;
    return start + byteFrameHeaderBytes;
  }

  /** The next frame as a view, or null: `peek` for callers that do not count allocations. */
  peekView(): Uint8Array | null {
    const offset = this.peek();
    return offset < 0 ? null : this.bytes.subarray(offset, offset + this.frameBytes);
  }

  /** Steps over the peeked frame and keeps its bytes, so that the next can be peeked beside it. */
  advance(): void {
    assert(this.#peeked, "a frame is peeked before it is passed");
    this.#next = (this.#next + byteFrameHeaderBytes + alignTo8(this.frameBytes)) | 0;
    this.#peeked = false;
  }

  /** Gives the memory of the peeked frame, and of every frame passed before it, back to the producer. */
  release(): void {
    if (this.#peeked) this.advance();
    Atomics.store(this.#header, ringWords.tail, this.#next);
  }
}
