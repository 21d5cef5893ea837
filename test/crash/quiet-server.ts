/**
 * A server that commits nothing by itself, in lives that end by kill -9: what a failpoint meets is the request of a test. The
 * data folder goes from life to life.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FailpointName } from "../../src/shared/failpoints.js";
import { HttpClient } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

const flags = ["flush", "compaction", "garbage", "retention"].flatMap((name) => [`--${name}-interval-ms`, "86400000"]);

/** Every place of a commit, or what is enough of them by default. */
export const areAllPlaces = Number(process.env["MINIODB_TEST_FAILPOINT_KILLS"] ?? 1) >= 5;

/** What a life is started with that ends where it passes the place for the `count`-th time. */
export function armed(place: FailpointName, count: number): Readonly<Record<string, string>> {
  return { MINIODB_FAILPOINT: `${place}:${count}:kill` };
}

interface LifeEnd {
  /** At which pass of the place, from 1. */
  readonly count?: number;
  readonly next?: Readonly<Record<string, string>>;
}

export class QuietServer {
  readonly folder = mkdtempSync(join(tmpdir(), "miniodb-crash-"));
  /** Of the life that is lived. */
  readonly client: HttpClient;
  readonly #env: Readonly<Record<string, string>>;
  #life: ServerProcess | undefined;
  /** What the life that is lived was armed with. */
  #armed = "";

  /** `env` is of every life. */
  constructor(env: Readonly<Record<string, string>> = {}) {
    this.#env = env;
    this.client = new HttpClient(() => this.#life?.url ?? "");
  }

  /** The next life, after the end of the one before. */
  async start(env: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.#life?.kill();
    this.#armed = env["MINIODB_FAILPOINT"] ?? "";
    this.#life = await ServerProcess.start({ folder: this.folder, flags, env: { ...this.#env, ...env } });
  }

  /**
   * A life that ends where the request passes the place for the first time, or the `count`-th: the present one where it was
   * started so, else a new one. Then the start of the next, which may be armed for the next end: a start less.
   */
  async dieAt(place: FailpointName, request: () => Promise<unknown>, end: LifeEnd = {}): Promise<void> {
    const { count = 1, next = {} } = end;
    const env = armed(place, count);
    if (this.#armed !== env["MINIODB_FAILPOINT"]) await this.start(env);
    await this.dieIn(request, next);
  }

  /** The end of a life that began armed, in the request, and the start of the next, armed or not. */
  async dieIn(request: () => Promise<unknown>, next: Readonly<Record<string, string>> = {}): Promise<void> {
    await assert.rejects(request(), "the server dies before it answers");
    assert.equal((await this.#life?.exit)?.signal, "SIGKILL");
    await this.start(next);
  }

  /** A drain, which has to end well after all that. */
  async stop(): Promise<void> {
    assert.deepEqual(await this.#life?.stop(), { code: 0, signal: null });
  }

  async dispose(): Promise<void> {
    await this.#life?.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
