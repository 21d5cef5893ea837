/** What a suite is given: durations for the mode, servers on the disk of the checkout, the references. */
import { fork } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { HttpClient } from "../../test/harness/http-client.js";
import { repositoryRoot } from "../../test/harness/repository-root.js";
import { ServerProcess } from "../../test/harness/server-process.js";
import type { LoadJob } from "../load/job.js";
import type { AppendSyncJob, AppendSyncResult } from "../references/append-sync-process.js";
import type { Measurement } from "./measurement.js";
import { type LoadRun, runLoad, type RunLoadOptions } from "./run-load.js";

export interface Suite {
  readonly name: string;
  /** In the order of the table's rows. */
  run(context: BenchContext): Promise<Measurement[]>;
}

/** A server of one suite with what is used to talk to it. */
export interface BenchServer {
  readonly process: ServerProcess;
  readonly client: HttpClient;
}

type JobOptions = Pick<LoadJob, "payload" | "table"> & Partial<LoadJob>;

export class BenchContext {
  readonly isQuick: boolean;
  readonly #folder: string;
  readonly #say: (text: string) => void;

  constructor(isQuick: boolean, say: (text: string) => void) {
    this.isQuick = isQuick;
    this.#say = say;
    // Not the system's temporary folder: that may be memory, and fdatasync would cost nothing.
    const cache = join(repositoryRoot, ".cache");
    mkdirSync(cache, { recursive: true });
    this.#folder = mkdtempSync(join(cache, "bench-"));
  }

  /** The duration of a full run, or of a quick one. */
  pick<Value>(full: Value, quick: Value): Value {
    return this.isQuick ? quick : full;
  }

  progress(text: string): void {
    this.#say(`  ${text}`);
  }

  /** A new folder on the disk of the servers, gone when the bench ends. */
  makeFolder(name: string): string {
    return mkdtempSync(join(this.#folder, `${name}-`));
  }

  /** Runs `use` on a fresh server and data folder, both gone afterwards. */
  async withServer<Result>(flags: readonly string[], use: (server: BenchServer) => Promise<Result>): Promise<Result> {
    const folder = this.makeFolder("data");
    try {
      return await this.withServerOn(folder, flags, use);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Runs `use` on a server over a data folder that stays. */
  async withServerOn<Result>(
    folder: string,
    flags: readonly string[],
    use: (server: BenchServer) => Promise<Result>,
  ): Promise<Result> {
    const nodeFlags = (process.env["MINIODB_BENCH_NODE_FLAGS"] ?? "").split(" ").filter((flag) => flag !== "");
    const server = await ServerProcess.start({ folder, flags, nodeFlags });
    try {
      return await use({ process: server, client: new HttpClient(() => server.url) });
    } catch (error) {
      throw new Error(`${String(error)}\nthe server's last output:\n${server.output.slice(-2000)}`, { cause: error });
    } finally {
      // A profile is written at an orderly end only.
      if (nodeFlags.length > 0) await server.stop();
      await server.dispose();
    }
  }

  /** R1: the sockets layer alone, which reads the body and replies. */
  async withSocketsOnly<Result>(use: (server: ServerProcess) => Promise<Result>): Promise<Result> {
    const mainFile = fileURLToPath(new URL("../references/sockets-only-process.js", import.meta.url));
    const server = await ServerProcess.start({ folder: this.#folder, mainFile, nodeFlags: [] });
    try {
      return await use(server);
    } finally {
      await server.dispose();
    }
  }

  /** R2: append and fdatasync of `groupBytes` at a time on the disk of the servers. */
  appendAndSync(groupBytes: number, durationMs: number): Promise<AppendSyncResult> {
    const child = fork(fileURLToPath(new URL("../references/append-sync-process.js", import.meta.url)));
    return new Promise((resolve, reject) => {
      child.once("message", resolve);
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the append loop ended with code ${code}`)));
      const job: AppendSyncJob = { folder: this.#folder, groupBytes: Math.max(1, Math.round(groupBytes)), durationMs };
      child.send(job);
    });
  }

  /** Load against a server; throws when SQL does not count exactly the rows that were acknowledged. */
  async load(server: BenchServer, options: JobOptions, more: Omit<RunLoadOptions, "serverPid"> = {}): Promise<LoadRun> {
    const run = await this.loadUnchecked(server.process, options, more);
    const counted = await server.client.count(options.table);
    if (counted !== run.acknowledgedRows) {
      throw new Error(`${run.acknowledgedRows} rows were acknowledged, SQL counts ${counted} in ${options.table}`);
    }
    return run;
  }

  /** Load without the count: for R1, and where another load writes to the same table. */
  async loadUnchecked(
    server: ServerProcess,
    options: JobOptions,
    more: Omit<RunLoadOptions, "serverPid"> = {},
  ): Promise<LoadRun> {
    const job: LoadJob = {
      url: server.url,
      transport: "http",
      rowsPerRequest: 1,
      connections: 64,
      inFlightPerConnection: 1,
      warmupMs: this.pick(2000, 500),
      durationMs: this.pick(10_000, 2000),
      requestsPerSecond: null,
      seed: 1,
      ...options,
    };
    const run = await runLoad(job, { serverPid: server.pid, ...more });
    const rows = (run.requests * job.rowsPerRequest * 1000) / run.elapsedMs;
    const generator = Math.round(run.generatorCores * 100);
    const used = run.serverCores === null ? "" : `, server ${Math.round(run.serverCores * 100)} % of a core`;
    this.progress(`${job.payload} × ${job.connections}: ${Math.round(rows)} rows/s, generator ${generator} %${used}`);
    return run;
  }

  dispose(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Of the measured window. */
export function requestsPerSecond(run: LoadRun): number {
  return (run.requests * 1000) / run.elapsedMs;
}
