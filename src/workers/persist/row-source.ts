import { assert } from "../../shared/assert.js";
import type { ColumnBatch } from "../../shared/columns/column-batch.js";
import { parseRows } from "../../shared/formats/wal-record-v1-parse.js";
import {
  isRowsKind,
  parseRecordHeader,
  recordKinds,
  viewOf,
  type RowsKind,
} from "../../shared/formats/wal-record-v1.js";
import type { RecordSlice } from "../../shared/messages.js";

/**
 * Rows of many batches, numbered through in sequence order. Nothing is copied: parts are views on the blocks.
 *
 * ```
 * batches   [ . . x x x x ]   [ x x x ]   [ x x x x . ]      . = outside of the wanted sequences
 * row             0 1 2 3       4 5 6       7 8 9 10
 * starts          0             4           7        11
 * ```
 */
export interface RowSource {
  readonly rowCount: number;
  readonly parts: readonly SourcePart[];
  /** First row number of each part, then `rowCount`. */
  readonly starts: Uint32Array;
}

export interface SourcePart {
  readonly batch: ColumnBatch;
  /** The batch's rows [from, to) are part of the source. */
  readonly from: number;
  readonly to: number;
}

export function rowSourceOf(parts: readonly SourcePart[]): RowSource {
  const kept = parts.filter((part) => part.from < part.to);
  const starts = new Uint32Array(kept.length + 1);
  let rowCount = 0;
  for (const [index, part] of kept.entries()) {
    starts[index] = rowCount;
    rowCount += part.to - part.from;
  }
  starts[kept.length] = rowCount;
  return { rowCount, parts: kept, starts };
}

/** Sequences (after, through]. */
export interface SequenceRange {
  readonly afterSequence: number;
  readonly lastSequence: number;
}

/** The rows, or tombstones, that a range takes of one record. */
export interface RecordPart extends SourcePart {
  readonly kind: RowsKind;
  /** Of the batch's first row, be it in the part or not. */
  readonly firstSequence: number;
}

/**
 * The rows of the slice's records with sequences in the range, as they were accepted: those that later ones replace are among
 * them. There may be fewer rows than sequences: tombstones are no rows, and what the log lost to damage leaves a gap.
 */
export function rowsInRange(slice: RecordSlice, range: SequenceRange): RowSource {
  return rowSourceOf(recordsInRange(slice, range).filter(isOfRows));
}

/** False for tombstones. */
export function isOfRows({ kind }: RecordPart): boolean {
  return kind !== recordKinds.tombstones;
}

/** What the range takes of the slice's records, in the order of sequences; a record that straddles an end is cut. */
export function recordsInRange(slice: RecordSlice, range: SequenceRange): RecordPart[] {
  const parts: RecordPart[] = [];
  let last = range.afterSequence;
  for (const { bytes, offset } of recordsOf(slice)) {
    const header = parseRecordHeader(viewOf(bytes), offset);
    assert(header !== undefined, "a record starts here");
    const { kind, firstSequence, rowCount } = header;
    if (!isRowsKind(kind)) continue;
    const from = Math.max(0, range.afterSequence + 1 - firstSequence);
    const to = Math.min(rowCount, range.lastSequence + 1 - firstSequence);
    if (from >= to) continue;
    assert(firstSequence + from > last, "records come in the order of their sequences");
    last = firstSequence + to - 1;
    parts.push({ kind, firstSequence, batch: parseRows(bytes, offset).batch, from, to });
  }
  return parts;
}

/** Where each record of the slice starts; a span holds one record or several in a row. */
function* recordsOf(slice: RecordSlice): Generator<{ readonly bytes: Uint8Array; readonly offset: number }> {
  const blocks = slice.blocks.map((block) => new Uint8Array(block));
  for (let span = 0; span < slice.spans.length; span += 3) {
    const bytes = blocks[slice.spans[span] as number];
    assert(bytes !== undefined, "a span names a block of its slice");
    let offset = slice.spans[span + 1] as number;
    const end = offset + (slice.spans[span + 2] as number);
    while (offset < end) {
      const header = parseRecordHeader(viewOf(bytes), offset);
      assert(header !== undefined && offset + header.length <= end, "a span holds whole records");
      yield { bytes, offset };
      offset += header.length;
    }
  }
}
