import { availableParallelism } from "node:os";
import type { DuckDBConnection } from "@duckdb/node-api";
import { MiniodbError } from "../../shared/errors.js";
import { MergeControl } from "../../shared/merge-control.js";
import { checkStop, type PersistContext } from "./persist-context.js";

/** DuckDB forgets an interrupt that comes between two statements, so that it is said again until the merge ends. */
const lookMs = 50;

/** How a merge runs: with how many threads, how far it is, and whether somebody wants it to end. */
export class MergeRun {
  readonly #threads: number;
  readonly #context: PersistContext;
  readonly #control: MergeControl;
  #from = 0;
  #through = 0;

  constructor(context: PersistContext, options: { readonly threads?: number; readonly control?: SharedArrayBuffer }) {
    this.#context = context;
    this.#threads = options.threads ?? 1;
    this.#control = options.control === undefined ? new MergeControl() : new MergeControl(options.control);
  }

  /**
   * Of DuckDB, for what begins now. While writes come in they have one processor for themselves: a thread of the write path
   * waits for one that is busy until whoever computes there has had its slice of 3 ms, whatever their priorities (Linux
   * 6.18), and a write goes through four threads. Beside a merge on both of two processors one-row writes had a p99 of 11 to
   * 15 ms, on one of them 3 to 4 ms, without a merge 1.8 ms.
   */
  get threads(): number {
    if (!this.#control.areWritesComing) return this.#threads;
    return Math.min(this.#threads, Math.max(1, availableParallelism() - 1));
  }

  /** What follows brings the merge from where it is to here, per mille. */
  enter(through: number): void {
    this.check();
    this.#control.reach(this.#through);
    this.#from = this.#through;
    this.#through = through;
  }

  /** Throws SHUTTING_DOWN when the server stops, or when the merge was cancelled. */
  check(): void {
    checkStop(this.#context);
    if (this.#control.isCancelled) throw new MiniodbError("SHUTTING_DOWN", "the merge was cancelled");
  }

  /**
   * Runs `work` on the connection; it ends soon after the merge was cancelled or the server began to stop, with
   * SHUTTING_DOWN.
   */
  async watch<Result>(connection: DuckDBConnection, work: () => Promise<Result>): Promise<Result> {
    await connection.run("SET enable_progress_bar_print = false");
    await connection.run("SET enable_progress_bar = true");
    const timer = setInterval(() => this.#look(connection), lookMs);
    try {
      this.check();
      return await work();
    } catch (error) {
      // Whatever DuckDB makes of the interrupt.
      this.check();
      throw error;
    } finally {
      clearInterval(timer);
    }
  }

  #look(connection: DuckDBConnection): void {
    try {
      this.check();
    } catch {
      connection.interrupt();
      return;
    }
    // -1 where DuckDB cannot tell.
    const share = Math.max(0, connection.progress.percentage) / 100;
    this.#control.reach(this.#from + (this.#through - this.#from) * Math.min(1, share));
  }
}
