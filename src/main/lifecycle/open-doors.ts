import { join } from "node:path";
import type { Config } from "../../shared/config.js";
import { limits } from "../../shared/limits.js";
import type { Logger } from "../../shared/log.js";
import type { SlabAllocator } from "../../shared/ring/slab-allocator.js";
import { CompactionRoutes } from "../protocols/rest/compaction-routes.js";
import { BackupRoutes } from "../protocols/rest/backup-routes.js";
import { DeleteRoutes } from "../protocols/rest/delete-routes.js";
import { QueryControlRoutes } from "../protocols/rest/query-control-routes.js";
import { QueryRoutes } from "../protocols/rest/query-routes.js";
import { restHandler } from "../protocols/rest/router.js";
import { StatusRoutes } from "../protocols/rest/status-routes.js";
import { TableLifeRoutes } from "../protocols/rest/table-life-routes.js";
import { TableRoutes } from "../protocols/rest/table-routes.js";
import { WriteRoutes } from "../protocols/rest/write-routes.js";
import { MutationService } from "../mutate/mutation-service.js";
import { LiveReader } from "../live/live-reader.js";
import { LiveService } from "../live/live-service.js";
import { acceptSubscriber } from "../protocols/websocket/live-session.js";
import { acceptStream } from "../protocols/websocket/stream-session.js";
import { KeptResults } from "../query/kept-results.js";
import { QueryPool } from "../query/query-pool.js";
import { QueryService } from "../query/query-service.js";
import { ResultCache } from "../query/result-cache.js";
import type { Doorway } from "./doorway.js";
import type { Engine } from "./engine.js";

export interface DoorOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly version: string;
  readonly slab: SlabAllocator;
  readonly doorway: Doorway;
  /** Secrets of encrypted columns. */
  readonly columnKeys: readonly Uint8Array[];
}

export interface Doors {
  readonly queries: QueryService;
  readonly live: LiveService;
}

/** Opens every protocol on the engine. When it returns, what clients ask is answered. */
export function openDoors(engine: Engine, options: DoorOptions): Doors {
  const { config, log, version, slab, doorway } = options;
  const { registry, tables, owners, flushes, writes, metrics, nodeId, retention, schemas, history } = engine;
  const onInternal = (error: unknown): void => log.error({ err: error }, "a request failed by a mistake of ours");
  const listSnapshots = (table: string) => engine.snapshots.list(table);
  const pool = openQueryPool(engine, options, onInternal);
  const queries = openQueries(engine, options, pool);
  metrics.watchQueries(queries);
  const live = openLive(engine, config, pool);
  const mutations = new MutationService({ registry, tables, writes, slab, queries });
  const countRows = (table: string): Promise<number> => mutations.countRows(table);
  const { bodyBytesMax } = config.http;
  const handler = restHandler({
    write: new WriteRoutes({ writes, slab, metrics, nodeId, mutations, onInternal }),
    table: new TableRoutes({
      registry,
      tables,
      schemas,
      hasColumnKeys: options.columnKeys.length > 0,
      owners,
      flushes,
      countRows,
      listSnapshots,
      onInternal,
    }),
    tableLife: new TableLifeRoutes({ registry, retention, schemas, history, onInternal }),
    compactions: new CompactionRoutes({ registry, compactions: engine.compactions, onInternal }),
    deletes: new DeleteRoutes({ deletes: engine.openDeletes(queries), mutations, onInternal }),
    query: new QueryRoutes({ queries, metrics, onInternal }),
    queryControl: new QueryControlRoutes(queries),
    backup: new BackupRoutes({ backups: engine.backups, restores: engine.restores, nodeId, onInternal }),
    status: new StatusRoutes({ version, metrics, health: () => engine.health(), onInternal }),
    onInternal,
  });
  const creditsMax = config.http.inFlightPerConnectionMax;
  const stream = { writes, slab, metrics, creditsMax, messageBytesMax: bodyBytesMax, onInternal };
  const subscriptionsMax = config.live.subscriptionsPerConnectionMax;
  const subscribers = { live, metrics, subscriptionsMax, onInternal };
  doorway.admit({
    handler,
    stream: (head) => acceptStream(head, stream),
    subscribe: (head) => acceptSubscriber(head, subscribers),
  });
  return { queries, live };
}

function openQueryPool(engine: Engine, options: DoorOptions, onError: (error: unknown) => void): QueryPool {
  const { query } = options.config;
  const { folder } = engine;
  return new QueryPool({
    workers: query.workers,
    concurrency: query.concurrency,
    memoryBytes: query.memoryBytes,
    threads: query.threads,
    spillBytesMax: query.spillBytesMax,
    resultBytesMax: query.resultBytesMax,
    resultFileBytesMax: query.resultFileBytesMax,
    temporaryFolder: join(folder.temp, "query"),
    readableFolders: [engine.files.folder, folder.hot, folder.live],
    columnKeys: options.columnKeys,
    onError,
  });
}

function openLive(engine: Engine, config: Config, pool: QueryPool): LiveService {
  const { live: tails, registry, metrics } = engine;
  const { messageBytesMax, subscriptionsMax, retainBytes, slowMs } = config.live;
  const reader = new LiveReader({ run: (task) => pool.runLive(task), pageBytesMax: messageBytesMax });
  const live = new LiveService({ tails, reader, registry, subscriptionsMax, retainBytes, slowMs });
  metrics.watchLive(live);
  return live;
}

function openQueries(engine: Engine, options: DoorOptions, pool: QueryPool): QueryService {
  const { query } = options.config;
  const { files } = engine;
  const { queueMax, rowsMax, timeoutMs } = query;
  return new QueryService({
    pool,
    snapshots: engine.snapshots,
    files,
    cache: new ResultCache(query.cacheBytes, limits.cachedResultBytesMax),
    kept: new KeptResults({
      countMax: query.cursorsMax,
      bytesMax: query.cursorBytesMax,
      ageMsMax: query.cursorAgeMs,
    }),
    queueMax,
    rowsMax,
    timeoutMs,
    slowMs: query.slowMs,
    onSlow: (slow) => options.log.warn({ ...slow }, "slow query"),
  });
}
