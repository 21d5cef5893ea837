/** One of the processes of s3-committers.test.ts: committers side by side, each with a stream of its own. */
import { randomUUID } from "node:crypto";
import { MiniodbError } from "../../src/shared/errors.js";
import type { AppendRequest } from "../../src/shared/iceberg/commit-files.js";
import { TableCatalog } from "../../src/shared/iceberg/table-catalog.js";
import type { TableIdentity } from "../../src/shared/messages.js";
import { initialSchema } from "../../src/shared/schema/table-schema.js";
import { openS3Client } from "../../src/shared/store/s3-client.js";
import { LeasedStore } from "../../src/shared/store/leased-store.js";
import type { ObjectStore } from "../../src/shared/store/object-store.js";
import { openRedis, RedisLease } from "../../src/shared/store/redis-lease.js";
import type { S3Options } from "../../src/shared/store/s3-options.js";
import { S3Store } from "../../src/shared/store/s3-store.js";
import { RetryingStore } from "../../src/shared/store/retrying-store.js";
import { writeDataFile } from "../peers/sample-table.js";

export interface CommitterJob {
  readonly s3: S3Options;
  readonly identity: TableIdentity;
  readonly committers: number;
  readonly commits: number;
  readonly rows: number;
  /** The store's puts are plain: commits take a lease in the Redis on this port of this machine. */
  readonly lease: { readonly redisPort: number; readonly leaseMs: number } | null;
}

/** Streams and the position that each has been told it reached. */
export type CommitterResult = readonly {
  readonly stream: string;
  readonly position: number;
  readonly repeats: number;
}[];

const dayMicros = 86_400_000_000n;
const firstDay = 20_480n;
const attemptsMax = 500;

process.once("message", (job: CommitterJob) => {
  void Promise.all(Array.from({ length: job.committers }, () => runCommitter(job))).then((result: CommitterResult) => {
    // Connections to Redis stay open.
    process.send?.(result, () => process.exit(0));
  });
});

async function openStore({ s3, lease }: CommitterJob): Promise<ObjectStore> {
  const store = new S3Store(openS3Client(s3), s3);
  if (lease === null) return store;
  const redis = { host: "127.0.0.1", port: lease.redisPort, username: "", password: "", database: 0, isTls: false };
  const options = { warehouse: `s3://${s3.bucket}`, leaseMs: lease.leaseMs, waitMsMax: 20_000 };
  return new LeasedStore(store, new RedisLease(await openRedis(redis), options));
}

async function runCommitter(job: CommitterJob) {
  const { identity, commits, rows } = job;
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const store = new RetryingStore(await openStore(job), {
    attemptsMax: 6,
    waitMs: 10,
    waitMsMax: 200,
    deadlineMs: 60_000,
    random: Math.random,
    sleep,
    nowMs: () => performance.now(),
  });
  const catalog = new TableCatalog(store);
  const stream = randomUUID();
  let position = 0;
  let repeats = 0;
  for (let commit = 0; commit < commits; commit++) {
    const day = firstDay + BigInt(commit % 3);
    const content = Array.from({ length: rows }, (_value, row) => ({
      timestamp: day * dayMicros + BigInt(row),
      id: `${stream}-${commit}-${row}`,
    }));
    const file = await writeDataFile(store, identity, { schema: initialSchema, rows: content });
    const range = { stream, afterSequence: position, lastSequence: position + rows };
    // The same request until it is made, as the flush does it.
    repeats += await commitUntilDone(catalog, identity, {
      ...range,
      schema: initialSchema,
      files: [file],
      commitId: randomUUID(),
    });
    position += rows;
  }
  return { stream, position, repeats };
}

async function commitUntilDone(
  catalog: TableCatalog,
  identity: TableIdentity,
  request: AppendRequest,
): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    try {
      await catalog.commitAppend(identity, request);
      return attempt;
    } catch (error) {
      const isPassing = error instanceof MiniodbError && error.retryable && !("position" in error.details);
      if (!isPassing || attempt >= attemptsMax) throw error;
    }
  }
}
