import type { TableEntry } from "../catalog/table-entry.js";

export interface LogHoldOptions {
  /** mirror.holdLog, where there is a second pool. */
  readonly isWanted: boolean;
  readonly walBytesMax: number;
  readonly walBytes: () => number;
  /** The log may forget the table's rows up to here. */
  readonly letGo: (entry: TableEntry, sequence: number) => void;
  /** The log grew so far that it waits no longer. */
  readonly onReleased: () => void;
}

/** Shares of wal.bytesMax: writes must not be refused because a mirror is away. */
const releasedShare = 0.75;
const heldAgainShare = 0.5;

/**
 * Decides when the log may forget rows that a commit covers: at once, or when the second pool has the commit too. Then a
 * server that goes on with the second pool alone, as it was when the first was lost, has all rows that it acknowledged.
 */
export class LogHold {
  readonly #options: LogHoldOptions;
  #isHolding: boolean;

  constructor(options: LogHoldOptions) {
    this.#options = options;
    this.#isHolding = options.isWanted;
  }

  /** A commit in the first pool covers the table up to here. */
  flushed(entry: TableEntry, sequence: number): void {
    if (!this.#isHolding) this.#options.letGo(entry, sequence);
  }

  /** The second pool has the table up to here. */
  mirrored(entry: TableEntry, sequence: number): void {
    if (this.#isHolding && sequence > 0) this.#options.letGo(entry, sequence);
  }

  /** To be called a few times a second. */
  tick(entries: () => readonly TableEntry[]): void {
    const { isWanted, walBytesMax, walBytes, letGo, onReleased } = this.#options;
    if (!isWanted) return;
    if (!this.#isHolding) {
      this.#isHolding = walBytes() < walBytesMax * heldAgainShare;
      return;
    }
    if (walBytes() <= walBytesMax * releasedShare) return;
    this.#isHolding = false;
    onReleased();
    for (const entry of entries()) letGo(entry, entry.flushedSequence);
  }
}
