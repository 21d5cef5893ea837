/** How much later than asked for it may come, and from where on that does not matter. */
const tickMs = 50;
const exactMsMax = 2_000;

const waiting = new Set<CoarseTimeout>();
let ticks: NodeJS.Timeout | null = null;

/**
 * Calls `act` once, unless it is cleared before: for time limits that next to nobody reaches. All long ones of a thread
 * share one timer, as a timer of its own costs a small query 20 µs to start and to clear. A long one keeps no event loop
 * alive, and comes up to 50 ms late.
 */
export class CoarseTimeout {
  readonly #act: () => void;
  readonly #exact: NodeJS.Timeout | null;
  /** By the monotonic clock. */
  readonly #atMs: number;

  constructor(timeoutMs: number, act: () => void) {
    this.#act = act;
    this.#atMs = performance.now() + timeoutMs;
    this.#exact = timeoutMs <= exactMsMax ? setTimeout(act, timeoutMs) : null;
    if (this.#exact !== null) return;
    waiting.add(this);
    ticks ??= setInterval(lookAtAll, tickMs).unref();
  }

  clear(): void {
    if (this.#exact === null) waiting.delete(this);
    else clearTimeout(this.#exact);
  }

  /** Acts if its time has come. */
  look(nowMs: number): void {
    if (nowMs < this.#atMs) return;
    waiting.delete(this);
    this.#act();
  }
}

function lookAtAll(): void {
  const nowMs = performance.now();
  for (const timeout of waiting) timeout.look(nowMs);
  // Not before, as the next query would start it again.
  if (waiting.size > 0 || ticks === null) return;
  clearInterval(ticks);
  ticks = null;
}
