import { assert } from "../../shared/assert.js";

const blockBytesMin = 64 * 1024;
const blockBytesMax = 4 * 1024 * 1024;
const alignment = 8;

/** One piece of shared memory that records of one table are written into, front to back, once. */
export interface Block {
  readonly id: number;
  readonly buffer: SharedArrayBuffer;
  readonly bytes: Uint8Array;
  used: number;
}

/**
 * The memory of one table's records. A record's bytes are written here once; from here the WAL thread writes them to
 * disk, and seal and flush read them. Blocks double from 64 KiB to 4 MiB while a table is busy, so that a thousand
 * quiet tables cost little. Nothing is ever overwritten: a block is dropped as a whole when its last record is.
 */
export class BlockArena {
  readonly #nextBlockId: () => number;
  readonly #onBlock: (block: Block) => void;
  #current: Block | null = null;
  #nextBytes = blockBytesMin;

  /** `onBlock` is told of each new block before the first record in it exists. */
  constructor(nextBlockId: () => number, onBlock: (block: Block) => void) {
    this.#nextBlockId = nextBlockId;
    this.#onBlock = onBlock;
  }

  /** Room for `bytes` (a multiple of 8) in one piece: the block, whose `used` is where the room begins. */
  reserve(bytes: number): Block {
    assert(bytes % alignment === 0, "records are a multiple of 8 bytes");
    if (this.#current !== null && this.#current.used + bytes <= this.#current.bytes.length) return this.#current;
    const size = Math.max(this.#nextBytes, bytes);
    this.#nextBytes = Math.min(blockBytesMax, this.#nextBytes * 2);
    const buffer = new SharedArrayBuffer(size);
    this.#current = { id: this.#nextBlockId(), buffer, bytes: new Uint8Array(buffer), used: 0 };
    this.#onBlock(this.#current);
    return this.#current;
  }

  /** Nothing is written to this block any more; after a flush that left nothing the next one starts small again. */
  retire(block: Block): void {
    if (this.#current !== block) return;
    this.#current = null;
    this.#nextBytes = blockBytesMin;
  }
}
