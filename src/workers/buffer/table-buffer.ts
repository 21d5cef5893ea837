import { assert } from "../../shared/assert.js";
import { recordKinds, type RowsKind } from "../../shared/formats/wal-record-v1.js";
import type { RecordSlice } from "../../shared/messages.js";
import type { Block } from "./block-pool.js";

/** Where one rows record lies and which rows it holds. */
export interface BufferedRecord {
  readonly kind: RowsKind;
  readonly block: Block;
  readonly offset: number;
  readonly length: number;
  readonly firstSequence: number;
  readonly rowCount: number;
  /** Position in this worker's log: durable once the WAL thread has published a number at or above it. */
  readonly logPosition: number;
  readonly createdMs: number;
}

export interface BufferSlice {
  readonly slice: RecordSlice;
  /** Those that the slice names, in its order. */
  readonly blocks: Block[];
  /** Some of its records replace or delete rows. */
  readonly isReplacing: boolean;
}

/**
 * The rows of one table that no commit covers yet, as the records they were logged in, in sequence order:
 *
 * ```
 *   flushed │ record │ record │ record │ record │  next sequence
 *           └ durable ───────────────▶ └ in the log's queue
 * ```
 */
export class TableBuffer {
  readonly #records: BufferedRecord[] = [];
  #flushedSequence: number;
  #lastSequence: number;
  #rows = 0;
  #bytes = 0;

  constructor(flushedSequence: number) {
    this.#flushedSequence = flushedSequence;
    this.#lastSequence = flushedSequence;
  }

  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get lastSequence(): number {
    return this.#lastSequence;
  }

  get flushedSequence(): number {
    return this.#flushedSequence;
  }

  /** When the oldest row that is still here arrived; 0 when there is none. */
  get oldestMs(): number {
    return this.#records[0]?.createdMs ?? 0;
  }

  append(record: BufferedRecord): void {
    assert(record.firstSequence === this.#lastSequence + 1, "records continue the sequence");
    assert(record.rowCount > 0, "a rows record has rows");
    this.#push(record, record.rowCount);
  }

  /**
   * A record that the log gave back. It may begin before what is wanted (its first `skipRows` rows are in the store: readers
   * cut them off), or leave a gap where damage took records; the replay has reported that.
   */
  appendReplayed(record: BufferedRecord, skipRows: number): void {
    assert(record.firstSequence + skipRows > this.#lastSequence, "the replay brings each row once, in order");
    this.#push(record, record.rowCount - skipRows);
  }

  #push(record: BufferedRecord, rows: number): void {
    this.#records.push(record);
    this.#lastSequence = record.firstSequence + record.rowCount - 1;
    this.#rows += rows;
    this.#bytes += record.length;
  }

  /** The last sequence in a record that `isVisible` takes, counted from the front: visibility has no gaps. */
  visibleSequence(isVisible: (record: BufferedRecord) => boolean): number {
    for (let index = this.#records.length - 1; index >= 0; index--) {
      const record = this.#records[index];
      if (record !== undefined && isVisible(record)) return record.firstSequence + record.rowCount - 1;
    }
    return this.#flushedSequence;
  }

  /** All records, in the order of their sequences; the first may begin in what is flushed. */
  get records(): readonly BufferedRecord[] {
    return this.#records;
  }

  /** The records that hold any of the sequences in (after, last]; blocks are named once. */
  slice(afterSequence: number, lastSequence: number): BufferSlice {
    const blocks: Block[] = [];
    const blockIndex = new Map<Block, number>();
    const spans: number[] = [];
    let isReplacing = false;
    for (let index = this.#firstAfter(afterSequence); index < this.#records.length; index++) {
      const record = this.#records[index];
      if (record === undefined || record.firstSequence > lastSequence) break;
      let at = blockIndex.get(record.block);
      if (at === undefined) {
        at = blocks.push(record.block) - 1;
        blockIndex.set(record.block, at);
      }
      spans.push(at, record.offset, record.length);
      if (record.kind !== recordKinds.rows) isReplacing = true;
    }
    const slice = { blocks: blocks.map(({ buffer }) => buffer), spans: Int32Array.from(spans) };
    return { slice, blocks, isReplacing };
  }

  /**
   * A commit covers everything up to `sequence`: those records go. Returns the blocks that no record needs any more;
   * the last block stays while records may still be written to it.
   */
  forget(sequence: number): Block[] {
    assert(sequence <= this.#lastSequence, "only what was logged is flushed");
    if (sequence <= this.#flushedSequence) return [];
    const count = this.#firstAfter(sequence);
    const gone = this.#records.splice(0, count);
    for (const { firstSequence, rowCount } of gone) {
      this.#rows -= firstSequence + rowCount - 1 - Math.max(firstSequence - 1, this.#flushedSequence);
    }
    this.#flushedSequence = sequence;
    const kept = this.#records[0]?.block;
    const freed = new Set<Block>();
    for (const record of gone) {
      this.#bytes -= record.length;
      if (record.block !== kept) freed.add(record.block);
    }
    return [...freed];
  }

  blocks(): Set<Block> {
    return new Set(this.#records.map((record) => record.block));
  }

  /** Position of the first record whose last row is after `sequence`. */
  #firstAfter(sequence: number): number {
    let low = 0;
    let high = this.#records.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const record = this.#records[middle];
      assert(record !== undefined, "the search stays inside the records");
      if (record.firstSequence + record.rowCount - 1 <= sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
