import { assert } from "../assert.js";
import { isPowerOfTwo } from "./ring-layout.js";

/** Smallest block: bodies of one chunk (up to 512 KiB in uWebSockets.js) go into the ring instead. */
export const slabBlockBytesMin = 65_536;
/** Sizes are computed with 32-bit shifts. */
export const slabBytesMax = 1_073_741_824;

const none = -1;
/** Beside the order of a block, at its first unit; a unit inside a block is 0. */
const inUse = 0x80;
const isFree = 0x40;

/**
 * A buddy allocator (Knuth, TAOCP 1, 2.5) over one shared buffer, for bodies that arrive in several chunks. It lives
 * on main, which alone allocates and frees; workers only read the bytes that a frame names.
 *
 * ```
 *  order 2 |               256 KiB               |      a block of order k is 64 KiB << k, at a multiple of its size;
 *  order 1 |     128 KiB      |     128 KiB      |      its buddy is at offset ^ size; two free buddies become one
 *  order 0 | 64 KiB | 64 KiB  | 64 KiB | 64 KiB  |      block of the next order
 * ```
 * `#orders[i]` describes the block that starts at unit i: its order, with `inUse` or `isFree`. Free blocks of one order
 * form a doubly linked list through `#next` and `#previous`. Every call costs at most one step per order.
 */
export class SlabAllocator {
  /** Handed to every worker that reads bodies. */
  readonly buffer: SharedArrayBuffer;
  readonly bytes: Uint8Array;
  /** Bytes of all blocks handed out, rounding included. */
  usedBytes = 0;
  readonly #orderMax: number;
  readonly #orders: Uint8Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** First free unit of each order, or none. */
  readonly #free: Int32Array;

  /** `totalBytes` is a power of two and at least one block. */
  constructor(totalBytes: number) {
    assert(isPowerOfTwo(totalBytes), "a slab is a power of two of bytes");
    assert(totalBytes >= slabBlockBytesMin && totalBytes <= slabBytesMax, "a slab is within bounds");
    const units = totalBytes / slabBlockBytesMin;
    this.buffer = new SharedArrayBuffer(totalBytes);
    this.bytes = new Uint8Array(this.buffer);
    this.#orderMax = Math.log2(units);
    this.#orders = new Uint8Array(units);
    this.#next = new Int32Array(units).fill(none);
    this.#previous = new Int32Array(units).fill(none);
    this.#free = new Int32Array(this.#orderMax + 1).fill(none);
    this.#link(0, this.#orderMax);
  }

  /** Offset in `bytes` of a block that holds `byteCount` bytes, or -1 when there is none that large. */
  allocate(byteCount: number): number {
    const order = this.#orderOf(byteCount);
    let from = order;
    while (from <= this.#orderMax && this.#free[from] === none) from++;
    if (from > this.#orderMax) return -1;
    const unit = this.#free[from] as number;
    this.#unlink(unit, from);
    while (from > order) {
      from--;
      this.#link(unit + (1 << from), from);
    }
    this.#orders[unit] = order | inUse;
    this.usedBytes += slabBlockBytesMin << order;
    return unit * slabBlockBytesMin;
  }

  /** Takes a block back, by the offset that `allocate` or `grow` returned. */
  free(offset: number): void {
    let unit = this.#unitOf(offset);
    let order = (this.#orders[unit] as number) & ~inUse;
    this.usedBytes -= slabBlockBytesMin << order;
    this.#orders[unit] = 0;
    while (order < this.#orderMax) {
      const buddy = unit ^ (1 << order);
      if (this.#orders[buddy] !== (order | isFree)) break;
      this.#unlink(buddy, order);
      unit = Math.min(unit, buddy);
      order++;
    }
    this.#link(unit, order);
  }

  /** Bytes that the block at `offset` can hold. */
  blockBytes(offset: number): number {
    return slabBlockBytesMin << ((this.#orders[this.#unitOf(offset)] as number) & ~inUse);
  }

  /**
   * Makes the block at `offset` hold `byteCount` bytes and keeps its first `keepBytes`: where the blocks to its right
   * are free it grows in place, else it is copied. Returns the offset from then on, or -1: the old block is then
   * still there, unchanged.
   */
  grow(offset: number, keepBytes: number, byteCount: number): number {
    assert(keepBytes <= this.blockBytes(offset), "a block keeps no more than it holds");
    if (byteCount <= this.blockBytes(offset)) return offset;
    if (this.#growInPlace(offset, this.#orderOf(byteCount))) return offset;
    const target = this.allocate(byteCount);
    if (target < 0) return -1;
    this.bytes.copyWithin(target, offset, offset + keepBytes);
    this.free(offset);
    return target;
  }

  #growInPlace(offset: number, order: number): boolean {
    const unit = this.#unitOf(offset);
    const before = (this.#orders[unit] as number) & ~inUse;
    if (order > this.#orderMax || (unit & ((1 << order) - 1)) !== 0) return false;
    for (let step = before; step < order; step++) {
      if (this.#orders[unit + (1 << step)] !== (step | isFree)) return false;
    }
    for (let step = before; step < order; step++) this.#unlink(unit + (1 << step), step);
    this.#orders[unit] = order | inUse;
    this.usedBytes += (slabBlockBytesMin << order) - (slabBlockBytesMin << before);
    return true;
  }

  #link(unit: number, order: number): void {
    const first = this.#free[order] as number;
    this.#orders[unit] = order | isFree;
    this.#previous[unit] = none;
    this.#next[unit] = first;
    if (first !== none) this.#previous[first] = unit;
    this.#free[order] = unit;
  }

  #unlink(unit: number, order: number): void {
    assert(this.#orders[unit] === (order | isFree), "only a free block is taken from the free list");
    const next = this.#next[unit] as number;
    const previous = this.#previous[unit] as number;
    if (previous === none) this.#free[order] = next;
    else this.#next[previous] = next;
    if (next !== none) this.#previous[next] = previous;
    this.#orders[unit] = 0;
  }

  #orderOf(byteCount: number): number {
    assert(byteCount > 0, "a block holds at least one byte");
    return Math.max(0, Math.ceil(Math.log2(byteCount / slabBlockBytesMin)));
  }

  #unitOf(offset: number): number {
    const unit = offset / slabBlockBytesMin;
    assert(Number.isInteger(unit) && ((this.#orders[unit] ?? 0) & inUse) !== 0, "a slab offset names a block in use");
    return unit;
  }
}
