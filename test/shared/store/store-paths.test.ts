import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  backupFileKey,
  backupFilesOf,
  backupId,
  backupManifestKey,
  backupOfTag,
  backupTag,
  backupTimeMs,
  dataFileKey,
  deleteFileKey,
  isImmutableKey,
  keyOfUri,
  locationPrefix,
  manifestKey,
  manifestListKey,
  parseBackupFileKey,
  parseBackupManifestKey,
  parseDataFileKey,
  parseLocation,
  parseVersionKey,
  tableLocation,
  versionHintKey,
  versionKey,
  versionPrefix,
} from "../../../src/shared/store/store-paths.js";

const uuid = "0a1b2c3d-4e5f-6789-abcd-ef0123456789";
const location = `metrics_1-${uuid}`;

describe("store paths", () => {
  test("a location is the lower-case name and the uuid, and parses back", () => {
    assert.equal(tableLocation("Metrics_1", uuid), location);
    assert.deepEqual(parseLocation(location), { nameKey: "metrics_1", uuid });
    assert.ok(location.startsWith(locationPrefix("METRICS_1")));
    for (const other of ["metrics_1", `Metrics-${uuid}`, `1a-${uuid}`, `a-${uuid}x`, `a/b-${uuid}`, ".tmp", ""]) {
      assert.equal(parseLocation(other), undefined, other);
    }
  });

  test("versions parse back, and nothing else has their prefix", () => {
    for (const version of [1, 9, 10, 123_456_789]) {
      const key = versionKey(location, version);
      assert.equal(parseVersionKey(key), version);
      assert.ok(key.startsWith(versionPrefix(location)));
    }
    const name = { location, commitId: uuid, attemptUuid: uuid };
    for (const key of [versionHintKey(location), manifestKey(name, 0), manifestListKey(name, 77)]) {
      assert.equal(parseVersionKey(key), undefined, key);
    }
    assert.ok(!manifestKey(name, 0).startsWith(versionPrefix(location)));
    assert.ok(!manifestListKey(name, 77).startsWith(versionPrefix(location)));
    assert.throws(() => versionKey(location, 0));
    assert.throws(() => versionKey(location, 1.5));
  });

  test("data files lie in the folder of their day and name their creation", () => {
    const key = dataFileKey(location, { day: 20_484, createdMs: 1_767_225_600_123.7, uuid });
    assert.equal(key, `${location}/data/day=2026-01-31/1767225600123-${uuid}.parquet`);
    assert.deepEqual(parseDataFileKey(key), { day: 20_484, createdMs: 1_767_225_600_123 });
    for (const day of [-719_528, -1, 0, 2_932_896]) {
      assert.equal(parseDataFileKey(dataFileKey(location, { day, createdMs: 0, uuid }))?.day, day);
    }
    assert.throws(() => dataFileKey(location, { day: 2_932_897, createdMs: 0, uuid }));
    assert.equal(parseDataFileKey(`${location}/data/other.parquet`), undefined);
  });

  test("backups have ids that sort by time, and all of their keys parse back", () => {
    const timeMs = Date.parse("2026-11-23T08:15:00.007Z");
    const id = backupId(timeMs, "0badcafe");
    assert.equal(id, "20261123T081500007Z-0badcafe");
    assert.equal(backupTimeMs(id), timeMs);
    assert.ok(id < backupId(timeMs + 1, "00000000"));
    for (const name of [
      { id, kind: "full", isSealed: true },
      { id, kind: "pointers", isSealed: false },
    ] as const) {
      assert.deepEqual(parseBackupManifestKey(backupManifestKey(name)), name);
    }
    const key = `${location}/data/day=2026-01-31/x.parquet`;
    const sha256 = "a".repeat(64);
    for (const keyId of [null, "0123456789abcdef"]) {
      const name = backupFileKey(keyId, key, sha256);
      assert.ok(name.startsWith(backupFilesOf(keyId, location)));
      assert.deepEqual(parseBackupFileKey(name), { key, sha256 });
    }
    assert.equal(backupOfTag(backupTag(id)), id);
    for (const other of ["miniodb.backup.x", "nightly", id]) assert.equal(backupOfTag(other), undefined);
    for (const other of [`.miniodb-backup/manifests/x.full.json`, versionKey(location, 1)]) {
      assert.equal(parseBackupManifestKey(other), undefined);
    }
  });

  test("data, deletes, manifests and lists never change under their key; versions, hints and records do", () => {
    const file = { day: 20_484, createdMs: 1_767_225_600_123, uuid };
    const name = { location, commitId: uuid, attemptUuid: uuid };
    const immutable = [dataFileKey(location, file), deleteFileKey(location, file), manifestKey(name, 0)];
    for (const key of [...immutable, manifestListKey(name, 77)]) assert.ok(isImmutableKey(key), key);
    for (const key of [versionKey(location, 1), versionHintKey(location)]) {
      assert.ok(!isImmutableKey(key), key);
    }
  });

  test("a URI of any mount or bucket leads to the key", () => {
    const key = `${location}/data/day=2026-01-31/x.parquet`;
    for (const base of ["file:///var/lib/miniodb", "s3://bucket/some/prefix", "/mnt", "file://"]) {
      assert.equal(keyOfUri(`${base}/${key}`), key);
    }
    assert.equal(keyOfUri("s3://bucket/elsewhere/data/x.parquet"), undefined);
    assert.equal(keyOfUri(`s3://bucket/${location}/other/x`), undefined);
  });
});
