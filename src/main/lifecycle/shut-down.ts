import type { Logger } from "../../shared/log.js";
import type { MainDoorbell } from "../../shared/ring/doorbell.js";
import type { LiveService } from "../live/live-service.js";
import type { QueryService } from "../query/query-service.js";
import type { HttpServer } from "../sockets/http-server.js";
import type { ClaimKeeper } from "./claim-keeper.js";
import type { FolderLock } from "./data-folder.js";
import type { Engine } from "./engine.js";
import type { IngestWorkers } from "./ingest-workers.js";
import type { PersistPools } from "./persist-pool.js";
import type { WalThread } from "./wal-thread.js";

export interface RunningParts {
  readonly server: HttpServer;
  readonly queries: QueryService;
  readonly live: LiveService;
  readonly engine: Engine;
  readonly ingest: IngestWorkers;
  readonly wal: WalThread;
  readonly pools: PersistPools;
  readonly claim: ClaimKeeper;
  readonly mainBell: MainDoorbell;
  readonly lock: FolderLock;
}

/**
 * The end, in order: refuse, finish what is under way, close the log, let the folder go. Rows that are not flushed stay
 * in the log. Each step has its share of `drainMs`; what is not done by then was not acknowledged, or is in the log.
 */
export async function shutDown(parts: RunningParts, limits: { drainMs: number; log: Logger }): Promise<void> {
  const { server, queries, live, engine, ingest, wal, pools, claim, mainBell, lock } = parts;
  const { drainMs, log } = limits;
  const deadlineMs = Date.now() + drainMs;
  const left = (): number => Math.max(0, deadlineMs - Date.now());
  engine.refuseWrites();
  const isDrained = await server.close(left());
  if (!isDrained) log.warn({ drainMs }, "requests were cut off at shutdown.drainMs");
  await within(left(), live.stop());
  await within(left(), engine.stop());
  // The last commit is made.
  await within(left(), claim.stop());
  await within(left() + stepMsMin, ingest.stop());
  await within(left() + stepMsMin, wal.stop());
  // From here on nothing can be lost, whatever a native library makes of the end of its thread.
  await within(stepMsMin, queries.close(left()));
  await within(stepMsMin, pools.close());
  mainBell.close();
  lock.release();
}

/** Even after the drain time each thread gets this long to close what it has open. */
const stepMsMin = 2000;

/** Waits for the work, but no longer than `timeoutMs`: the process ends anyway. */
async function within(timeoutMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}
