import { ListMultipartUploadsCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { inspect } from "node:util";
import { ObjectNotFound, type ObjectStore } from "../../../src/shared/store/object-store.js";
import { RetryingStore } from "../../../src/shared/store/retrying-store.js";
import { openS3Client } from "../../../src/shared/store/s3-client.js";
import { statusOfS3Error } from "../../../src/shared/store/s3-errors.js";
import type { S3Options } from "../../../src/shared/store/s3-options.js";
import { S3Store } from "../../../src/shared/store/s3-store.js";
import { StoreError } from "../../../src/shared/store/store-failure.js";
import { noFault, randomS3Faults, S3FaultProxy } from "../../harness/s3-fault-proxy.js";
import { type S3TestServer, startS3Server, whyNoS3Server } from "../../harness/s3-server.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { sized } from "../../harness/test-size.js";
import { s3OptionsOf } from "./s3-fixture.js";
import { bytesOf, GatheringTarget, list, testConformance } from "./store-conformance.js";

const mib = 1024 * 1024;
/** Of several parts, the last of them short. */
const largeBytes = sized(11 * mib + 1, 23 * mib + 1);
const skip = await whyNoS3Server();

let server: S3TestServer;
before(async () => {
  if (skip === false) server = await startS3Server();
});
after(async () => {
  if (skip === false) await server.stop();
});

function open(options: S3Options) {
  const client = openS3Client(options);
  return { client, store: new S3Store(client, options), close: () => client.destroy() };
}

function retrying(store: ObjectStore, random: () => number): RetryingStore {
  const sleep = () => Promise.resolve();
  const pauses = { waitMs: 1, waitMsMax: 1, deadlineMs: 60_000 };
  return new RetryingStore(store, { attemptsMax: 20, ...pauses, random, sleep, nowMs: Date.now });
}

testConformance(
  "S3",
  async () => {
    const options = s3OptionsOf(server, await server.createBucket());
    const [one, other] = [open(options), open(options)];
    const close = (): void => {
      one.close();
      other.close();
    };
    return { store: one.store, other: other.store, close };
  },
  { skip, largeBytes, listedKeys: sized(1_101, 2_001) },
);

testConformance(
  "S3 behind a network that loses requests and answers, repeated",
  async () => {
    const proxy = await S3FaultProxy.start(server.endpoint);
    const { real } = seededRandom(17);
    const odds = { shares: { answer: 0.03, answerAfter: 0.03, reset: 0.03, resetAfter: 0.03, cut: 0.03 } };
    const faults = randomS3Faults(seededRandom(18), odds);
    // Who won is not clear after a lost answer, and only the caller can find out.
    proxy.plan = (request) => (request.isConditional ? noFault : faults(request));
    const bucket = await server.createBucket();
    const faulty = open(s3OptionsOf(server, bucket, { endpoint: proxy.endpoint, prefix: "" }));
    const other = open(s3OptionsOf(server, bucket, { prefix: "" }));
    const close = async (): Promise<void> => {
      faulty.close();
      other.close();
      await proxy.stop();
    };
    return { store: retrying(faulty.store, real), other: other.store, close };
  },
  { skip, largeBytes },
);

describe("S3Store", { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-s3-store-"));
  let proxy: S3FaultProxy;
  let options: S3Options;
  let subject: ReturnType<typeof open>;
  let direct: ReturnType<typeof open>;

  before(async () => {
    proxy = await S3FaultProxy.start(server.endpoint);
    const bucket = await server.createBucket();
    const changes = { endpoint: proxy.endpoint, idleTimeoutMs: 300 };
    options = s3OptionsOf(server, bucket, changes);
    subject = open(options);
    direct = open(s3OptionsOf(server, bucket));
  });
  afterEach(() => {
    proxy.plan = () => noFault;
  });
  after(async () => {
    subject.close();
    direct.close();
    await proxy.stop();
    rmSync(folder, { recursive: true });
  });

  const isKind = (kind: string) => (error: unknown) => error instanceof StoreError && error.kind === kind;
  const largeFile = (name: string): string => {
    const path = join(folder, name);
    writeFileSync(path, Buffer.alloc(12 * mib, name));
    return path;
  };
  const uploads = async (): Promise<number> => {
    const { Uploads = [] } = await direct.client.send(new ListMultipartUploadsCommand({ Bucket: options.bucket }));
    return Uploads.length;
  };

  test("says of each failure what it is", async () => {
    const cases = [
      [{ kind: "answer", code: "InternalError" }, "unclear"],
      [{ kind: "answer", code: "ServiceUnavailable" }, "unclear"],
      [{ kind: "answer", code: "SlowDown" }, "slow-down"],
      [{ kind: "answerAfter" }, "unclear"],
      [{ kind: "reset" }, "unclear"],
      [{ kind: "resetAfter" }, "unclear"],
      [{ kind: "silence" }, "unclear"],
    ] as const;
    for (const [fault, kind] of cases) {
      proxy.plan = () => fault;
      await assert.rejects(subject.store.put("kinds/a", bytesOf("x")), isKind(kind), JSON.stringify(fault));
      await assert.rejects(subject.store.putIfAbsent("kinds/a", bytesOf("x")), isKind(kind), JSON.stringify(fault));
      await assert.rejects(subject.store.get("kinds/a"), isKind(kind), JSON.stringify(fault));
      await assert.rejects(list(subject.store, "kinds/"), isKind(kind), JSON.stringify(fault));
    }
    proxy.plan = () => noFault;
    await proxy.down();
    await assert.rejects(subject.store.get("kinds/a"), isKind("unclear"));
    await proxy.up();
    const wrongKey = open({ ...options, secretAccessKey: "not-the-secret" });
    await assert.rejects(wrongKey.store.get("kinds/a"), isKind("refused"));
    wrongKey.close();
    const noBucket = open({ ...options, bucket: "no-such-bucket" });
    await assert.rejects(noBucket.store.get("kinds/a"), isKind("refused"));
    noBucket.close();
  });

  test("an answer that is cut short is a failure, never a shorter object", async () => {
    await subject.store.put("cut/a", new Uint8Array(300_000));
    proxy.plan = () => ({ kind: "cut" });
    await assert.rejects(subject.store.get("cut/a"), isKind("unclear"));
    await assert.rejects(subject.store.getPart("cut/a", { start: 0, end: 200_000 }), isKind("unclear"));
  });

  test("a whole object of which one bit changed on the way is refused, and so is what was changed on its way up", async () => {
    const body = Buffer.alloc(300_000, "every bit of it");
    await direct.store.put("flipped/a", body);
    proxy.plan = () => ({ kind: "flip" });
    await assert.rejects(subject.store.get("flipped/a"), isKind("unclear"));
    proxy.plan = () => noFault;
    assert.ok(body.equals(await subject.store.get("flipped/a")));
    const wrong = { Bucket: options.bucket, Key: "some/prefix/flipped/b", Body: body, ChecksumCRC32C: "AAAAAA==" };
    const isRefused = (error: unknown): boolean => statusOfS3Error(error) === 400;
    await assert.rejects(direct.client.send(new PutObjectCommand(wrong)), isRefused);
    await assert.rejects(direct.store.get("flipped/b"), ObjectNotFound);
  });

  test("a part whose connection is lost half way begins again, and what the first try brought does not count", async () => {
    const body = Buffer.alloc(3 * mib, "half of this comes twice");
    await direct.store.put("cut/part", body);
    let cuts = 0;
    proxy.plan = () => (cuts++ < 2 ? { kind: "cut" } : noFault);
    const target = new GatheringTarget();
    const range = { start: 10, end: 3 * mib };
    await assert.rejects(subject.store.streamPart({ key: "cut/part", range, target }), isKind("unclear"));
    assert.ok(target.bytes.length < 3 * mib - 10, `${target.bytes.length} bytes before the cut`);
    const facts = await retrying(subject.store, Math.random).streamPart({ key: "cut/part", range, target });
    assert.deepEqual([facts.bytes, facts.objectBytes, target.tries], [3 * mib - 10, 3 * mib, 3]);
    assert.ok(target.bytes.equals(body.subarray(10)));
  });

  test("no error holds a secret", async () => {
    const secrets = { accessKeyId: "key", secretAccessKey: "hidden-secret", sessionToken: "hidden-token" };
    const { store, close } = open({ ...options, ...secrets });
    const error = await store.get("a").catch((caught: unknown) => caught);
    assert.ok(error instanceof StoreError);
    assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /hidden/);
    close();
  });

  test("a large file survives lost parts, each of which is sent again", async () => {
    let failures = 0;
    proxy.plan = ({ operation }) =>
      operation === "putPart" && failures++ % 2 === 0
        ? { kind: failures % 4 === 1 ? "reset" : "answerAfter" }
        : noFault;
    const path = largeFile("lost parts");
    await subject.store.putFile("large/a", path);
    assert.equal(existsSync(path), false);
    const { body, objectBytes } = await direct.store.getPart("large/a", { start: 10 * mib - 5, end: 10 * mib + 5 });
    assert.deepEqual([objectBytes, body.length], [12 * mib, 10]);
    assert.ok(failures > 3);
    assert.equal(await uploads(), 0);
  });

  test("a file is compared with the checksum of the object, one that went up in parts too", async () => {
    const file = join(folder, "compared");
    for (const bytes of [3 * mib, 12 * mib]) {
      const key = `compared/${bytes}`;
      const body = Buffer.alloc(bytes, key);
      writeFileSync(file, body);
      await direct.store.putFile(key, file);
      writeFileSync(file, body);
      assert.equal(await direct.store.compareChecksum(key, file), true);
      body.writeUInt8(1, bytes - 7);
      writeFileSync(file, body);
      assert.equal(await direct.store.compareChecksum(key, file), false);
    }
    await assert.rejects(direct.store.compareChecksum("compared/none", file), ObjectNotFound);
  });

  test("an upload that fails leaves no object, no parts, and the file where it was", async () => {
    for (const failing of ["putPart", "completeMultipart"]) {
      proxy.plan = ({ operation }) => (operation === failing ? { kind: "answer", code: "SlowDown" } : noFault);
      const path = largeFile(failing);
      await assert.rejects(subject.store.putFile(`failed/${failing}`, path), isKind("slow-down"));
      assert.equal(existsSync(path), true);
      await assert.rejects(direct.store.get(`failed/${failing}`), ObjectNotFound);
      assert.equal(await uploads(), 0, failing);
      proxy.plan = () => noFault;
      await subject.store.putFile(`failed/${failing}`, path);
      assert.equal((await direct.store.getPart(`failed/${failing}`, { start: 0, end: 1 })).objectBytes, 12 * mib);
    }
  });

  test("a put that happened, though its answer was lost, is found by the next conditional one", async () => {
    proxy.plan = () => ({ kind: "resetAfter" });
    await assert.rejects(subject.store.putIfAbsent("lost/a", bytesOf("ours")), isKind("unclear"));
    proxy.plan = () => noFault;
    assert.equal(await subject.store.putIfAbsent("lost/a", bytesOf("ours")), false);
    assert.equal(Buffer.from(await subject.store.get("lost/a")).toString(), "ours");
  });
});
