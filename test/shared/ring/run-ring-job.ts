import { Worker, type TransferListItem } from "node:worker_threads";
import type { RingJob, RingJobResult } from "./ring-worker.js";

/** Runs one job of ring-worker.ts in a thread of its own. */
export function runRingJob(job: RingJob, transferList: TransferListItem[] = []): Promise<RingJobResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./ring-worker.js", import.meta.url), { workerData: job, transferList });
    worker.once("message", (result: RingJobResult) => {
      worker.terminate().then(() => resolve(result), reject);
    });
    worker.once("error", reject);
  });
}
