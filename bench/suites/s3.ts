/**
 * The same server with its tables in a local folder and on a real S3 server on loopback, in one run. The S3 server is a
 * process on the same cores and the same disk.
 */
import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { S3FaultProxy } from "../../test/harness/s3-fault-proxy.js";
import { listKeys, type S3TestServer, startS3Server, whyNoS3Server } from "../../test/harness/s3-server.js";
import { cpuTable } from "../generate/cpu.js";
import { Generator } from "../generate/generator.js";
import { type BenchContext, type BenchServer, requestsPerSecond, type Suite } from "../harness/bench-context.js";
import { expectRows, flushTable, sendBody } from "../harness/load-table.js";
import { formatCount, formatMegabytes, formatPercent, type Measurement, verdict } from "../harness/measurement.js";
import { percentile } from "../harness/percentiles.js";
import { sendQuery } from "../harness/query-http.js";
import { S3Loops } from "../harness/s3-loops.js";
import { S3Transfers } from "../harness/s3-transfers.js";

const ingestShareMin = 0.9;
const flushShareMin = 0.8;
const coldRatioMax = 1.3;
const rowsPerBody = 100_000;
const contentType = "application/vnd.apache.arrow.stream";
/** Rows wait for the flush that is timed; merges would change the files. */
const heldFlags = [
  ["--flush-rows", "100000000", "--flush-bytes", "4GiB", "--flush-interval-ms", "1d"],
  ["--ingest-buffered-bytes-max", "8GiB", "--wal-bytes-max", "8GiB"],
  ["--compaction-interval-ms", "1d", "--query-cache-bytes", "0"],
].flat();
const burstFlags = ["--ingest-buffered-bytes-max", "4GiB", "--wal-bytes-max", "8GiB"];

export const s3: Suite = {
  name: "s3",
  async run(context) {
    const missing = await whyNoS3Server();
    if (missing !== false) throw new Error(missing);
    const server = await startS3Server();
    try {
      return [
        await measureIngest(context, server),
        ...(await measureFiles(context, server)),
        await measureCommits(context, server),
        await measureRequests(context, server),
      ];
    } finally {
      await server.stop();
    }
  },
};

/** Options of the store as flags; the credentials are the test's. */
function storeFlags(server: S3TestServer, bucket: string, endpoint: string = server.endpoint): string[] {
  return [
    ["--store-bucket", bucket, "--store-endpoint", endpoint, "--store-region", server.region],
    ["--store-access-key-id", server.accessKeyId, "--store-secret-access-key", server.secretAccessKey],
  ].flat();
}

/** Both servers are up and take turns, flushes and all, each into tables of its own. */
async function measureIngest(context: BenchContext, s3Server: S3TestServer): Promise<Measurement> {
  const flags = storeFlags(s3Server, await s3Server.createBucket());
  const rates = { local: [] as number[], s3: [] as number[] };
  await context.withServer(burstFlags, (local) =>
    context.withServer([...burstFlags, ...flags], async (remote) => {
      for (let turn = 0; turn < context.pick(3, 2); turn++) {
        for (const [kind, server] of [
          ["local", local],
          ["s3", remote],
        ] as const) {
          const table = `turn_${turn}`;
          const durationMs = context.pick(8000, 2000);
          const job = { payload: "ndjson", table, rowsPerRequest: 1000, connections: 16, durationMs } as const;
          rates[kind].push(requestsPerSecond(await context.load(server, job)) * job.rowsPerRequest);
          // So that what this turn left to flush is not in the other's time.
          await flushTable(server, table);
        }
      }
    }),
  );
  const [local, remote] = [mean(rates.local), mean(rates.s3)];
  return {
    measure: "tables on S3: NDJSON batches of 1,000 rows, flushed meanwhile",
    target: `≥ ${formatPercent(ingestShareMin)} of a local folder`,
    reached: `${formatCount(remote)} rows/s = ${formatPercent(remote / local)}`,
    reference: `local folder ${formatCount(local)} rows/s`,
    verdict: verdict(remote >= ingestShareMin * local),
    note: `turns ${rates.s3.map(formatCount).join(", ")} and ${rates.local.map(formatCount).join(", ")}; the S3 server works on the same cores`,
  };
}

