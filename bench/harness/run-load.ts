/** Runs one job in a load process and watches the server's process during the measured window. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { FromLoad, LoadJob, LoadResult, ToLoad } from "../load/job.js";
import { type ProcessSample, sampleProcess } from "./sample-process.js";

const loadProcess = fileURLToPath(new URL("../load/load-process.js", import.meta.url));

export interface RunLoadOptions {
  /** Watched during the window; null where it cannot be. */
  readonly serverPid: number | null;
  /** Runs beside the load from the window's begin; the result waits for it. */
  readonly beside?: (window: { readonly durationMs: number }) => Promise<void>;
}

export interface LoadRun extends LoadResult {
  /** Processor time of the server in the window, in cores; null where it cannot be read. */
  readonly serverCores: number | null;
  /** What the server used per measured request, in microseconds of processor time. */
  readonly serverMicrosPerRequest: number | null;
  /** Processors that the hypervisor gave to others meanwhile; null where that cannot be read. */
  readonly stolenCores: number | null;
}

/** Throws when a reply was neither an acceptance nor a refusal that asks to come again. */
export async function runLoad(job: LoadJob, options: RunLoadOptions): Promise<LoadRun> {
  const child = fork(loadProcess, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const send = (message: ToLoad) => child.send(message);
  const samples: ProcessSample[] = [];
  const sample = () => {
    const taken = options.serverPid === null ? null : sampleProcess(options.serverPid);
    if (taken !== null) samples.push(taken);
  };
  let beside: Promise<void> | undefined;
  const result = await new Promise<LoadResult>((resolve, reject) => {
    child.on("message", (message: FromLoad) => {
      if (message.kind === "ready") send({ kind: "go" });
      if (message.kind === "window-begins") {
        sample();
        beside = options.beside?.({ durationMs: job.durationMs });
        // Its failure is seen where it is awaited, below.
        beside?.catch(() => {});
      }
      if (message.kind === "window-ends") sample();
      if (message.kind === "result") resolve(message.result);
      if (message.kind === "failed") reject(new Error(message.message));
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => reject(new Error(`the load process ended with ${signal ?? code}`)));
    send({ kind: "prepare", job });
  });
  await beside;
  if (result.failures > 0) {
    throw new Error(`${result.failures} requests failed, the first with: ${result.firstFailure}`);
  }
  return { ...result, ...serverUse(samples, result) };
}

function serverUse([begin, end]: readonly ProcessSample[], result: LoadResult) {
  if (begin === undefined || end === undefined) {
    return { serverCores: null, serverMicrosPerRequest: null, stolenCores: null };
  }
  const cpuMs = end.cpuMs - begin.cpuMs;
  return {
    serverCores: cpuMs / (end.atMs - begin.atMs),
    serverMicrosPerRequest: (cpuMs * 1000) / Math.max(1, result.requests),
    stolenCores: (end.stolenMs - begin.stolenMs) / (end.atMs - begin.atMs),
  };
}
