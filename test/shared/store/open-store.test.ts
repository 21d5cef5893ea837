import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { loadConfig } from "../../../src/shared/config.js";
import { ConfigError } from "../../../src/shared/config-error.js";
import { chooseMirror, chooseStore } from "../../../src/shared/store/open-store.js";

function choose(env: Readonly<Record<string, string>>): ReturnType<typeof chooseStore> {
  return chooseStore("/warehouse", loadConfig({ env }).store, "");
}

describe("the store that the configuration names", () => {
  test("is the folder where no bucket is named", () => {
    assert.deepEqual(choose({}), { kind: "local", folder: "/warehouse" });
  });

  test("is a bucket of AWS, with the credentials that AWS's SDKs find", () => {
    const store = choose({ MINIODB_STORE_BUCKET: "tables", MINIODB_STORE_REGION: "eu-central-1" });
    assert.ok(store.kind === "s3");
    const { endpoint, region, isPathStyle, accessKeyId } = store.s3;
    assert.deepEqual([endpoint, region, isPathStyle, accessKeyId], ["", "eu-central-1", false, ""]);
  });

  test("is what the environment of the original MinIODB says", () => {
    const env = {
      MINIO_ENDPOINT: "minio:9000",
      MINIO_BUCKET: "miniodb",
      MINIO_ACCESS_KEY: "key",
      MINIO_SECRET_KEY: "secret",
    };
    for (const [tls, endpoint] of [
      ["false", "http://minio:9000"],
      ["true", "https://minio:9000"],
    ] as const) {
      const store = choose({ ...env, MINIO_USE_SSL: tls });
      assert.ok(store.kind === "s3");
      const { accessKeyId, secretAccessKey, isPathStyle, bucket } = store.s3;
      assert.deepEqual([store.s3.endpoint, bucket, isPathStyle], [endpoint, "miniodb", true]);
      assert.deepEqual([accessKeyId, secretAccessKey], ["key", "secret"]);
    }
  });

  test("has a prefix without slashes at its ends, and an endpoint with a scheme keeps it", () => {
    const store = choose({
      MINIODB_STORE_BUCKET: "tables",
      MINIODB_STORE_PREFIX: "/a/b/",
      MINIODB_STORE_ENDPOINT: "https://[::1]:9000/",
      MINIODB_STORE_ADDRESSING: "host",
    });
    assert.ok(store.kind === "s3");
    assert.deepEqual([store.s3.prefix, store.s3.endpoint, store.s3.isPathStyle], ["a/b", "https://[::1]:9000", false]);
  });

  test("is refused where options do not go together, and no message holds a secret", () => {
    const bucket = { MINIODB_STORE_BUCKET: "tables" };
    const cases = [
      [{ MINIO_ENDPOINT: "minio:9000" }, /store\.bucket is not/],
      [{ ...bucket, MINIO_SECRET_KEY: "hidden" }, /only one is set/],
      [{ ...bucket, MINIO_ENDPOINT: "https://user:hidden@minio" }, /store\.endpoint/],
      [{ ...bucket, MINIO_ENDPOINT: "minio:9000:1?hidden" }, /store\.endpoint/],
      [{ ...bucket, MINIODB_STORE_PREFIX: "a//b" }, /store\.prefix/],
      [{ ...bucket, MINIODB_STORE_PREFIX: "a/../b" }, /store\.prefix/],
      [{ MINIODB_STORE_BUCKET: "a/b" }, /store\.bucket/],
    ] as const;
    for (const [env, message] of cases) {
      assert.throws(
        () => choose(env),
        (error) => error instanceof ConfigError && message.test(error.message) && !error.message.includes("hidden"),
        JSON.stringify(env),
      );
    }
  });
});

describe("the second pool that the configuration names", () => {
  const mirror = (env: Readonly<Record<string, string>>): ReturnType<typeof chooseMirror> => {
    return chooseMirror(loadConfig({ env }));
  };

  test("is none, a folder, or a bucket by the names of the original MinIODB", () => {
    assert.equal(mirror({}), null);
    assert.deepEqual(mirror({ MINIODB_MIRROR_FOLDER: "/second" }), { kind: "local", folder: "/second" });
    const store = mirror({
      MINIO_BACKUP_ENDPOINT: "backup:9000",
      MINIO_BACKUP_BUCKET: "miniodb",
      MINIO_BACKUP_ACCESS_KEY: "key",
      MINIO_BACKUP_SECRET_KEY: "secret",
      MINIO_BACKUP_USE_SSL: "true",
      MINIODB_STORE_CONNECTIONS_MAX: "7",
      MINIODB_STORE_PREFIX: "not/of/the/second",
    });
    assert.ok(store?.kind === "s3");
    const { endpoint, bucket, prefix, accessKeyId, secretAccessKey, isPathStyle, connectionsMax } = store.s3;
    assert.deepEqual([endpoint, bucket, prefix], ["https://backup:9000", "miniodb", ""]);
    assert.deepEqual([accessKeyId, secretAccessKey, isPathStyle, connectionsMax], ["key", "secret", true, 7]);
  });

  test("is refused where options do not go together", () => {
    const cases = [
      [{ MINIO_BACKUP_ENDPOINT: "backup:9000" }, /mirror\.bucket is not/],
      [{ MINIODB_MIRROR_FOLDER: "/second", MINIO_BACKUP_BUCKET: "tables" }, /only one may be set/],
      [{ MINIO_BACKUP_BUCKET: "tables", MINIO_BACKUP_ACCESS_KEY: "key" }, /mirror\.secretAccessKey only one is set/],
    ] as const;
    for (const [env, message] of cases) assert.throws(() => mirror(env), message);
  });
});
