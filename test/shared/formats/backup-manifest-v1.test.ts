import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MiniodbError } from "../../../src/shared/errors.js";
import {
  encodeBackupManifest,
  parseBackupManifest,
  type BackupManifest,
} from "../../../src/shared/formats/backup-manifest-v1.js";
import { parseTableMetadata } from "../../../src/shared/iceberg/table-metadata.js";
import { repositoryRoot } from "../../harness/repository-root.js";

const golden = join(repositoryRoot, "test/golden/backup-manifest-v1.json");
const metadata = parseTableMetadata(
  readFileSync(join(repositoryRoot, "test/golden/table-metadata-v2.json")),
  "table-metadata-v2.json",
);
const uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
const manifest: BackupManifest = {
  id: "20261123T081500000Z-0badcafe",
  kind: "full",
  timeMs: Date.parse("2026-11-23T08:15:00Z"),
  nodeId: "node-1",
  warehouse: "/var/lib/miniodb/warehouse",
  keyId: null,
  tables: [
    {
      name: "Cpu",
      uuid,
      location: `cpu-${uuid}`,
      snapshotId: "9007199254740993",
      rows: 10,
      files: 1,
      bytes: 1234,
      metadata: { ...metadata, "current-snapshot-id": 9007199254740993n },
      objects: [
        { key: `cpu-${uuid}/data/b.parquet`, bytes: 7, sha256: "b".repeat(64), storedBytes: 7 },
        { key: `cpu-${uuid}/data/a.parquet`, bytes: 5, sha256: "a".repeat(64), storedBytes: 5 },
      ],
    },
  ],
};

test("version 1 stays as it is (golden file), ids of 63 bits included", () => {
  const bytes = encodeBackupManifest(manifest);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(golden, bytes);
  assert.equal(Buffer.from(bytes).toString("utf8"), readFileSync(golden, "utf8"));
  const read = parseBackupManifest(readFileSync(golden), "golden");
  const [table] = manifest.tables;
  assert.ok(table !== undefined);
  assert.deepEqual(read, { ...manifest, tables: [{ ...table, objects: table.objects.toReversed() }] });
});

test("what is no manifest, of another version, or not whole is refused with a reason", () => {
  const text = Buffer.from(encodeBackupManifest(manifest)).toString("utf8");
  const cases: readonly (readonly [string, RegExp])[] = [
    [text.slice(0, -10), /not JSON/],
    ["[]", /no backup's manifest/],
    [text.replace('"version":1', '"version":2'), /its version is 2, not 1/],
    [text.replace('"kind":"full"', '"kind":"half"'), /lacks id, kind/],
    [text.replace('"rows":10', '"rows":"x"'), /one of its tables/],
    [text.replace(`["cpu-${uuid}/data/a.parquet",5`, "[7,5"), /one of its objects/],
  ];
  for (const [body, pattern] of cases) {
    assert.throws(
      () => parseBackupManifest(Buffer.from(body), "m"),
      (error) => error instanceof MiniodbError && error.code === "BACKUP_UNUSABLE" && pattern.test(error.message),
      body.slice(0, 80),
    );
  }
});
