/**
 * The same server with its tables in a local folder and on a real S3 server on loopback: both are up and take turns, flushes
 * and all, each into tables of its own. The S3 server is a process on the same cores and the same disk.
 */
import type { S3TestServer } from "../../test/harness/s3-server.js";
import { type BenchContext, type BenchServer, requestsPerSecond, type Suite } from "../harness/bench-context.js";
import { flushTable } from "../harness/load-table.js";
import { formatCount, formatPercent, type Measurement, verdict } from "../harness/measurement.js";
import type { LoadRun } from "../harness/run-load.js";
import { storeFlags } from "../harness/s3-flags.js";
import { sampleProcess } from "../harness/sample-process.js";
import { middleOf, takeTurns } from "../harness/take-turns.js";
import { withS3Server } from "../harness/with-s3-server.js";

const shareMin = 0.9;
const rowsPerRequest = 1000;
const burstFlags = ["--ingest-buffered-bytes-max", "4GiB", "--wal-bytes-max", "8GiB"];

export const s3Ingest: Suite = {
  name: "s3-ingest",
  async run(context) {
    return withS3Server(async (server) => [await measureIngest(context, server)]);
  },
};

interface Pair {
  readonly local: LoadRun;
  readonly remote: LoadRun;
  /** What the S3 server itself used in the remote turn; null where it cannot be read. */
  readonly storeCores: number | null;
}

/**
 * What else runs on the machine comes and goes: so the two take turns, the one first that was second the last time, and what
 * counts is the ratio of a pair, the middle one of the calm pairs.
 */
async function measureIngest(context: BenchContext, s3Server: S3TestServer): Promise<Measurement> {
  const flags = storeFlags(s3Server, await s3Server.createBucket());
  const { counted, all, note } = await context.withServer(burstFlags, (local) =>
    context.withServer([...burstFlags, ...flags], (remote) =>
      takeTurns(
        context.pick({ wanted: 3, max: 9 }, { wanted: 1, max: 1 }),
        (turn) => takePair(context, { local, remote, s3Server, turn }),
        (pair) => Math.max(pair.local.stolenCores ?? 0, pair.remote.stolenCores ?? 0),
      ),
    ),
  );
  const { local, remote, storeCores } = middleOf(counted, shareOf);
  const share = shareOf({ local, remote });
  const list = (ofPair: (pair: Pair) => string): string => all.map(ofPair).join(", ");
  const cores = storeCores === null ? "" : `, ${storeCores.toFixed(2)} of them in that turn`;
  return {
    measure: "tables on S3: NDJSON batches of 1,000 rows, flushed meanwhile",
    target: `≥ ${formatPercent(shareMin)} of a local folder`,
    reached: `${formatCount(rowsPerSecond(remote))} rows/s = ${formatPercent(share)}`,
    reference: `local folder ${formatCount(rowsPerSecond(local))} rows/s`,
    verdict: verdict(share >= shareMin),
    note: `the middle one of these pairs: ${list((pair) => formatPercent(shareOf(pair)))}, of ${list((pair) => formatCount(rowsPerSecond(pair.remote)))} and ${list((pair) => formatCount(rowsPerSecond(pair.local)))}; the S3 server works on the same cores${cores}${note === "" ? "" : `; ${note}`}`,
  };
}

interface Sides {
  readonly local: BenchServer;
  readonly remote: BenchServer;
  readonly s3Server: S3TestServer;
  readonly turn: number;
}

async function takePair(context: BenchContext, { local, remote, s3Server, turn }: Sides): Promise<Pair> {
  const table = `turn_${turn}`;
  const durationMs = context.pick(6000, 2000);
  const job = { payload: "ndjson", table, rowsPerRequest, connections: 16, durationMs } as const;
  const load = async (server: BenchServer): Promise<LoadRun> => {
    const run = await context.load(server, job);
    // So that what this turn left to flush is not in the other's time.
    await flushTable(server, table);
    return run;
  };
  const storeCores = async <Result>(work: () => Promise<Result>): Promise<[Result, number | null]> => {
    const sample = () => (s3Server.pid === null ? null : sampleProcess(s3Server.pid));
    const begin = sample();
    const result = await work();
    const end = sample();
    return [result, begin === null || end === null ? null : (end.cpuMs - begin.cpuMs) / (end.atMs - begin.atMs)];
  };
  const first = turn % 2 === 0 ? await load(local) : null;
  const [second, cores] = await storeCores(() => load(remote));
  return { local: first ?? (await load(local)), remote: second, storeCores: cores };
}

function rowsPerSecond(run: LoadRun): number {
  return requestsPerSecond(run) * rowsPerRequest;
}

function shareOf({ local, remote }: Pick<Pair, "local" | "remote">): number {
  return rowsPerSecond(remote) / rowsPerSecond(local);
}
