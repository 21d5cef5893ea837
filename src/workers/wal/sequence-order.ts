import { assert } from "../../shared/assert.js";

/** A run of sequences that no record brought. */
export interface SequenceGap {
  readonly firstSequence: number;
  readonly lastSequence: number;
}

interface HeldRecord<T> {
  readonly firstSequence: number;
  readonly rowCount: number;
  readonly item: T;
}

/**
 * Puts the records of one table into the order of their sequences. In the log they may stand twice (written again
 * after a failed sync, or copied forward) and later than their successors (copied forward).
 */
export class SequenceOrder<T> {
  /** The next sequence to be delivered. */
  nextSequence: number;
  readonly #deliver: (item: T, skipRows: number) => void;
  /** By first sequence; all beyond `nextSequence`. */
  readonly #held = new Map<number, HeldRecord<T>>();

  /**
   * `afterSequence` is the last one that is not wanted (flushed). `deliver` is called in order of sequence;
   * `skipRows` is above 0 only where a record begins before what is wanted.
   */
  constructor(afterSequence: number, deliver: (item: T, skipRows: number) => void) {
    this.nextSequence = afterSequence + 1;
    this.#deliver = deliver;
  }

  /** Records that wait for the ones before them. */
  get heldCount(): number {
    return this.#held.size;
  }

  /** Takes a record; `keep` makes the item, and is called only if the record is new. False for a duplicate. */
  offer(firstSequence: number, rowCount: number, keep: () => T): boolean {
    assert(rowCount > 0, "only records with rows have an order");
    if (firstSequence + rowCount <= this.nextSequence) return false;
    if (firstSequence > this.nextSequence) {
      const held = this.#held.get(firstSequence);
      if (held !== undefined && held.rowCount >= rowCount) return false;
      this.#held.set(firstSequence, { firstSequence, rowCount, item: keep() });
      return true;
    }
    this.#pass({ firstSequence, rowCount, item: keep() });
    while (this.#held.size > 0) {
      const next = this.#held.get(this.nextSequence);
      if (next === undefined) break;
      this.#held.delete(next.firstSequence);
      this.#pass(next);
    }
    return true;
  }

  /** At the end of the log: delivers what was held aside, in order, and names the gaps before it. */
  finish(): SequenceGap[] {
    const gaps: SequenceGap[] = [];
    for (const held of [...this.#held.values()].toSorted((a, b) => a.firstSequence - b.firstSequence)) {
      if (held.firstSequence + held.rowCount <= this.nextSequence) continue;
      if (held.firstSequence > this.nextSequence) {
        gaps.push({ firstSequence: this.nextSequence, lastSequence: held.firstSequence - 1 });
        this.nextSequence = held.firstSequence;
      }
      this.#pass(held);
    }
    this.#held.clear();
    return gaps;
  }

  #pass(record: HeldRecord<T>): void {
    const skipRows = this.nextSequence - record.firstSequence;
    this.nextSequence = record.firstSequence + record.rowCount;
    this.#deliver(record.item, skipRows);
  }
}
