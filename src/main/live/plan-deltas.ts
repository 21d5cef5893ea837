import { parseRecordHeader, recordKinds } from "../../shared/formats/wal-record-v1.js";
import type { RecordSlice } from "../../shared/messages.js";

/** Sequences (after, through]. */
export interface SequenceSpan {
  readonly after: number;
  readonly through: number;
}

/** Both ends included. */
export interface SequenceGap {
  readonly firstSequence: number;
  readonly lastSequence: number;
}

/** Sequences of tombstones: no row has them, as none has those of a gap. */
export function tombstoneGaps({ blocks, spans }: RecordSlice): SequenceGap[] {
  const gaps: SequenceGap[] = [];
  const views = blocks.map((block) => new DataView(block));
  for (let span = 0; span < spans.length; span += 3) {
    const view = views[spans[span] as number];
    let offset = spans[span + 1] as number;
    const end = offset + (spans[span + 2] as number);
    while (view !== undefined && offset < end) {
      const header = parseRecordHeader(view, offset);
      if (header === undefined) break;
      const { kind, firstSequence, rowCount } = header;
      if (kind === recordKinds.tombstones) gaps.push({ firstSequence, lastSequence: firstSequence + rowCount - 1 });
      offset += header.length;
    }
  }
  return gaps;
}

/**
 * How the rows of a span become deltas of at most `rowsMax` rows. No delta lies across a gap (sequences that damage took
 * from the log, and those of tombstones), so that row k of a delta always has the sequence `after + k`: that is what tokens are made of.
 */
export function planDeltas(span: SequenceSpan, gaps: readonly SequenceGap[], rowsMax: number): SequenceSpan[] {
  const plan: SequenceSpan[] = [];
  const add = (from: number, to: number): void => {
    for (let after = from; after < to; after += rowsMax) plan.push({ after, through: Math.min(after + rowsMax, to) });
  };
  let { after } = span;
  for (const gap of gaps.toSorted((left, right) => left.firstSequence - right.firstSequence)) {
    if (gap.lastSequence <= after || gap.firstSequence > span.through) continue;
    add(after, gap.firstSequence - 1);
    after = Math.min(gap.lastSequence, span.through);
  }
  add(after, span.through);
  return plan;
}
