/**
 * Flushes, transfers, cold queries and commits with the tables on a real S3 server on loopback, against a local folder and
 * plain loops of the same bytes, in one run. The S3 server is a process on the same cores and the same disk.
 */
import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { S3FaultProxy } from "../../test/harness/s3-fault-proxy.js";
import { listKeys, type S3TestServer } from "../../test/harness/s3-server.js";
import { cpuTable } from "../generate/cpu.js";
import { Generator } from "../generate/generator.js";
import type { BenchContext, BenchServer, Suite } from "../harness/bench-context.js";
import { expectRows, flushTable, sendBody } from "../harness/load-table.js";
import { formatCount, formatMegabytes, formatPercent, type Measurement, verdict } from "../harness/measurement.js";
import { percentile } from "../harness/percentiles.js";
import { sendQuery } from "../harness/query-http.js";
import { storeFlags } from "../harness/s3-flags.js";
import { S3Loops } from "../harness/s3-loops.js";
import { S3Transfers } from "../harness/s3-transfers.js";
import { middleOf } from "../harness/take-turns.js";
import { withS3Server } from "../harness/with-s3-server.js";

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

export const s3Files: Suite = {
  name: "s3-files",
  async run(context) {
    return withS3Server(async (server) => [
      ...(await measureFiles(context, server)),
      await measureCommits(context, server),
      await measureRequests(context, server),
    ]);
  },
};

/** Timed flushes of all rows, then queries by nodes that have none of the files. */
async function measureFiles(context: BenchContext, s3Server: S3TestServer): Promise<Measurement[]> {
  const rows = context.pick(4_000_000, 300_000);
  const { flags, bucket, ...flushes } = await measureFlushes(context, s3Server, rows);
  const keys = (await listKeys(s3Server, bucket, "cpu-")).filter((key) => key.endsWith(".parquet"));
  const loops = new S3Loops(s3Server, bucket);
  const transfers = await measureTransfers(context, flags, { loops, keys });
  const cold = await measureCold(context, { flags, rows, loops, keys });
  loops.close();
  const { bytes, putMs } = transfers;
  return [...flushRows({ ...flushes, rows, files: keys.length, bytes, putMs }), ...transferRows(transfers), cold];
}

interface Flushes {
  readonly rows: number;
  readonly files: number;
  readonly bytes: number;
  /** Of the best flush to each store, and of the plain loop. */
  readonly localMs: number;
  readonly flushMs: number;
  readonly putMs: number;
}

function flushRows({ rows, files, bytes, localMs, flushMs, putMs }: Flushes): Measurement[] {
  const share = putMs / flushMs;
  const measure = `flush of ${formatCount(rows)} rows, ${files} files, ${formatMegabytes(bytes)}, to S3`;
  const rateOf = (ms: number): string => rate(bytes, ms);
  return [
    {
      measure,
      target: `≥ ${formatPercent(flushShareMin)} of a plain parallel PUT loop`,
      reached: `${rateOf(flushMs)} = ${formatPercent(share)}`,
      reference: `PUT loop ${rateOf(putMs)}`,
      verdict: verdict(share >= flushShareMin),
      note: `with sorting and Parquet, ${flushMs.toFixed(0)} ms; to a local folder ${localMs.toFixed(0)} ms = ${rateOf(localMs)}; the loop ${putMs.toFixed(0)} ms`,
    },
    {
      measure: "the same flush against one to a local folder and the PUT loop after it",
      target: "",
      reached: `${flushMs.toFixed(0)} ms = ${(flushMs / (localMs + putMs)).toFixed(2)} ×`,
      reference: `${localMs.toFixed(0)} ms + ${putMs.toFixed(0)} ms`,
      verdict: "info",
      note: "below 1: files go up while others are encoded; best of 3 flushes each, in turns",
    },
  ];
}

interface Flushed {
  /** Of a server on the bucket of the last flush. */
  readonly flags: readonly string[];
  readonly bucket: string;
  readonly localMs: number;
  readonly flushMs: number;
}

/** Each on a server of its own, into an empty table. */
async function measureFlushes(context: BenchContext, s3Server: S3TestServer, rows: number): Promise<Flushed> {
  const generator = await Generator.open(context.makeFolder("generator"));
  const fill = (server: BenchServer) => fillTable(server, generator, rows);
  let best = { localMs: Infinity, flushMs: Infinity, flags: [] as readonly string[], bucket: "" };
  for (let turn = 0; turn < context.pick(3, 1); turn++) {
    const localMs = await context.withServer(heldFlags, fill);
    const bucket = await s3Server.createBucket();
    const flags = [...heldFlags, ...storeFlags(s3Server, bucket)];
    const flushMs = await context.withServer(flags, async (server) => {
      await sendBody(server, "/v1/tables/tiny/rows", "application/x-ndjson", '{"id":"one"}');
      await flushTable(server, "tiny");
      return fill(server);
    });
    context.progress(`flush: ${localMs.toFixed(0)} ms to a folder, ${flushMs.toFixed(0)} ms to S3`);
    best = { flags, bucket, localMs: Math.min(best.localMs, localMs), flushMs: Math.min(best.flushMs, flushMs) };
  }
  generator.close();
  return best;
}

