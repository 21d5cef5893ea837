/**
 * The one table of options: key (dotted, as in the YAML file), type, default, bounds and help. Everything else about
 * an option derives from its row: the environment name and the flag from the key, the unit from the key's last word
 * (`Bytes`, `Ms`), the type of `Config`, the validation, `--help` and the table in the README.
 *
 * ```
 * key              wal.segmentBytes
 * YAML             wal: { segmentBytes: 64 MiB }
 * environment      MINIODB_WAL_SEGMENT_BYTES=64MiB
 * flag             --wal-segment-bytes 67108864
 * ```
 */
import { compactionOptions } from "./compaction-options.js";
import { backupOptions } from "./backup-options.js";
import { encryptionOptions } from "./encryption-options.js";
import { mirrorOptions } from "./mirror-options.js";
import { boolean, choice, integer, type Machine, type Option, string } from "./option-types.js";

const kib = 1024;
const mib = 1024 * kib;
const gib = 1024 * mib;
const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

const ingestWorkersAuto = {
  help: "one less than the cores, at least 1 and at most 4",
  resolve: (machine: Machine) => Math.max(1, Math.min(4, machine.cores - 1)),
};
/** Up to the default of wal.bytesMax: with more, an outage of the store would end at the log's bound. */
const bufferedAuto = {
  help: "a quarter of the machine's memory, at most 4 GiB",
  resolve: (machine: Machine) => Math.max(256 * mib, Math.min(4 * gib, Math.floor(machine.memoryBytes / 4))),
};
const queryMemoryAuto = {
  help: "a quarter of the machine's memory",
  resolve: (machine: Machine) => Math.max(64 * mib, Math.floor(machine.memoryBytes / 4)),
};
const queryThreadsAuto = { help: "one per core", resolve: (machine: Machine) => Math.max(1, machine.cores) };

