import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { daySpec } from "../../../src/shared/iceberg/partition-spec.js";
import { toIcebergSchema } from "../../../src/shared/iceberg/schema-json.js";
import { newSnapshotId, withoutExpired, withSnapshot, type ExpiryRule } from "../../../src/shared/iceberg/snapshot.js";
import { currentSnapshot, snapshotsOf, type TableMetadata } from "../../../src/shared/iceberg/table-metadata.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { sampleSchema } from "./catalog-bench.js";

const empty: TableMetadata = {
  "format-version": 2,
  "table-uuid": "u",
  location: "file:///t",
  "last-sequence-number": 0,
  "last-updated-ms": 0,
  "last-column-id": 4,
  "current-schema-id": 2,
  schemas: [toIcebergSchema(sampleSchema)],
  "default-spec-id": 0,
  "partition-specs": [daySpec(sampleSchema)],
  "last-partition-id": 1000,
  "default-sort-order-id": 1,
  "sort-orders": [],
  properties: {},
};
const none = { files: 0, rows: 0, bytes: 0 };

/** One snapshot a second, ids 1, 2, ... */
function grown(snapshots: number): TableMetadata {
  let metadata = empty;
  for (let id = 1; id <= snapshots; id++) {
    metadata = withSnapshot(metadata, {
      snapshotId: id,
      operation: "append",
      commitId: `c${id}`,
      manifestListUri: `l${id}`,
      added: { files: 1, rows: 10, bytes: 100 },
      removed: none,
      total: { files: id, rows: id * 10, bytes: id * 100 },
      deletes: { added: none, removed: none, total: none },
      changedPartitions: 1,
      nowMs: id * 1_000,
    });
  }
  return metadata;
}

const ids = (metadata: TableMetadata) => snapshotsOf(metadata).map((snapshot) => snapshot["snapshot-id"]);

describe("snapshots", () => {
  test("form a chain with sequence numbers, a log and a branch", () => {
    const metadata = grown(3);
    assert.deepEqual(ids(metadata), [1, 2, 3]);
    assert.deepEqual(
      snapshotsOf(metadata).map((snapshot) => snapshot["parent-snapshot-id"]),
      [undefined, 1, 2],
    );
    assert.deepEqual(
      snapshotsOf(metadata).map((snapshot) => snapshot["sequence-number"]),
      [1, 2, 3],
    );
    assert.equal(metadata["last-sequence-number"], 3);
    assert.equal(currentSnapshot(metadata)?.["snapshot-id"], 3);
    assert.deepEqual(metadata.refs, { main: { "snapshot-id": 3, type: "branch" } });
    assert.equal(metadata["snapshot-log"]?.length, 3);
    assert.equal(currentSnapshot(metadata)?.summary["total-records"], "30");
  });

  test("new ids are positive, exact and unused", () => {
    const metadata = grown(3);
    const draws = [2 / 10 ** 15, 1 / 10 ** 15, 1 - 2 ** -53];
    const id = newSnapshotId(metadata, () => draws.shift() ?? 0);
    assert.ok(Number.isSafeInteger(id) && id > 3 && String(id).length <= 15, String(id));
  });

  test("expire by age beyond those that are kept", () => {
    const rule: ExpiryRule = { keep: 2, ageMsMax: 3_500, max: 100, nowMs: 10_000 };
    const metadata = grown(10);
    assert.deepEqual(ids(withoutExpired(metadata, rule)), [7, 8, 9, 10]);
    assert.deepEqual(ids(withoutExpired(metadata, { ...rule, keep: 6 })), [5, 6, 7, 8, 9, 10]);
    assert.deepEqual(ids(withoutExpired(metadata, { ...rule, max: 3 })), [8, 9, 10]);
    assert.deepEqual(ids(withoutExpired(metadata, { ...rule, nowMs: 1e9, keep: 0 })), [10]);
    assert.equal(withoutExpired(metadata, { ...rule, ageMsMax: 1e9 }), metadata);
  });

  test("what a reference names stays, and the log begins after the last that went", () => {
    const metadata = grown(10);
    const tagged = { ...metadata, refs: { ...metadata.refs, audit: { "snapshot-id": 2, type: "tag" } } };
    const expired = withoutExpired(tagged, { keep: 3, ageMsMax: 0, max: 100, nowMs: 1e9 });
    assert.deepEqual(ids(expired), [2, 8, 9, 10]);
    assert.deepEqual(
      expired["snapshot-log"]?.map((entry) => entry["snapshot-id"]),
      [8, 9, 10],
    );
  });

  test("whatever the rule: the current one stays, and at most the bounds", () => {
    const seed = 21;
    const random = seededRandom(seed);
    for (let round = 0; round < 300; round++) {
      const metadata = grown(1 + random.integer(20));
      const rule = {
        keep: random.integer(5),
        ageMsMax: random.integer(20_000),
        max: 1 + random.integer(10),
        nowMs: random.integer(40_000),
      };
      const kept = ids(withoutExpired(metadata, rule));
      const all = ids(metadata);
      assert.equal(kept.at(-1), all.at(-1), `seed ${seed}, round ${round}`);
      assert.ok(kept.length <= rule.max);
      assert.deepEqual(kept, all.slice(all.length - kept.length), "the newest stay");
    }
  });
});
