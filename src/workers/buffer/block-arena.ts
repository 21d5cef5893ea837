import { assert } from "../../shared/assert.js";
import { blockBytesMax, type Block } from "./block-pool.js";

const blockBytesMin = 64 * 1024;
const alignment = 8;

/**
 * The memory of one table's records. A record's bytes are written here once; from here the WAL thread writes them to
 * disk, and seal and flush read them. Blocks double from 64 KiB to 4 MiB while a table is busy, so that a thousand
 * quiet tables cost little. A block is given back as a whole, when its last record is not needed any more.
 */
export class BlockArena {
  readonly #take: (bytes: number) => Block;
  #current: Block | null = null;
  #nextBytes = blockBytesMin;

  /** `take` gives an empty block of at least so many bytes. */
  constructor(take: (bytes: number) => Block) {
    this.#take = take;
  }

  /** Room for `bytes` (a multiple of 8) in one piece: the block, whose `used` is where the room begins. */
  reserve(bytes: number): Block {
    assert(bytes % alignment === 0, "records are a multiple of 8 bytes");
    if (this.#current !== null && this.#current.used + bytes <= this.#current.bytes.length) return this.#current;
    const size = Math.max(this.#nextBytes, bytes);
    this.#nextBytes = Math.min(blockBytesMax, this.#nextBytes * 2);
    this.#current = this.#take(size);
    return this.#current;
  }

  /** Nothing is written to this block any more; after a flush that left nothing the next one starts small again. */
  retire(block: Block): void {
    if (this.#current !== block) return;
    this.#current = null;
    this.#nextBytes = blockBytesMin;
  }
}