interface Transfers {
  readonly bytes: number;
  /** Of the plain loops. */
  readonly putMs: number;
  readonly getMs: number;
  readonly uploadMs: number;
  readonly fetchMs: number;
}

const transferTurns = 5;

function transferRows({ bytes, putMs, getMs, uploadMs, fetchMs }: Transfers): Measurement[] {
  const share = putMs / uploadMs;
  const loops = `both took turns, the best of ${transferTurns} each`;
  return [
    {
      measure: "the upload of these files alone, from disk, as a flush does it",
      target: `≥ ${formatPercent(flushShareMin)} of a plain parallel PUT loop`,
      reached: `${rate(bytes, uploadMs)} = ${formatPercent(share)}`,
      reference: `PUT loop ${rate(bytes, putMs)}`,
      verdict: verdict(share >= flushShareMin),
      note: `${loops}; the upload reads files and has checksums, the loop has its bytes in memory`,
    },
    {
      measure: "the fetch of these files alone, to disk, as the file cache does it",
      target: "",
      reached: `${rate(bytes, fetchMs)}, ${fetchMs.toFixed(0)} ms`,
      reference: `GET loop ${rate(bytes, getMs)}, ${getMs.toFixed(0)} ms`,
      verdict: "info",
      note: `${loops}; the fetch writes files and has checksums, the loop gathers the bytes in memory`,
    },
  ];
}

interface Objects {
  readonly loops: S3Loops;
  readonly keys: readonly string[];
}

/** The bytes of these objects up and down, by plain loops and by the server's own code, in turns. */
async function measureTransfers(
  context: BenchContext,
  flags: readonly string[],
  { loops, keys }: Objects,
): Promise<Transfers> {
  const transfers = await S3Transfers.open(context.makeFolder("transfers"), flags);
  const { bodies } = await loops.get(keys);
  const objects = (await loops.sizes(keys)).map((bytes, index) => ({ key: keys[index] ?? "", bytes }));
  const best = { putMs: Infinity, getMs: Infinity, uploadMs: Infinity, fetchMs: Infinity };
  for (let turn = 0; turn < transferTurns; turn++) {
    best.getMs = Math.min(best.getMs, (await loops.get(keys)).elapsedMs);
    best.fetchMs = Math.min(best.fetchMs, await transfers.get(objects));
    best.putMs = Math.min(best.putMs, await loops.put(bodies, `loop-${randomUUID()}`));
    best.uploadMs = Math.min(best.uploadMs, await transfers.put(bodies, `upload-${randomUUID()}`));
  }
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

interface ColdTurn {
  readonly getMs: number;
  readonly coldMs: number;
  readonly warmMs: number;
}

interface ColdQuery extends Objects {
  readonly flags: readonly string[];
  readonly rows: number;
}

const coldTurns = 5;

/** Each turn has a node of its own that has none of the files, and the loop beside it. */
async function measureCold(context: BenchContext, { flags, rows, loops, keys }: ColdQuery): Promise<Measurement> {
  const sql = "SELECT count(*) AS n, bit_xor(hash(COLUMNS(*))) FROM cpu";
  const turns: ColdTurn[] = [];
  for (let turn = 0; turn < context.pick(coldTurns, 1); turn++) {
    const folder = context.makeFolder("cold");
    await context.withServerOn(folder, flags, async (server) => {
      const { url } = server.process;
      const ask = async (text: string) => (await sendQuery({ url, sql: text, isBodyKept: false })).elapsedMs;
      // The first query of a process starts threads and connects, whatever it reads.
      await ask("SELECT * FROM tiny");
      const getMs = (await loops.get(keys)).elapsedMs;
      const coldMs = await ask(sql);
      const warm = [await ask(sql), await ask(sql), await ask(sql)];
      turns.push({ getMs, coldMs, warmMs: Math.min(...warm) });
      await expectRows(server, "cpu", rows);
    });
    rmSync(folder, { recursive: true, force: true });
  }
  const ratioOf = ({ getMs, coldMs, warmMs }: ColdTurn): number => coldMs / (getMs + warmMs);
  const middle = middleOf(turns, ratioOf);
  return {
    measure: "cold query over all of them",
    target: `≤ ${coldRatioMax} × (plain parallel GET loop + warm query)`,
    reached: `${middle.coldMs.toFixed(0)} ms = ${ratioOf(middle).toFixed(2)} ×`,
    reference: `GET loop ${middle.getMs.toFixed(0)} ms + warm ${middle.warmMs.toFixed(0)} ms`,
    verdict: verdict(ratioOf(middle) <= coldRatioMax),
    note: `every column of every row is read; the middle one of these turns: ${turns.map((turn) => ratioOf(turn).toFixed(2)).join(", ")}, each by a node that has none of the files, right after the loop`,
  };
}

function rate(bytes: number, ms: number): string {
  return `${formatMegabytes((bytes * 1000) / ms)}/s`;
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
