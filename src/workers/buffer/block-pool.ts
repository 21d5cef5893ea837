import { assert } from "../../shared/assert.js";

export const blockBytesMax = 4 * 1024 * 1024;

/** Calls of `trim` after which it judges anew how many blocks nobody needs. */
const trimsPerWindow = 10;
/** Dropped by one call: giving a gigabyte back at once stops a thread for hundreds of milliseconds. */
const droppedPerTrimMax = 2;

/** One piece of shared memory that records of one table are written into, front to back. */
export interface Block {
  /** The WAL thread knows the memory by this name for as long as it exists, whichever table has it. */
  readonly id: number;
  readonly buffer: SharedArrayBuffer;
  readonly bytes: Uint8Array;
  used: number;
  /** Slices handed out that name this block and were not given back yet. */
  readers: number;
  /** True from the moment no record in it is needed; it goes to the pool when its last reader is done. */
  isFreed: boolean;
}

export interface BlockPoolEvents {
  /** Told of each new block before the first record in it exists. */
  readonly onBlock: (block: Block) => void;
  /** The block is dropped for good: no descriptor after those published by now names it. */
  readonly onDrop: (block: Block) => void;
}

interface FreeBlock {
  readonly block: Block;
  readonly logPosition: number;
}

/**
 * Where blocks come from and go to. Those of the largest size are used again, because shared memory that is dropped
 * lives on until every thread that saw it has collected its garbage; a busy table would leave a trail of gigabytes.
 * A block is overwritten only when its rows are in the store, every record in it is in the log, and no seal, merge or
 * flush reads it.
 */
export class BlockPool {
  readonly #firstId: number;
  readonly #events: BlockPoolEvents;
  /** Oldest first. */
  readonly #free: FreeBlock[] = [];
  #count = 0;
  /** Fewest free blocks in the window so far: so many nobody needed. */
  #freeMin = 0;
  #surplus = 0;
  #trims = 0;

  /** Ids count up from `firstId`. */
  constructor(firstId: number, events: BlockPoolEvents) {
    this.#firstId = firstId;
    this.#events = events;
  }

  /** Of the blocks that wait for their next use. */
  get freeBytes(): number {
    return this.#free.length * blockBytesMax;
  }

  /** A block of at least `bytes`, from the pool where `isDurable` takes the log position at which it was freed. */
  take(bytes: number, isDurable: (logPosition: number) => boolean): Block {
    const oldest = this.#free[0];
    if (bytes === blockBytesMax && oldest !== undefined && isDurable(oldest.logPosition)) {
      this.#free.shift();
      this.#freeMin = Math.min(this.#freeMin, this.#free.length);
      const { block } = oldest;
      block.used = 0;
      block.isFreed = false;
      return block;
    }
    const buffer = new SharedArrayBuffer(bytes);
    const id = this.#firstId + this.#count++;
    const block = { id, buffer, bytes: new Uint8Array(buffer), used: 0, readers: 0, isFreed: false };
    this.#events.onBlock(block);
    return block;
  }

  /** No record in the block is needed any more; all that was written into it is in the log at `logPosition`. */
  free(block: Block, logPosition: number): void {
    assert(!block.isFreed, "a block is freed once");
    block.isFreed = true;
    if (block.readers === 0) this.#keep(block, logPosition);
  }

  /** A slice that names the block was given back. */
  readerDone(block: Block, logPosition: number): void {
    assert(block.readers > 0, "a slice is given back once");
    block.readers--;
    if (block.isFreed && block.readers === 0) this.#keep(block, logPosition);
  }

  /** To be called about every second: drops a few of the blocks that nobody has needed for some calls. */
  trim(): void {
    if (++this.#trims % trimsPerWindow === 0) {
      this.#surplus = this.#freeMin;
      this.#freeMin = this.#free.length;
    }
    const count = Math.min(this.#surplus, droppedPerTrimMax, this.#free.length);
    this.#surplus -= count;
    for (const { block } of this.#free.splice(0, count)) this.#events.onDrop(block);
    this.#freeMin = Math.min(this.#freeMin, this.#free.length);
  }

  #keep(block: Block, logPosition: number): void {
    if (block.bytes.length === blockBytesMax) this.#free.push({ block, logPosition });
    else this.#events.onDrop(block);
  }
}
