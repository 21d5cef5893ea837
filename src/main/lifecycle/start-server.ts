import { type Config, powerOfTwoAtMost } from "../../shared/config.js";
import type { Logger } from "../../shared/log.js";
import { MainDoorbell } from "../../shared/ring/doorbell.js";
import { SlabAllocator } from "../../shared/ring/slab-allocator.js";
import type { TableState } from "../../shared/messages.js";
import { columnKeysOf } from "../access/key-source.js";
import { openTable } from "../catalog/table-service.js";
import { ClaimKeeper } from "./claim-keeper.js";
import { dataFolderAt, takeDataFolder } from "./data-folder.js";
import { Doorway } from "./doorway.js";
import { Engine } from "./engine.js";
import { foreignLogs } from "./foreign-logs.js";
import { IngestWorkers } from "./ingest-workers.js";
import { openDoors } from "./open-doors.js";
import { openPersistPools } from "./persist-pool.js";
import { shutDown } from "./shut-down.js";
import { loadPatiently } from "./start-wait.js";
import { type OpenedLog, WalThread } from "./wal-thread.js";

export interface StartOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly version: string;
  /** The process cannot keep its promises any more and must end. */
  readonly onFatal: (error: unknown) => void;
}

export interface RunningServer {
  readonly url: string;
  stop(): Promise<void>;
}

const foreignLogWarning =
  "this node's log is new to tables that have rows of another log; what that one had not stored is on its disk only";

const unknownTablesWarning = "the log has rows of tables that the store does not have: they stay in it, and take room";

/**
 * The start, in order: folder, socket, store, log, tables, replay, query, requests. Until everything acknowledged is
 * readable the socket only says that the server is starting. Rejects with what went wrong; the data folder is then unchanged but for scratch.
 */
export async function startServer(options: StartOptions): Promise<RunningServer> {
  const { config, log, version, onFatal } = options;
  const startedMs = performance.now();
  const columnKeys = columnKeysOf(config);
  const folder = dataFolderAt(config.dataFolder);
  const lock = await takeDataFolder(folder);

  const doorway = await Doorway.open({ config, log, version });
  const pools = await openPersistPools(config, folder, log);
  const claim = new ClaimKeeper({ exclusion: pools.exclusion, pool: pools.quick, log, onLost: onFatal });
  const loading = loadPatiently(pools, { claim, doorway, log });

  const slab = new SlabAllocator(powerOfTwoAtMost(config.ingest.slabBytes));
  const mainBell = new MainDoorbell(() => engine?.drain());
  let engine: Engine | null = null;
  const ingest = new IngestWorkers({
    workers: config.ingest.workers,
    ringBytes: powerOfTwoAtMost(config.ingest.ringBytes),
    slab: slab.buffer,
    mainBell,
    walFolder: folder.wal,
    settings: {
      batchIdWindowMs: config.wal.batchIdWindowMs,
      batchIdsMax: config.wal.batchIdsMax,
      inflatedBytesMax: config.http.inflatedBytesMax,
      walPendingBytesMax: config.ingest.walPendingBytesMax,
      flushBytes: config.flush.bytes,
      flushRows: config.flush.rows,
      columnKeys,
    },
    onMessage: (worker, message) => engine?.onIngestMessage(worker, message),
    tablesOf: (worker) => (engine?.registry.all() ?? []).filter((entry) => entry.worker === worker).map(openTable),
    onDied: (link, error) => engine?.onWorkerDied(link, error),
    onReplaced: (link, ready) => engine?.onWorkerReplaced(link, ready),
    onFatal,
  });
  const wal = new WalThread(
    {
      folder: folder.wal,
      segmentBytes: config.wal.segmentBytes,
      walBytesMax: config.wal.bytesMax,
      batchIdWindowMs: config.wal.batchIdWindowMs,
      batchIdsMax: config.wal.batchIdsMax,
      mainBell,
    },
    {
      stalled: (message) => log.error({ reason: message }, "the log cannot be written; writes are refused"),
      resumed: () => log.info("the log can be written again"),
      died: onFatal,
    },
  );
  const [opened, states] = await Promise.all([wal.open(ingest.walLinks()), loading]);
  reportDamage(opened, log);
  for (const facts of foreignLogs(states, opened.stream)) log.warn(facts, foreignLogWarning);
  const unknown = unknownTables(states, opened.tables);
  if (unknown.length > 0) log.warn({ tables: unknown }, unknownTablesWarning);

  engine = new Engine({ config, log, version, folder, pools, slab, ingest, wal, stream: opened.stream, states });
  engine.start(await ingest.start(wal));
  // The first query is faster when the encoder is there; nothing waits for it.
  pools.quick.warmUp().catch((error: unknown) => log.error({ err: error }, "the encoder could not be loaded"));
  const { queries, live } = openDoors(engine, { config, log, version, slab, doorway, columnKeys });

  const { server } = doorway;
  const url = `http://${server.host}:${server.port}`;
  const startMs = Math.round(performance.now() - startedMs);
  log.info({ url, startMs, tables: states.length, sockets: server.implementation, ...pools.places }, "listening");
  const parts = { server, queries, live, engine, ingest, wal, pools, claim, mainBell, lock };
  return { url, stop: () => shutDown(parts, { drainMs: config.shutdown.drainMs, log }) };
}

function reportDamage({ quarantinedBytes: bytes, damagedDigests: files }: OpenedLog, log: Logger): void {
  if (bytes > 0) log.error({ bytes }, "damaged log records were copied to wal/quarantine");
  if (files === 0) return;
  log.error({ files }, "damaged files of batch ids are in wal/quarantine: repeats of their batches are not recognised");
}

/** Uuids; of a store that lost tables, or a pool that was promoted before it had them. */
function unknownTables(states: readonly TableState[], logged: readonly string[]): string[] {
  const known = new Set(states.map(({ identity }) => identity.uuid));
  return logged.filter((uuid) => !known.has(uuid));
}
