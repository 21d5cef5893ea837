/** Checks of several tests after one kill of the server that they share: a start costs more than all of them. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { ServerProcess } from "./server-process.js";

export class AfterKill {
  #checks: { readonly name: string; readonly check: () => Promise<void> }[] = [];

  /** For the next kill; a check may add one for the kill after that. */
  add(name: string, check: () => Promise<void>): void {
    this.#checks.push({ name, check });
  }

  /** Kills the server and starts it again; each check is a test of its own. */
  async run(context: TestContext, server: ServerProcess): Promise<void> {
    const checks = this.#checks;
    assert.ok(checks.length > 0, "tests before this one have left checks");
    this.#checks = [];
    await server.kill();
    await server.restart();
    for (const { name, check } of checks) await context.test(name, check);
  }
}
