/**
 * kill -9 at the moment when a request of an upload or of a commit is under way: S3 gets it, or does not, and the server never
 * learns which. A proxy sees the request and does the killing. MINIODB_TEST_FAILPOINT_KILLS=5 kills so often at each.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { noFault, S3FaultProxy, type S3Request } from "../harness/s3-fault-proxy.js";
import { type S3TestServer, startS3Server, storeEnvironment, whyNoS3Server } from "../harness/s3-server.js";
import { seededRandom } from "../harness/seeded-random.js";
import { ServerProcess } from "../harness/server-process.js";
import { someOf } from "../harness/test-size.js";
import { CrashWriter } from "./crash-writer.js";

const skip = await whyNoS3Server();
const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 20261123);
const killsPerPlace = Number(process.env["MINIODB_TEST_FAILPOINT_KILLS"] ?? 1);
const flags = [
  ["--flush-rows", "2000", "--flush-interval-ms", "300"],
  ["--wal-segment-bytes", "1048576", "--wal-bytes-max", "8388608"],
  ["--compaction-interval-ms", "500", "--compaction-small-files-min", "4"],
].flat();
/** So long a life writes until its request comes. */
const lifeMsMax = 120_000;

const places: Readonly<Record<string, (request: S3Request) => boolean>> = {
  "the put of a data file": ({ operation, key }) => operation === "put" && key.endsWith(".parquet"),
  "the put of a manifest": ({ operation, key }) => operation === "put" && key.endsWith(".avro"),
  "the put of a version, which commits": ({ operation, isConditional }) => operation === "put" && isConditional,
};

/** Each of them happens in one life and does not in another; a small run has some. */
const cases = someOf(
  Object.entries(places).flatMap(([name, isPlace]) => [false, true].map((happens) => ({ name, isPlace, happens }))),
  2,
);

describe(`kill -9 while a request is under way (seed ${seed})`, { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-crash-requests-"));
  const random = seededRandom(seed);
  const writer = new CrashWriter({ random, tables: ["alpha", "beta"], connections: 4 });
  let s3: S3TestServer;
  let proxy: S3FaultProxy;
  let env: Readonly<Record<string, string>>;

  before(async () => {
    s3 = await startS3Server();
    proxy = await S3FaultProxy.start(s3.endpoint);
    env = storeEnvironment(s3, await s3.createBucket(), proxy.endpoint);
  });

  after(async () => {
    await proxy.stop();
    await s3.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Verifies what is there, writes, and dies at the n-th such request. */
  const live = async (isPlace: (request: S3Request) => boolean, happens: boolean): Promise<void> => {
    const server = await ServerProcess.start({ folder, flags, env });
    await writer.verify(server.url);
    let countdown = 1 + random.integer(3);
    proxy.plan = (request) => {
      if (!isPlace(request) || --countdown !== 0) return noFault;
      void server.kill();
      return { kind: happens ? "resetAfter" : "reset" };
    };
    writer.start(server.url);
    const end = await Promise.race([server.exit.then(() => "killed"), delay(lifeMsMax, "alive", { ref: false })]);
    await server.kill();
    await writer.stop();
    proxy.plan = () => noFault;
    assert.equal(end, "killed", "the request came");
  };

  for (const { name, isPlace, happens } of cases) {
    test(`at ${name}, which ${happens ? "happens" : "does not happen"}`, async () => {
      for (let kill = 0; kill < killsPerPlace; kill++) await live(isPlace, happens);
    });
  }

  test("in the end every acknowledged row is there once", async (t) => {
    const server = await ServerProcess.start({ folder, flags, env });
    await writer.verify(server.url);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    t.diagnostic(`${writer.acknowledgedRows} rows acknowledged`);
    assert.ok(writer.acknowledgedRows > 0);
  });
});
