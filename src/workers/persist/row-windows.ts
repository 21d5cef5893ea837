import { flatBytes, flatSizes, flatten, type FlatSizes } from "./flatten.js";
import type { PieceSelection } from "./gather.js";
import { sortRowsByWords, sortScratchBytes, sortScratchOf } from "./radix-sort.js";
import { giveBackMemory, takeMemory } from "./spare-memory.js";
import type { TypedRows } from "./typed-rows.js";

export interface RowsToWrite {
  readonly rows: TypedRows;
  /** Row numbers in output order; null: the rows' own order. */
  readonly order: Uint32Array | null;
  /** Positions [from, to) of the order, at least one. */
  readonly from: number;
  readonly to: number;
}

/**
 * The rows to write, at most `rowsMax` at a time. Reordered rows of a window are copied into one part first, in the
 * order in which they lie in their parts, and the window's order says which of them comes when:
 *
 * ```
 * order    ... | 70 11 71 10 30 | ...       a window of 5 row numbers
 * copy           10 11 30 70 71             pieces 10-11, 30, 70-71: blocks where rows lie side by side
 * order           3  1  4  0  2             of the window, into the copy
 * ```
 * Picking rows one by one out of many parts costs about as much as encoding them (a dependent load per part, column and
 * row); out of one part, a tenth of it. The copy is of one window, so that a flush holds its rows once, not twice.
 * A window is valid until the next one.
 */
export function* windowsOf(source: RowsToWrite, rowsMax: number): Generator<RowsToWrite, undefined> {
  const { rows, order } = source;
  const spare = new WindowMemory();
  try {
    for (let from = source.from; from < source.to; from += rowsMax) {
      const to = Math.min(source.to, from + rowsMax);
      yield order === null ? { rows, order, from, to } : copyWindow(rows, order.subarray(from, to), spare);
    }
  } finally {
    spare.giveBack();
  }
}

class WindowMemory {
  #memory: ArrayBuffer | null = null;

  atLeast(bytes: number): ArrayBuffer {
    if (this.#memory !== null && this.#memory.byteLength >= bytes) return this.#memory;
    this.giveBack();
    this.#memory = takeMemory(bytes);
    return this.#memory;
  }

  giveBack(): void {
    if (this.#memory !== null) giveBackMemory(this.#memory);
    this.#memory = null;
  }
}

function copyWindow(rows: TypedRows, wanted: Uint32Array, spare: WindowMemory): RowsToWrite {
  const rowCount = wanted.length;
  const { pieces, order } = piecesOf(rows, wanted, spare.atLeast(sortScratchBytes(rowCount)));
  const sizes = rows.columns.map((column) => flatSizes(column, pieces));
  const memory = spare.atLeast(sizes.reduce((sum, size) => sum + flatBytes(size), 0));
  let at = 0;
  const columns = rows.columns.map((column, index) => {
    const size = sizes[index] as FlatSizes;
    const views = [flatten(column, pieces, { memory, at, size })];
    at += flatBytes(size);
    return { ...column, views };
  });
  const copy = { rowCount, starts: Uint32Array.of(0, rowCount), froms: Uint32Array.of(0), columns };
  return { rows: copy, order, from: 0, to: rowCount };
}

interface WindowPieces {
  readonly pieces: PieceSelection;
  /** Of the window, into its pieces one after the other. */
  readonly order: Uint32Array;
}

function piecesOf({ starts, froms }: TypedRows, wanted: Uint32Array, memory: ArrayBuffer): WindowPieces {
  const rowCount = wanted.length;
  const positions = new Uint32Array(rowCount);
  for (let position = 0; position < rowCount; position++) positions[position] = position;
  sortRowsByWords(positions, wanted, sortScratchOf(memory, 0, rowCount));
  const order = new Uint32Array(rowCount);
  const pieces = new Uint32Array(rowCount * 3);
  let next = 0;
  let part = 0;
  let end = 0;
  let last = -2;
  for (let at = 0; at < rowCount; at++) {
    const position = positions[at] as number;
    order[position] = at;
    const row = wanted[position] as number;
    if (row === last + 1 && row < end) {
      pieces[next - 1] = (pieces[next - 1] as number) + 1;
    } else {
      while ((starts[part + 1] as number) <= row) part++;
      end = starts[part + 1] as number;
      pieces[next++] = part;
      pieces[next++] = row - (starts[part] as number) + (froms[part] as number);
      pieces[next++] = 1;
    }
    last = row;
  }
  return { pieces: { rowCount, pieces: pieces.subarray(0, next) }, order };
}
