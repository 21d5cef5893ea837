/**
 * A real S3 server for tests. The first of these that can be had:
 *
 * ```
 * S3_TEST_ENDPOINT     with S3_TEST_ACCESS_KEY, S3_TEST_SECRET_KEY, S3_TEST_REGION: one that runs already
 * .cache/s3-server/    minio or versitygw, installed before
 * PATH                 minio or versitygw
 * go install           of versitygw, from the Go module proxy into .cache/s3-server
 * ```
 * S3_TEST_SERVER=minio or versitygw insists on one of the two, and has it built where it is not there: MinIO takes several
 * times as long, and so is not built unasked.
 */
import { CreateBucketCommand, paginateListObjectsV2, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findFreePort } from "./free-port.js";
import { findS3Program, type S3Program } from "./s3-program.js";

export interface S3TestServer {
  /** Such as `http://127.0.0.1:40123`; addresses are path-style. */
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  /** Null for one that ran already. */
  readonly pid: number | null;
  /** Ends it and removes what it stored; one that ran already is left alone. */
  stop(): Promise<void>;
  /** A new bucket's name. */
  createBucket(): Promise<string>;
}

type S3Access = Omit<S3TestServer, "pid" | "stop" | "createBucket">;

const region = "us-east-1";
const accessKeyId = "miniodb-test";
const secretAccessKey = "miniodb-test-secret";
/** Someone else may take the free port between its finding and its use. */
const startAttemptsMax = 5;
const readyTimeoutMs = 30_000;

/** Everything that a still running server would be a leak of; killed when this process ends. */
const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/**
 * For the `skip` of a suite: false where a server can be had, which is installed when this returns, else why not. In CI,
 * which has one, it throws instead. Files that run side by side wait for one install.
 */
export async function whyNoS3Server(): Promise<string | false> {
  if (externalServer() !== undefined) return false;
  const found = await findS3Program();
  if ("peer" in found) return false;
  assert.notEqual(process.env["CI"], "true", `CI has an S3 server, but ${found.missing}`);
  return found.missing;
}

/** A server of its own on a free port of the loopback interface, with a temporary folder; or the one that was named. */
export async function startS3Server(): Promise<S3TestServer> {
  const external = externalServer();
  if (external !== undefined) return external;
  const found = await findS3Program();
  if (!("peer" in found)) throw new Error(found.missing);
  for (let attempt = 1; ; attempt++) {
    try {
      return await launch(found.peer);
    } catch (error) {
      if (attempt === startAttemptsMax) throw error;
    }
  }
}

/** The environment of a MinIODB server whose tables are in this bucket; `endpoint` is a proxy's, or the server's own. */
export function storeEnvironment(
  server: S3Access,
  bucket: string,
  endpoint: string = server.endpoint,
): Readonly<Record<string, string>> {
  return {
    MINIODB_STORE_BUCKET: bucket,
    MINIODB_STORE_ENDPOINT: endpoint,
    MINIODB_STORE_REGION: server.region,
    MINIODB_STORE_ACCESS_KEY_ID: server.accessKeyId,
    MINIODB_STORE_SECRET_ACCESS_KEY: server.secretAccessKey,
  };
}

function externalServer(): S3TestServer | undefined {
  const endpoint = process.env["S3_TEST_ENDPOINT"] ?? "";
  if (endpoint === "") return undefined;
  const access = {
    endpoint,
    accessKeyId: process.env["S3_TEST_ACCESS_KEY"] ?? "minioadmin",
    secretAccessKey: process.env["S3_TEST_SECRET_KEY"] ?? "minioadmin",
    region: process.env["S3_TEST_REGION"] ?? region,
  };
  return { ...access, pid: null, stop: () => Promise.resolve(), createBucket: () => createBucket(access) };
}

async function launch(program: S3Program): Promise<S3TestServer> {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-s3-"));
  const [objects, log] = [join(folder, "objects"), join(folder, "log")];
  mkdirSync(objects);
  const port = await findFreePort();
  // Not a pipe: it writes a line per request, and would stand still while a test waits in spawnSync.
  const output = openSync(log, "w");
  const child = spawn(program.path, argumentsOf(program, port, objects), {
    env: { ...process.env, ...environmentOf(program) },
    stdio: ["ignore", output, output],
  });
  closeSync(output);
  running.add(child);
  const exit = new Promise<void>((resolve) => {
    child.once("error", () => resolve());
    child.once("close", () => resolve());
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exit;
    running.delete(child);
    rmSync(folder, { recursive: true, force: true });
  };
  const access = { endpoint: `http://127.0.0.1:${port}`, accessKeyId, secretAccessKey, region };
  try {
    await waitUntilReady(child, access);
  } catch (error) {
    const said = readFileSync(log, "utf8").slice(-4096);
    await stop();
    throw new Error(`${program.name} does not start; its output:\n${said}`, { cause: error });
  }
  return { ...access, pid: child.pid ?? null, stop, createBucket: () => createBucket(access) };
}

function argumentsOf(program: S3Program, port: number, folder: string): string[] {
  switch (program.name) {
    case "minio":
      return ["server", "--quiet", "--address", `127.0.0.1:${port}`, folder];
    case "versitygw":
      return ["--quiet", "--port", `127.0.0.1:${port}`, "--region", region, "posix", folder];
  }
}

function environmentOf(program: S3Program): Readonly<Record<string, string>> {
  switch (program.name) {
    case "minio":
      // Its console would take another port, and its look for updates leaves this machine.
      return {
        MINIO_ROOT_USER: accessKeyId,
        MINIO_ROOT_PASSWORD: secretAccessKey,
        MINIO_BROWSER: "off",
        MINIO_UPDATE: "off",
      };
    case "versitygw":
      return { ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey };
  }
}

/** It is ready when it makes a bucket: both answer some requests earlier than others. */
async function waitUntilReady(child: ChildProcess, access: S3Access): Promise<void> {
  const deadline = performance.now() + readyTimeoutMs;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error("it ended");
    try {
      await createBucket(access);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(50);
    }
  }
}

/** The AWS SDK's own client, which repeats nothing; the caller destroys it. */
export function openTestClient({ endpoint, region, accessKeyId, secretAccessKey }: S3Access): S3Client {
  const credentials = { accessKeyId, secretAccessKey };
  return new S3Client({ endpoint, region, credentials, forcePathStyle: true, maxAttempts: 1 });
}

/** All keys of a bucket that begin with the prefix, in order. */
export async function listKeys(access: S3Access, bucket: string, prefix = ""): Promise<string[]> {
  const client = openTestClient(access);
  const keys: string[] = [];
  for await (const page of paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: prefix })) {
    keys.push(...(page.Contents ?? []).flatMap(({ Key }) => (Key === undefined ? [] : [Key])));
  }
  client.destroy();
  return keys;
}

/** For S3FaultProxy.putAnyway: the put without its condition, through a client of its own that the caller destroys. */
export function plainPut(client: S3Client, bucket: string): (key: string, body: Uint8Array) => Promise<void> {
  return async (key, body) => {
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body }));
  };
}

async function createBucket(access: S3Access): Promise<string> {
  const name = `miniodb-test-${randomUUID()}`;
  const client = openTestClient(access);
  try {
    await client.send(new CreateBucketCommand({ Bucket: name }));
    return name;
  } finally {
    client.destroy();
  }
}
