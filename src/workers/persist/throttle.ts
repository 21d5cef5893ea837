/** Spreads bytes over time: whoever takes more than the rate allows waits, in the order of coming. */
export class Throttle {
  readonly #bytesPerSecond: number;
  readonly #sleep: (ms: number) => Promise<void>;
  readonly #nowMs: () => number;
  /** Until then what was taken so far keeps the rate busy. */
  #busyUntilMs = 0;

  /** A rate of 0 is none: nobody waits. */
  constructor(
    bytesPerSecond: number,
    clock: { readonly sleep: (ms: number) => Promise<void>; readonly nowMs: () => number },
  ) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#sleep = clock.sleep;
    this.#nowMs = clock.nowMs;
  }

  /** Resolves when these bytes may go. */
  async take(bytes: number): Promise<void> {
    if (this.#bytesPerSecond === 0) return;
    const nowMs = this.#nowMs();
    const startMs = Math.max(nowMs, this.#busyUntilMs);
    this.#busyUntilMs = startMs + (bytes / this.#bytesPerSecond) * 1000;
    if (startMs > nowMs) await this.#sleep(startMs - nowMs);
  }
}
