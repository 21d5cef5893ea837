import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { MiniodbError } from "../../../src/shared/errors.js";
import { decodeManifest } from "../../../src/shared/iceberg/manifest.js";
import { decodeManifestList } from "../../../src/shared/iceberg/manifest-list.js";
import { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import {
  currentSnapshot,
  encodeTableMetadata,
  parseTableMetadata,
} from "../../../src/shared/iceberg/table-metadata.js";
import { positionsOf, settingsOf, withPosition, withSettings } from "../../../src/shared/iceberg/table-properties.js";
import { withColumn } from "../../../src/shared/schema/table-schema.js";
import { keyOfUri, versionKey } from "../../../src/shared/store/store-paths.js";
import { repositoryRoot } from "../../harness/repository-root.js";
import { openWarehouse, putSampleFile, sampleSchema } from "./catalog-bench.js";

const golden = (name: string) => join(repositoryRoot, "test", "golden", name);

describe("table metadata", () => {
  test("stays as it is (golden file)", async () => {
    const warehouse = openWarehouse(42);
    const { store } = warehouse;
    const catalog = new TableCatalog(store, warehouse.context());
    const { identity } = await catalog.createTable({
      name: "Metrics",
      schema: sampleSchema,
      settings: { sortOrder: ["label"], flushRows: 5 },
    });
    const first = await putSampleFile(warehouse, identity, { rows: 10 });
    await catalog.commitAppend(identity, {
      stream: "s",
      afterSequence: 0,
      lastSequence: 10,
      schema: sampleSchema,
      files: [first],
    });
    warehouse.clock.nowMs += 60_000;
    const second = await putSampleFile(warehouse, identity, { rows: 9 });
    const schema = withColumn(sampleSchema, "extra", "json");
    await catalog.commitRewrite(identity, {
      remove: [first.key],
      add: [second, await putSampleFile(warehouse, identity, { rows: 3 })],
      schema,
      append: { stream: "s", afterSequence: 10, lastSequence: 12 },
    });
    const version = await store.get(versionKey(identity.location, 4));
    const text = Buffer.from(version).toString();
    const path = golden("table-metadata-v2.json");
    const seen = `${JSON.stringify(JSON.parse(text), null, 2)}\n`;
    const snapshot = currentSnapshot(parseTableMetadata(version, "v4"));
    const list = await store.get(keyOfUri(snapshot?.["manifest-list"] ?? "") ?? "");
    if (!existsSync(path)) {
      // Made once, by hand: remove the three files to make them anew.
      writeFileSync(path, seen);
      writeFileSync(golden("manifest-list-v2.avro"), list);
      const [manifest] = decodeManifestList(list, "list");
      writeFileSync(golden("manifest-v2.avro"), await store.get(keyOfUri(manifest?.manifest_path ?? "") ?? ""));
    }
    assert.equal(seen, readFileSync(path, "utf8"));
    warehouse.close();
  });

  test("manifests written before stay readable (golden files)", () => {
    const [manifest, ...others] = decodeManifestList(readFileSync(golden("manifest-list-v2.avro")), "list");
    assert.ok(manifest !== undefined && others.length === 0);
    assert.deepEqual(
      [manifest.added_rows_count, manifest.deleted_rows_count, manifest.sequence_number, manifest.min_sequence_number],
      [12, 10, 2, 2],
    );
    const inherited = { snapshotId: manifest.added_snapshot_id, sequenceNumber: manifest.sequence_number };
    const entries = decodeManifest(readFileSync(golden("manifest-v2.avro")), "manifest", inherited);
    assert.deepEqual(
      entries.map(({ status, sequenceNumber, day, file }) => [status, sequenceNumber, day, file.record_count]),
      [
        [2, 1, 20_484, 10],
        [1, 2, 20_484, 9],
        [1, 2, 20_484, 3],
      ],
    );
  });

  test("fields that this version does not know survive, and 64-bit snapshot ids too", () => {
    const text = readFileSync(golden("table-metadata-v2.json"), "utf8");
    const parsed = JSON.parse(text) as Record<string, unknown>;
    const strange = { ...parsed, "encryption-keys": [{ a: 1 }], "current-snapshot-id": null, refs: undefined };
    const withLong = JSON.stringify(strange).replace(
      '"snapshots":[',
      '"snapshots":[{"snapshot-id":9223372036854775807,"x":1},',
    );
    const metadata = parseTableMetadata(Buffer.from(withLong), "strange");
    assert.equal(currentSnapshot(metadata), undefined);
    assert.equal(metadata.snapshots?.[0]?.["snapshot-id"], 9223372036854775807n);
    assert.deepEqual(Buffer.from(encodeTableMetadata(metadata)).toString(), withLong);
  });

  test("what is not metadata of version 2 is refused, saying what it lacks", () => {
    const refuse = (text: string, reason: RegExp) => {
      assert.throws(
        () => parseTableMetadata(Buffer.from(text), "v7"),
        (error) => error instanceof MiniodbError && error.code === "INTERNAL" && reason.test(error.message),
      );
    };
    refuse("", /v7.*not JSON/);
    refuse("[", /not JSON/);
    refuse("null", /not a JSON object/);
    refuse('{"format-version":3}', /lacks format-version 2, table-uuid/);
    const text = readFileSync(golden("table-metadata-v2.json"), "utf8");
    refuse(text.replace('"last-column-id": 5', '"last-column-id": 5.5'), /lacks last-column-id\./);
    refuse(text.slice(0, -10), /not JSON/);
  });
});

describe("table properties", () => {
  test("settings come back, are replaced whole, and leave all else", () => {
    const settings = {
      flushRows: 5,
      sortOrder: ["a", "b"],
      idValidation: { pattern: '"\\d+"' },
      addColumns: false,
      properties: { k: "v" },
    };
    const properties = withSettings({ other: "x", "miniodb.name": "T" }, settings);
    assert.deepEqual(settingsOf(properties), settings);
    assert.equal(properties["miniodb.sortOrder"], '["a","b"]');
    assert.deepEqual(withSettings(properties, {}), { other: "x", "miniodb.name": "T" });
  });

  test("a setting that someone broke by hand counts as unset", () => {
    assert.deepEqual(settingsOf({ "miniodb.flushRows": "{", "miniodb.unknown": "1" }), {});
  });

  test("positions are exact up to 2^53", () => {
    const properties = withPosition(withPosition({}, "a", Number.MAX_SAFE_INTEGER), "b", 1);
    assert.deepEqual(positionsOf(properties), { a: Number.MAX_SAFE_INTEGER, b: 1 });
  });
});
