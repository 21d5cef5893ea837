/** Values of the first sort column in one row group: all of them lie in [lower, upper]. */
export interface GroupRange {
  readonly lower: bigint;
  readonly upper: bigint;
  readonly rows: number;
}

/**
 * Where to cut a merge so that each slice has about `sliceRows` rows: ascending values, of which the first slice holds
 * what is below the first, the next one what is below the second, and so on; none where one slice will do.
 *
 * ```
 * row groups   |-------- a --------|      |-- c --|
 *                      |------- b -------|
 * rows per     . . . . : : : : : : . . .  : : : : :     what overlaps adds up
 * cuts                   ^            ^        ^
 * ```
 * Rows are taken to lie evenly within their row group, so that slices are about, not at most, as large as wanted. Equal
 * values stay in one slice.
 */
export function planSlices(groups: readonly GroupRange[], sliceRows: number): bigint[] {
  const filled = groups.filter(({ rows }) => rows > 0);
  const total = filled.reduce((sum, { rows }) => sum + rows, 0);
  const slices = Math.round(total / sliceRows);
  const [first] = filled;
  if (first === undefined || slices < 2) return [];
  const origin = filled.reduce((lowest, { lower }) => (lower < lowest ? lower : lowest), first.lower);
  const cuts: bigint[] = [];
  let density = 0;
  let rows = 0;
  let last = 0;
  for (const { at, change } of densityChanges(filled, origin)) {
    const next = rows + density * (at - last);
    // Every cut that falls between the last change and this one.
    for (;;) {
      const wanted = ((cuts.length + 1) * total) / slices;
      if (cuts.length + 1 >= slices || wanted > next || density <= 0) break;
      cuts.push(origin + BigInt(Math.round(last + (wanted - rows) / density)));
    }
    rows = next;
    density += change;
    last = at;
  }
  const end = filled.reduce((highest, { upper }) => (upper > highest ? upper : highest), first.upper);
  return cuts.filter((cut, index) => cut > origin && cut <= end && cut !== cuts[index - 1]);
}

interface DensityChange {
  /** From the lowest value of all. Beyond 2^53 it is rounded: cuts need not be exact. */
  readonly at: number;
  /** Rows per value, more or fewer from there on. */
  readonly change: number;
}

function densityChanges(groups: readonly GroupRange[], origin: bigint): DensityChange[] {
  const changes: DensityChange[] = [];
  for (const { lower, upper, rows } of groups) {
    const from = Number(lower - origin);
    const to = Math.max(Number(upper - origin) + 1, from + Math.max(1, from * Number.EPSILON * 2));
    changes.push({ at: from, change: rows / (to - from) }, { at: to, change: -rows / (to - from) });
  }
  return changes.toSorted((left, right) => left.at - right.at);
}
