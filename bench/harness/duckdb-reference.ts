/** The bench's side of R, DuckDB in a process of its own (references/duckdb-process.ts). */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { ReferenceAnswers, ReferenceOptions, ReferenceReply, ReferenceTask } from "../references/duckdb-job.js";

type TaskOf<Kind extends ReferenceTask["kind"]> = Omit<Extract<ReferenceTask, { readonly kind: Kind }>, "kind">;

export class DuckDBReference {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async open(options: ReferenceOptions): Promise<DuckDBReference> {
    const child = fork(fileURLToPath(new URL("../references/duckdb-process.js", import.meta.url)), {
      // As many queries at once as the server has workers for by default, so that 64 clients do not queue for libuv.
      env: { ...process.env, UV_THREADPOOL_SIZE: "8" },
    });
    const reference = new DuckDBReference(child);
    await reference.ask("open", { options });
    return reference;
  }

  /** One task at a time. */
  ask<Kind extends ReferenceTask["kind"]>(kind: Kind, task: TaskOf<Kind>): Promise<ReferenceAnswers[Kind]> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null): void => reject(new Error(`R ended with code ${code}`));
      this.#child.once("exit", onExit);
      this.#child.once("message", (reply: ReferenceReply) => {
        this.#child.off("exit", onExit);
        if (reply.kind === "failed") reject(new Error(`R: ${reply.message}`));
        // R answers the task that it was given with that task's answer.
        else resolve(reply.answer as ReferenceAnswers[Kind]);
      });
      this.#child.send({ kind, ...task });
    });
  }

  close(): void {
    this.#child.disconnect();
  }
}