/** A timed flush of all rows, then queries by nodes that have none of the files. */
async function measureFiles(context: BenchContext, s3Server: S3TestServer): Promise<Measurement[]> {
  const rows = context.pick(4_000_000, 300_000);
  const bucket = await s3Server.createBucket();
  const flags = [...heldFlags, ...storeFlags(s3Server, bucket)];
  const generator = await Generator.open(context.makeFolder("generator"));
  const fill = (server: BenchServer) => fillTable(server, generator, rows);
  const localMs = await context.withServer(heldFlags, fill);
  const flushMs = await context.withServer(flags, async (server) => {
    await sendBody(server, "/v1/tables/tiny/rows", "application/x-ndjson", '{"id":"one"}');
    await flushTable(server, "tiny");
    return fill(server);
  });
  generator.close();

  const keys = (await listKeys(s3Server, bucket, "cpu-")).filter((key) => key.endsWith(".parquet"));
  const transfers = await measureTransfers(context, s3Server, { bucket, keys });
  const { bytes, putMs, getMs } = transfers;
  const share = putMs / flushMs;
  const rate = (ms: number): string => `${formatMegabytes((bytes * 1000) / ms)}/s`;
  const cold = await measureCold(context, flags, rows);
  const floorMs = getMs + cold.warmMs;
  const uploadShare = putMs / transfers.uploadMs;
  const loops = "both took turns, the best of 3 each";
  return [
    {
      measure: `flush of ${formatCount(rows)} rows, ${keys.length} files, ${formatMegabytes(bytes)}, to S3`,
      target: `≥ ${formatPercent(flushShareMin)} of a plain parallel PUT loop`,
      reached: `${rate(flushMs)} = ${formatPercent(share)}`,
      reference: `PUT loop ${rate(putMs)}`,
      verdict: verdict(share >= flushShareMin),
      note: `with sorting and Parquet, ${flushMs.toFixed(0)} ms; to a local folder ${localMs.toFixed(0)} ms = ${rate(localMs)}; the loop ${putMs.toFixed(0)} ms`,
    },
    {
      measure: "the upload of these files alone, from disk, as a flush does it",
      target: `≥ ${formatPercent(flushShareMin)} of a plain parallel PUT loop`,
      reached: `${rate(transfers.uploadMs)} = ${formatPercent(uploadShare)}`,
      reference: `PUT loop ${rate(putMs)}`,
      verdict: verdict(uploadShare >= flushShareMin),
      note: `${loops}; the upload reads files and has checksums, the loop has its bytes in memory`,
    },
    {
      measure: `cold query over all of them, ${formatMegabytes(bytes)}`,
      target: `≤ ${coldRatioMax} × (plain parallel GET loop + warm query)`,
      reached: `${cold.coldMs.toFixed(0)} ms = ${(cold.coldMs / floorMs).toFixed(2)} ×`,
      reference: `GET loop ${getMs.toFixed(0)} ms + warm ${cold.warmMs.toFixed(0)} ms`,
      verdict: verdict(cold.coldMs <= coldRatioMax * floorMs),
      note: "every column of every row is read; best of 3 each, each cold one by a node that has none of the files",
    },
    {
      measure: "the fetch of these files alone, to disk, as the file cache does it",
      target: "",
      reached: `${rate(transfers.fetchMs)}, ${transfers.fetchMs.toFixed(0)} ms`,
      reference: `GET loop ${rate(getMs)}, ${getMs.toFixed(0)} ms`,
      verdict: "info",
      note: `${loops}; the fetch writes files and has checksums, the loop gathers the bytes in memory`,
    },
  ];
}

interface Transfers {
  readonly bytes: number;
  /** Of the plain loops. */
  readonly putMs: number;
  readonly getMs: number;
  readonly uploadMs: number;
  readonly fetchMs: number;
}

/** The bytes of these objects up and down, by plain loops and by the server's own code, in turns. */
async function measureTransfers(
  context: BenchContext,
  s3Server: S3TestServer,
  { bucket, keys }: { readonly bucket: string; readonly keys: readonly string[] },
): Promise<Transfers> {
  const loops = new S3Loops(s3Server, bucket);
  const transfers = await S3Transfers.open(context.makeFolder("transfers"), storeFlags(s3Server, bucket));
  const { bodies } = await loops.get(keys);
  const objects = (await loops.sizes(keys)).map((bytes, index) => ({ key: keys[index] ?? "", bytes }));
  const best = { putMs: Infinity, getMs: Infinity, uploadMs: Infinity, fetchMs: Infinity };
  for (let turn = 0; turn < 3; turn++) {
    best.getMs = Math.min(best.getMs, (await loops.get(keys)).elapsedMs);
    best.fetchMs = Math.min(best.fetchMs, await transfers.get(objects));
    best.putMs = Math.min(best.putMs, await loops.put(bodies, `loop-${randomUUID()}`));
    best.uploadMs = Math.min(best.uploadMs, await transfers.put(bodies, `upload-${randomUUID()}`));
  }
  loops.close();
  return { ...best, bytes: objects.reduce((sum, object) => sum + object.bytes, 0) };
}

