/** Turns of a measurement whose target is absolute, on a machine that others share. */

export interface Turns<Turn> {
  /** In the order of their time. */
  readonly all: readonly Turn[];
  /** Those that the verdict is made of. */
  readonly counted: readonly Turn[];
  /** What a reader must know of the choice; empty where all count. */
  readonly note: string;
}

/**
 * Processors that the hypervisor may give to others in a turn that counts, of a whole machine: what is asked is how the
 * server does on the processors that it has.
 */
const stolenCoresMax = 0.1;
/** Of an even number of turns the one with the lower figure of the two in the middle. */
export function middleOf<Turn>(turns: readonly Turn[], figureOf: (turn: Turn) => number): Turn {
  const sorted = turns.toSorted((left, right) => figureOf(left) - figureOf(right));
  return sorted[Math.floor((sorted.length - 1) / 2)] as Turn;
}

interface TurnCount {
  /** Calm turns that are enough. */
  readonly wanted: number;
  /** Turns after which the search for calm minutes ends. */
  readonly max: number;
}

/**
 * Repeats `take` until enough turns were calm: those count. Where the machine never is, all count, and the note says so.
 * `stolenCores` is null where that cannot be read; such a turn counts as calm.
 */
export async function takeTurns<Turn>(
  { wanted, max }: TurnCount,
  take: (index: number) => Promise<Turn>,
  stolenCores: (turn: Turn) => number | null,
): Promise<Turns<Turn>> {
  const all: Turn[] = [];
  const isCalm = (turn: Turn): boolean => (stolenCores(turn) ?? 0) <= stolenCoresMax;
  while (all.filter(isCalm).length < wanted && all.length < max) all.push(await take(all.length));
  const calm = all.filter(isCalm);
  const stolen = all.map((turn) => (stolenCores(turn) ?? 0).toFixed(2)).join(", ");
  if (calm.length === all.length) return { all, counted: all, note: "" };
  if (calm.length < wanted) {
    return { all, counted: all, note: `no calm machine: the hypervisor took ${stolen} cores in these turns` };
  }
  const note = `the ${calm.length} turns of ${all.length} count in which the hypervisor took at most ${stolenCoresMax} cores; it took ${stolen}`;
  return { all, counted: calm, note };
}