export const options = {
  dataFolder: string({ default: "./data", help: "Folder of the log, the hot segments and the embedded warehouse." }),
  nodeId: string({ default: "", help: "Name of this node in replies and logs; empty: the host name." }),

  "http.host": string({ default: "127.0.0.1", help: "Address to listen on; 0.0.0.0 for every interface." }),
  "http.port": integer({
    default: 8081,
    min: 0,
    max: 65_535,
    legacyEnv: ["REST_PORT"],
    help: "Port of REST and WebSocket; 0 takes a free one.",
  }),
  "http.bodyBytesMax": integer({ default: 64 * mib, min: kib, max: gib, help: "Largest body as it is sent." }),
  "http.inflatedBytesMax": integer({
    default: 256 * mib,
    min: kib,
    max: 2 * gib - 1,
    help: "Largest body after its Content-Encoding is undone.",
  }),
  "http.slowClientTimeoutMs": integer({
    default: 5 * second,
    min: 100,
    // uWebSockets.js closes a silent connection after 8 to 12 s; the reply 408 must be earlier.
    max: 7 * second,
    help: "Longest pause inside a body; a longer one is answered 408.",
  }),
  "http.bodyRateMin": integer({
    default: kib,
    min: 0,
    max: 100 * mib,
    help: "Slowest body in bytes per second; a slower one is answered 408.",
  }),
  "http.webSocketIdleMs": integer({
    default: 2 * minute,
    min: 8 * second,
    max: 16 * minute,
    help: "A WebSocket that neither sends nor answers pings for so long is closed; in steps of 4 s.",
  }),
  "http.connectionsMax": integer({ default: 10_000, min: 1, max: 1_000_000, help: "Open connections." }),
  "http.inFlightPerConnectionMax": integer({
    default: 64,
    min: 1,
    max: 65_535,
    help: "Batches of one WebSocket that may wait for their acknowledgement.",
  }),

  "sockets.implementation": choice({
    choices: ["auto", "uws", "node"],
    default: "auto",
    help: "uWebSockets.js, node:http with ws, or the first of the two that loads.",
  }),

  "ingest.workers": integer({
    default: 0,
    min: 0,
    max: 64,
    auto: ingestWorkersAuto,
    help: "Threads that decode; each table is owned by one.",
  }),
  "ingest.ringBytes": integer({
    default: 16 * mib,
    // A frame takes half of a ring at the most: see limits.inlineBodyBytesMax.
    min: 4 * mib,
    max: gib,
    help: "Ring of small bodies from the main thread to one ingest worker; rounded down to a power of two.",
  }),
  "ingest.slabBytes": integer({
    default: 256 * mib,
    min: mib,
    max: gib,
    help: "Shared memory for bodies that arrive in more than one chunk, http.bodyBytesMax or more; rounded down to a power of two.",
  }),
  "ingest.bufferedBytesMax": integer({
    default: 0,
    min: 0,
    max: 64 * gib,
    auto: bufferedAuto,
    help: "Rows of all tables that are not flushed yet, which are in memory; above it writes are answered 503.",
  }),
  "ingest.walPendingBytesMax": integer({
    default: 64 * mib,
    min: mib,
    max: 4 * gib,
    help: "Records of one ingest worker that wait for the log; above it the worker stops reading its ring.",
  }),

  "wal.segmentBytes": integer({ default: 64 * mib, min: mib, max: gib, help: "Size of one log segment." }),
  "wal.bytesMax": integer({
    default: 4 * gib,
    min: 2 * mib,
    max: 1024 * gib,
    help: "All log segments; above it writes are answered 503 until a flush trims the log.",
  }),
  "wal.batchIdWindowMs": integer({ default: day, min: 0, max: 30 * day, help: "How long a batch id is remembered." }),
  "wal.batchIdsMax": integer({
    default: 1_000_000,
    min: 0,
    max: 100_000_000,
    help: "How many batch ids each ingest worker remembers; of all together, those that a restart brings back.",
  }),

  "flush.bytes": integer({
    default: 64 * mib,
    min: 64 * kib,
    max: 4 * gib,
    help: "Buffered bytes that start a flush of a table.",
  }),
  "flush.rows": integer({
    default: 1_000_000,
    min: 1,
    max: 100_000_000,
    help: "Buffered rows that start a flush of a table.",
  }),
  "flush.intervalMs": integer({
    default: minute,
    min: 100,
    max: day,
    help: "Age of the oldest buffered row that starts a flush.",
  }),
  "flush.partitionsMax": integer({
    default: 100,
    min: 1,
    max: 10_000,
    help: "Day partitions that a flush has in files on this machine at once; those of more days go in rounds.",
  }),
  "flush.workers": integer({ default: 1, min: 1, max: 16, help: "Threads that encode Parquet and commit." }),

  "seal.tailRowsMax": integer({
    default: 8_000,
    min: 1,
    max: 1_000_000,
    help: "Rows that a hot segment may have to be encoded again with newer ones; larger ones are left as they are.",
  }),
  "seal.hotSegmentsMax": integer({
    default: 8,
    min: 1,
    max: 1_000,
    help: "Hot segments of a table before they are merged.",
  }),

  "query.workers": integer({ default: 1, min: 1, max: 16, help: "Threads that drive DuckDB and encode results." }),
  "query.concurrency": integer({ default: 8, min: 1, max: 64, help: "Queries that run at once on one query worker." }),
  "query.queueMax": integer({
    default: 128,
    min: 0,
    max: 100_000,
    help: "Queries that wait; above it the answer is 503.",
  }),
  "query.timeoutMs": integer({
    default: minute,
    min: 1,
    max: day,
    help: "Longest run of one query, its wait included.",
  }),
  "query.memoryBytes": integer({
    default: 0,
    min: 0,
    max: 1024 * gib,
    auto: queryMemoryAuto,
    help: "Memory of DuckDB; above it DuckDB spills to the data folder.",
  }),
  "query.spillBytesMax": integer({
    default: 10 * gib,
    min: 0,
    max: 1024 * gib,
    help: "Disk that queries may spill to when their memory does not do.",
  }),
  "query.threads": integer({ default: 0, min: 0, max: 256, auto: queryThreadsAuto, help: "Threads of DuckDB." }),
  "query.rowsMax": integer({ default: 1_000_000, min: 1, max: 100_000_000, help: "Most rows of one result." }),
  "query.resultBytesMax": integer({
    default: 256 * mib,
    min: kib,
    max: 2 * gib - 1,
    help: "Largest result that is made in memory.",
  }),
  "query.resultFileBytesMax": integer({
    default: 16 * gib,
    min: kib,
    max: 1024 * gib,
    help: "Largest result that goes to the client by way of a file in the data folder.",
  }),
  "query.cacheBytes": integer({
    default: 64 * mib,
    min: 0,
    max: 64 * gib,
    help: "Memory for results that are sent again while their tables have not changed; 0: none are kept.",
  }),
  "query.cursorsMax": integer({
    default: 256,
    min: 1,
    max: 100_000,
    help: "Results that are kept for further pages; the ones not paged through go first.",
  }),
  "query.cursorAgeMs": integer({
    default: 5 * minute,
    min: second,
    max: day,
    help: "Time that a result is kept for its next page.",
  }),
  "query.cursorBytesMax": integer({
    default: 4 * gib,
    min: 0,
    max: 1024 * gib,
    help: "Disk for the kept results that need a file of their own.",
  }),
  "query.slowMs": integer({
    default: second,
    min: 0,
    max: day,
    help: "Queries that take longer are logged with their plan; 0: none.",
  }),

  "live.subscriptionsMax": integer({
    default: 1_000,
    min: 0,
    max: 100_000,
    help: "Live queries of all connections; above it the answer is SERVER_BUSY.",
  }),
  "live.subscriptionsPerConnectionMax": integer({
    default: 16,
    min: 1,
    max: 10_000,
    help: "Live queries of one WebSocket.",
  }),
  "live.intervalMs": integer({
    default: 25,
    min: 1,
    max: minute,
    help: "Shortest time between two looks for new rows of a table with live queries.",
  }),
  "live.messageBytesMax": integer({
    default: mib,
    min: kib,
    max: 64 * mib,
    help: "Size from which a message with rows of a live query ends.",
  }),
  "live.retainBytes": integer({
    default: 256 * mib,
    min: mib,
    max: 1024 * gib,
    help: "Rows of all tables that are kept on disk for live queries that lag or resume.",
  }),
  "live.retainMs": integer({
    default: 5 * minute,
    min: second,
    max: day,
    help: "How long such rows are kept, and rows go on being kept after a table's last live query.",
  }),
  "live.slowMs": integer({
    default: 30 * second,
    min: 100,
    max: hour,
    help: "A live query whose client takes nothing for so long, while there are rows for it, is ended.",
  }),

  "cache.bytesMax": integer({
    default: 10 * gib,
    min: 64 * kib,
    max: 64 * 1024 * gib,
    help: "Files of a remote store that are kept on this machine; a query that reads more than that is refused.",
  }),
  "cache.folder": string({
    default: "",
    help: "Folder of these files, which two servers cannot share; empty: cache in the data folder.",
  }),
  "cache.fetchesMax": integer({
    default: 16,
    min: 1,
    max: 256,
    help: "Files that are fetched at once; together they take at most 128 MiB of memory.",
  }),

  "store.bucket": string({
    default: "",
    legacyEnv: ["MINIO_BUCKET"],
    help: "Bucket of the tables, on S3 or a server that speaks its protocol; empty: the folder warehouse in the data folder.",
  }),
  "store.prefix": string({ default: "", help: "Folder in the bucket below which all objects lie; empty: all of it." }),
  "store.endpoint": string({
    default: "",
    legacyEnv: ["MINIO_ENDPOINT"],
    help: "URL of the S3 server, or its host:port (see store.tls); empty: AWS.",
  }),
  "store.tls": boolean({
    default: false,
    legacyEnv: ["MINIO_USE_SSL"],
    help: "https to an endpoint that is given without http:// or https://.",
  }),
  "store.region": string({ default: "us-east-1", help: "Region of the bucket." }),
  "store.addressing": choice({
    choices: ["auto", "path", "host"],
    default: "auto",
    help: "Bucket in the path of URLs or in their host name; auto: host for AWS, else path.",
  }),
  "store.accessKeyId": string({
    default: "",
    legacyEnv: ["MINIO_ACCESS_KEY"],
    help: "Static credentials; empty: those of the environment, a profile, a web identity, the container or the instance, as AWS's SDKs find and refresh them.",
  }),
  "store.secretAccessKey": string({
    default: "",
    legacyEnv: ["MINIO_SECRET_KEY"],
    help: "Of the static credentials; a flag shows in the list of processes, the environment does not.",
  }),
  "store.sessionToken": string({ default: "", help: "Of static credentials that are temporary." }),
  "store.caFile": string({
    default: "",
    help: "PEM file of certificates that are trusted beside the public ones.",
  }),
  "store.connectionsMax": integer({
    default: 32,
    min: 1,
    max: 1_024,
    help: "Connections to the store of one persist thread.",
  }),
  "store.connectTimeoutMs": integer({
    default: 5 * second,
    min: 10,
    max: 10 * minute,
    help: "Longest wait for a connection.",
  }),
  "store.idleTimeoutMs": integer({
    default: 20 * second,
    min: 10,
    max: hour,
    help: "A request on whose connection nothing moves for so long is given up, and repeated where that is safe.",
  }),
  "store.startTimeoutMs": integer({
    default: 10 * minute,
    min: 0,
    max: hour,
    help: "How long a start waits for a store that does not answer.",
  }),
  "store.multipartBytes": integer({
    default: 64 * mib,
    min: 5 * mib,
    max: 4 * gib,
    help: "Files larger than this are uploaded in parts.",
  }),
  "store.partBytes": integer({
    default: 16 * mib,
    min: 5 * mib,
    max: gib,
    help: "Size of a part; four are uploaded at once, and are in memory.",
  }),

  "store.claimMs": integer({
    default: minute,
    min: second,
    max: hour,
    help: "On a store without conditional puts and without Redis: a server that was not heard of for so long is gone.",
  }),

  "redis.host": string({
    default: "",
    legacyEnv: ["REDIS_HOST"],
    help: "Redis that orders the commits of several servers on a store without conditional puts; empty: none.",
  }),
  "redis.port": integer({
    default: 6379,
    min: 1,
    max: 65_535,
    legacyEnv: ["REDIS_PORT"],
    help: "Port of Redis.",
  }),
  "redis.username": string({ default: "", help: "Name for Redis' access control lists; empty: its default user." }),
  "redis.password": string({ default: "", legacyEnv: ["REDIS_PASSWORD"], help: "Password for Redis." }),
  "redis.db": integer({ default: 0, min: 0, max: 65_535, legacyEnv: ["REDIS_DB"], help: "Number of its database." }),
  "redis.tls": boolean({ default: false, help: "TLS to Redis." }),
  ...mirrorOptions,
  ...backupOptions,
  ...encryptionOptions,

  ...compactionOptions,

  "retention.intervalMs": integer({
    default: 10 * minute,
    min: 100,
    max: day,
    help: "Time between two looks for days that are older than their table's retention_days.",
  }),

  "snapshots.keep": integer({ default: 20, min: 1, max: 10_000, help: "Snapshots of a table that are kept at least." }),
  "snapshots.maxAgeMs": integer({
    default: 5 * day,
    min: 0,
    max: 3650 * day,
    help: "Age after which further snapshots expire.",
  }),
  "garbage.graceMs": integer({
    default: hour,
    min: 0,
    max: 365 * day,
    help: "Age before a file that no snapshot names is removed; longer than any query or commit, and than query.cursorAgeMs.",
  }),
  "garbage.intervalMs": integer({
    default: 10 * minute,
    min: second,
    max: 30 * day,
    help: "Time between two collections.",
  }),

  "tables.autoCreate": boolean({ default: true, help: "The first write to an unknown table creates it." }),
  "tables.max": integer({ default: 1_000, min: 1, max: 100_000, help: "Tables of this warehouse." }),

  "shutdown.drainMs": integer({
    default: 10 * second,
    min: 0,
    max: hour,
    help: "Time that SIGTERM gives requests under way before the process ends.",
  }),

  "log.level": choice({
    choices: ["trace", "debug", "info", "warn", "error", "fatal", "silent"],
    default: "info",
    help: "Least severe level that is logged.",
  }),
  "log.format": choice({ choices: ["json", "text"], default: "json", help: "JSON lines, or text for people." }),
} as const satisfies Record<string, Option>;

export type OptionKey = keyof typeof options;
