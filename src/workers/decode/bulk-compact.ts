import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import { columnTypeTable } from "../../shared/schema/column-type.js";
import { clearBit, isBitSet, setBit } from "./bulk-bits.js";

/** Rows [base, base + count) of a builder, of which those with a number other than 0 in `rejects` go. */
export interface CompactRange {
  readonly base: number;
  readonly count: number;
  /** By row, from `base`. */
  readonly rejects: Uint32Array;
}

/**
 * Moves the rows of a column that stay down over those that go. The column holds all rows of the range; bits of the
 * validity bitmap past the new length are set again, as ColumnBuilder has them.
 */
export function compactColumn(column: ColumnBuilder, range: CompactRange): void {
  const { base, count, rejects } = range;
  const width = columnTypeTable[column.type].width;
  const bitmaps = [column.validity, width === 0 ? column.bits : null].filter((bitmap) => bitmap !== null);
  let kept = 0;
  for (let from = 0; from < count;) {
    if (rejects[from] !== 0) {
      from++;
      continue;
    }
    let to = from + 1;
    while (to < count && rejects[to] === 0) to++;
    if (from !== kept) {
      if (width === 8) column.ints.copyWithin((base + kept) * 2, (base + from) * 2, (base + to) * 2);
      else if (width === -1) moveText(column, { target: base + kept, from: base + from, to: base + to });
      for (const bitmap of bitmaps) moveBits(bitmap, { target: base + kept, from: base + from, to: base + to });
    }
    kept += to - from;
    from = to;
  }
  column.length = base + kept;
  if (column.validity === null) return;
  for (let row = base + kept; row < base + count; row++) setBit(column.validity, row);
  column.nullCount = 0;
  for (let row = 0; row < column.length; row++) if (!isBitSet(column.validity, row)) column.nullCount++;
}

/** Rows [from, to) of a builder go to `target`, which is before them. */
interface Move {
  readonly target: number;
  readonly from: number;
  readonly to: number;
}

/** The rows' texts and their offsets; offsets[target] is right already, it is the end of the row before. */
function moveText(column: ColumnBuilder, { target, from, to }: Move): void {
  const { offsets, text } = column;
  const textFrom = offsets[from] as number;
  const textTarget = offsets[target] as number;
  text.copyWithin(textTarget, textFrom, offsets[to]);
  for (let row = from; row < to; row++) {
    offsets[target + row - from + 1] = (offsets[row + 1] as number) - textFrom + textTarget;
  }
}

/** Bit by bit: rejects are few, or the batch has worse problems than speed. */
function moveBits(bits: Uint8Array, { target, from, to }: Move): void {
  for (let row = from; row < to; row++) {
    if (isBitSet(bits, row)) setBit(bits, target + row - from);
    else clearBit(bits, target + row - from);
  }
}
