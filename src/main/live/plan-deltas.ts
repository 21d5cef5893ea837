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

/**
 * How the rows of a span become deltas of at most `rowsMax` rows. No delta lies across a gap (sequences that damage took
 * from the log), so that row k of a delta always has the sequence `after + k`: that is what tokens are made of.
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
