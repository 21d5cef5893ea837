import type { S3Client } from "@aws-sdk/client-s3";
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { requirePackage } from "../require-package.js";
import { MiniodbError } from "../errors.js";
import { type S3Options, warehouseUri } from "./s3-options.js";
import { codeOfS3Error, storeErrorOf } from "./s3-errors.js";
import { S3Store } from "./s3-store.js";
import { isPassingFailure } from "./store-failure.js";

const { ListObjectsV2Command } = requirePackage("@aws-sdk/client-s3");

/** Puts of one key at once, of which one may win. */
const claims = 4;
const waitMs = 100;
const waitMsMax = 2_000;

/** What to do about the codes that a wrong configuration meets. */
const remedies: Readonly<Record<string, string>> = {
  NoSuchBucket: "create the bucket, or correct store.bucket and store.endpoint",
  AccessDenied: "give these credentials the right to list, read, write and delete in the bucket",
  InvalidAccessKeyId: "correct store.accessKeyId",
  XAdminUserNotFound: "correct store.accessKeyId", // versitygw
  SignatureDoesNotMatch: "correct store.secretAccessKey",
  RequestTimeTooSkewed: "set this machine's clock: it is too far from the store's",
  PermanentRedirect: "correct store.region: the bucket is in another one",
  AuthorizationHeaderMalformed: "correct store.region: the bucket is in another one",
  CredentialsProviderError:
    "set store.accessKeyId and store.secretAccessKey, or one of the sources that AWS's SDKs know",
  SELF_SIGNED_CERT_IN_CHAIN: "name the certificate of its authority in store.caFile",
  DEPTH_ZERO_SELF_SIGNED_CERT: "name its certificate in store.caFile",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "name the certificate of its authority in store.caFile",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "name the certificate of its authority in store.caFile",
  EPROTO: "the endpoint may speak http where https was asked for",
};

/** No later try helps: somebody has to change something. */
function isLasting(error: unknown): boolean {
  return Object.hasOwn(remedies, codeOfS3Error(error)) || !isPassingFailure(storeErrorOf(error, "list", ""));
}

export interface ProbedStore {
  /** A put-if-absent has one winner; without that two commits could take each other's place. */
  readonly isConditional: boolean;
}

/**
 * At the start: the bucket is there and may be used, what is put is seen at once, and whether the store has conditional
 * puts. A store that does not answer is waited for, so that server and store may start together. Throws STORE_UNAVAILABLE
 * with what is wrong and what to do; leaves no object behind.
 */
export async function probeS3(client: S3Client, options: S3Options, timeoutMs: number): Promise<ProbedStore> {
  await reach(client, options, timeoutMs);
  const store = new S3Store(client, options);
  const key = `.miniodb-probe/${randomUUID()}`;
  const bodies = Array.from({ length: claims }, (_value, index) => Buffer.from(String(index)));
  try {
    const won = await Promise.all(bodies.map((body) => store.putIfAbsent(key, body)));
    const isTakenAfter = !(await store.putIfAbsent(key, Buffer.from("late")));
    const found = Buffer.from(await store.get(key)).toString();
    const winners = won.flatMap((isWon, index) => (isWon ? [String(index)] : []));
    if (winners.length === 1 && winners[0] === found && isTakenAfter) return { isConditional: true };
    await checkReadAfterWrite(store, key, options);
    return { isConditional: false };
  } catch (error) {
    if (error instanceof MiniodbError) throw error;
    throw unusable(options, "a conditional put failed", error, "give these credentials the right to write and delete");
  } finally {
    await store.delete(key).catch(() => {});
  }
}

/** Of a store without conditional puts, where nothing else keeps commits apart. */
export function refusePlainPuts(options: S3Options): never {
  const what = "does not honour If-None-Match on PutObject, so that two commits could overwrite each other";
  throw new MiniodbError("STORE_UNAVAILABLE", `${place(options)} ${what}: use a store or a version of it that does`);
}

/** What stands in for conditional puts (leased-store.ts, warehouse-claim.ts) relies on it. */
async function checkReadAfterWrite(store: S3Store, key: string, options: S3Options): Promise<void> {
  for (let round = 0; round < claims; round++) {
    await store.put(key, Buffer.from(`round ${round}`));
    const found = Buffer.from(await store.get(key)).toString();
    let listed = 0;
    for await (const _entry of store.list(key)) listed++;
    if (found === `round ${round}` && listed === 1) continue;
    const what = "has no conditional puts, and does not show at once what was put: commits are not safe on it";
    throw new MiniodbError("STORE_UNAVAILABLE", `${place(options)} ${what}`);
  }
}

async function reach(client: S3Client, options: S3Options, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const Prefix = options.prefix === "" ? "" : `${options.prefix}/`;
  for (let attempt = 1; ; attempt++) {
    try {
      await client.send(new ListObjectsV2Command({ Bucket: options.bucket, Prefix, MaxKeys: 1 }));
      return;
    } catch (error) {
      const pauseMs = Math.random() * Math.min(waitMsMax, waitMs * 2 ** attempt);
      if (isLasting(error) || performance.now() + pauseMs > deadline) {
        throw unusable(options, "the bucket cannot be listed", error, "see whether it runs, and store.endpoint");
      }
      await delay(pauseMs);
    }
  }
}

function unusable(options: S3Options, what: string, error: unknown, otherwise: string): MiniodbError {
  const code = codeOfS3Error(error);
  const { message } = storeErrorOf(error, "", "");
  const remedy = remedies[code] ?? otherwise;
  return new MiniodbError("STORE_UNAVAILABLE", `${place(options)}: ${what} (${message.trim()}): ${remedy}`, { code });
}

function place(options: S3Options): string {
  return `${warehouseUri(options)} at ${options.endpoint === "" ? `AWS ${options.region}` : options.endpoint}`;
}