/** Milliseconds of the flush of rows that were all acknowledged before. */
async function fillTable(server: BenchServer, generator: Generator, rows: number): Promise<number> {
  const table = cpuTable(rows);
  for (let from = 0; from < rows; from += rowsPerBody) {
    const body = await generator.arrow(table, from, Math.min(rows, from + rowsPerBody));
    await sendBody(server, `/v1/tables/${table.name}/rows`, contentType, body);
  }
  const startMs = performance.now();
  await flushTable(server, table.name);
  const elapsedMs = performance.now() - startMs;
  await expectRows(server, table.name, rows);
  return elapsedMs;
}

async function measureCold(context: BenchContext, flags: readonly string[], rows: number) {
  const sql = "SELECT count(*) AS n, bit_xor(hash(COLUMNS(*))) FROM cpu";
  let coldMs = Infinity;
  let warmMs = Infinity;
  for (let run = 0; run < 3; run++) {
    const folder = context.makeFolder("cold");
    await context.withServerOn(folder, flags, async (server) => {
      const { url } = server.process;
      // The first query of a process starts threads and connects, whatever it reads.
      await sendQuery({ url, sql: "SELECT * FROM tiny", isBodyKept: false });
      coldMs = Math.min(coldMs, (await sendQuery({ url, sql, isBodyKept: false })).elapsedMs);
      for (let warm = 0; warm < 3; warm++) {
        warmMs = Math.min(warmMs, (await sendQuery({ url, sql, isBodyKept: false })).elapsedMs);
      }
      await expectRows(server, "cpu", rows);
    });
    rmSync(folder, { recursive: true, force: true });
  }
  return { coldMs, warmMs };
}

/** One row with durability `stored`: written, flushed, committed, and then acknowledged. */
async function measureCommits(context: BenchContext, s3Server: S3TestServer): Promise<Measurement> {
  const flags = storeFlags(s3Server, await s3Server.createBucket());
  const count = context.pick(100, 20);
  const times = async (server: BenchServer): Promise<number[]> => {
    const elapsed: number[] = [];
    for (let row = 0; row < count; row++) {
      const startMs = performance.now();
      await sendBody(server, "/v1/tables/stored/rows?durability=stored", "application/x-ndjson", `{"id":"${row}"}`);
      elapsed.push(performance.now() - startMs);
    }
    await expectRows(server, "stored", count);
    // The first ones make the table, and connect.
    return elapsed.slice(3);
  };
  const local = await context.withServer([], times);
  const remote = await context.withServer(flags, times);
  const describe = (list: readonly number[]): string =>
    `p50 ${percentile(list, 0.5).toFixed(0)} ms, p99 ${percentile(list, 0.99).toFixed(0)} ms`;
  return {
    measure: "one row, acknowledged when it is committed (durability stored)",
    target: "",
    reached: describe(remote),
    reference: `local folder ${describe(local)}`,
    verdict: "info",
    note: `${count} rows one after the other`,
  };
}

/** Counted by a proxy, so that no time is measured here. */
async function measureRequests(context: BenchContext, s3Server: S3TestServer): Promise<Measurement> {
  const proxy = await S3FaultProxy.start(s3Server.endpoint);
  const flags = storeFlags(s3Server, await s3Server.createBucket(), proxy.endpoint);
  const flushes = 10;
  try {
    return await context.withServer([...heldFlags, ...flags], async (server) => {
      const writeAndFlush = async (row: number): Promise<void> => {
        await sendBody(server, "/v1/tables/counted/rows", "application/x-ndjson", `{"id":"${row}"}`);
        await flushTable(server, "counted");
      };
      for (let row = 0; row < 3; row++) await writeAndFlush(row);
      proxy.takeRequests();
      for (let row = 0; row < flushes; row++) await writeAndFlush(row);
      const requests = proxy.takeRequests();
      const kinds = new Map<string, number>();
      for (const { operation, isConditional } of requests) {
        const kind = isConditional ? `conditional ${operation}` : operation;
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      }
      const each = [...kinds].map(([kind, count]) => `${(count / flushes).toFixed(1)} ${kind}`);
      return {
        measure: "requests to S3 per flush of one day",
        target: "",
        reached: (requests.length / flushes).toFixed(1),
        reference: "",
        verdict: "info",
        note: each.join(", "),
      };
    });
  } finally {
    await proxy.stop();
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
