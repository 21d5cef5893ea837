import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MiniodbError } from "../../../src/shared/errors.js";
import { decodeAvroFile, encodeAvroFile } from "../../../src/shared/iceberg/avro-file.js";
import {
  decodeManifest,
  encodeManifest,
  entryStatus,
  newEntry,
  toDataFile,
  type NewDataFile,
} from "../../../src/shared/iceberg/manifest.js";
import { ManifestCache } from "../../../src/shared/iceberg/manifest-cache.js";
import {
  decodeManifestList,
  describeManifest,
  encodeManifestList,
  type ManifestFile,
} from "../../../src/shared/iceberg/manifest-list.js";
import { planManifests, type LiveManifest } from "../../../src/shared/iceberg/manifest-plan.js";
import { daySpec } from "../../../src/shared/iceberg/partition-spec.js";
import type { ColumnType } from "../../../src/shared/schema/column-type.js";
import { limits } from "../../../src/shared/limits.js";
import type { ObjectStore } from "../../../src/shared/store/object-store.js";
import { sampleDay, sampleSchema } from "./catalog-bench.js";

const sync = Buffer.alloc(16, 7);
const location = "metrics-0a1b2c3d-4e5f-6789-abcd-ef0123456789";
const types = new Map<number, ColumnType>(sampleSchema.columns.map(({ fieldId, type }) => [fieldId, type]));
const context = { schema: sampleSchema, sortOrderId: 3, uriOf: (key: string) => `s3://bucket/prefix/${key}` };
const spec = daySpec(sampleSchema);

function file(name: string, parts: Partial<NewDataFile> = {}): NewDataFile {
  return {
    key: `${location}/data/day=2026-01-31/${name}.parquet`,
    bytes: 1_000,
    rows: 10,
    day: sampleDay,
    bounds: {
      1: { lower: "1769817600000000", upper: "1769817600000009", nulls: 0 },
      3: { lower: "-9223372036854775808", upper: "9223372036854775807", nulls: 2 },
      4: { lower: null, upper: null, nulls: 10 },
    },
    fieldIds: [1, 2, 3, 4],
    ...parts,
  };
}

describe("manifest", () => {
  test("a file comes back as it was handed in, new entries with what they inherit", () => {
    const files = [file("a"), file("b", { day: -3, rows: 1, bounds: {}, fieldIds: [1] })];
    const bytes = encodeManifest(
      files.map((each) => newEntry(each, context)),
      { schema: sampleSchema, spec },
      sync,
    );
    const entries = decodeManifest(bytes, "m", { snapshotId: 5n * 2n ** 60n, sequenceNumber: 9 });
    assert.deepEqual(
      entries.map((entry) => toDataFile(entry, types)),
      files,
    );
    for (const entry of entries) {
      const { status, snapshotId, sequenceNumber, fileSequenceNumber } = entry;
      assert.deepEqual([status, snapshotId, sequenceNumber, fileSequenceNumber], [1, 5n * 2n ** 60n, 9, 9]);
      assert.ok(entry.file.file_path.startsWith(`s3://bucket/prefix/${location}/data/`));
      assert.equal(entry.file.file_format, "PARQUET");
    }
  });

  test("statistics are those of the specification", () => {
    const { file: record } = newEntry(file("a", { columnBytes: { 1: 80, 3: 90 }, isSorted: true }), context);
    assert.deepEqual(
      record.value_counts,
      [1, 2, 3, 4].map((key) => ({ key, value: 10 })),
    );
    assert.deepEqual(record.null_value_counts, [
      { key: 1, value: 0 },
      { key: 3, value: 2 },
      { key: 4, value: 10 },
    ]);
    assert.deepEqual(record.column_sizes, [
      { key: 1, value: 80 },
      { key: 3, value: 90 },
    ]);
    assert.deepEqual(
      record.lower_bounds?.map((pair) => pair.key),
      [1, 3],
    );
    assert.equal(record.sort_order_id, 3);
    assert.equal(newEntry(file("a"), context).file.sort_order_id, 0);
    assert.equal(newEntry(file("a"), context).file.column_sizes, null);
  });

  test("the Avro schema carries the field ids and the file's metadata the table's", () => {
    const bytes = encodeManifest([newEntry(file("a"), context)], { schema: sampleSchema, spec }, sync);
    const { metadata, schema } = decodeAvroFile(bytes, "m");
    assert.deepEqual(Object.keys(metadata).toSorted(), [
      "content",
      "format-version",
      "partition-spec",
      "partition-spec-id",
      "schema",
      "schema-id",
    ]);
    assert.deepEqual(JSON.parse(metadata["partition-spec"] ?? ""), [
      { "source-id": 1, "field-id": 1000, name: "timestamp_day", transform: "day" },
    ]);
    const text = JSON.stringify(schema);
    for (const id of [
      0, 1, 2, 3, 4, 100, 101, 102, 103, 104, 108, 109, 110, 125, 128, 131, 132, 134, 135, 137, 140, 1000,
    ]) {
      assert.match(text, new RegExp(`"field-id":${id}[,}]`));
    }
  });

  test("columns of an unknown field id, and bounds that say nothing, are left out", () => {
    const entry = newEntry(file("a"), context);
    const some = new Map<number, ColumnType>([[1, "timestamp"]]);
    assert.deepEqual(Object.keys(toDataFile(entry, some).bounds), ["1"]);
    assert.throws(
      () => newEntry(file("a", { bounds: { 99: { lower: "1", upper: "2", nulls: 0 } } }), context),
      /field 99/,
    );
  });

  test("what is not a file of the warehouse is refused", () => {
    const entry = newEntry(file("a"), context);
    const refuse = (changed: typeof entry) => {
      const bytes = encodeManifest([changed], { schema: sampleSchema, spec }, sync);
      assert.throws(() => decodeManifest(bytes, "m", { snapshotId: 1, sequenceNumber: 1 }), MiniodbError);
    };
    refuse({ ...entry, file: { ...entry.file, file_path: "s3://elsewhere/x.parquet" } });
  });
});

describe("manifest list", () => {
  const numbers = { snapshotId: 77, parentSnapshotId: 2n ** 62n, sequenceNumber: 12 };
  const entries = [
    newEntry(file("a", { rows: 3, day: 5 }), context),
    {
      ...newEntry(file("b", { rows: 4, day: -2 }), context),
      status: entryStatus.existing,
      sequenceNumber: 8,
      snapshotId: 1,
    },
    {
      ...newEntry(file("c", { rows: 5, day: 9 }), context),
      status: entryStatus.deleted,
      sequenceNumber: 2,
      snapshotId: 77,
    },
  ];
  const described = describeManifest(
    entries,
    { uri: `s3://b/${location}/metadata/m.avro`, bytes: 4_321, specId: 0 },
    numbers,
  );

  test("counts files and rows by status, and bounds the partitions", () => {
    const { partitions, ...rest } = described;
    assert.deepEqual(rest, {
      manifest_path: `s3://b/${location}/metadata/m.avro`,
      manifest_length: 4_321,
      partition_spec_id: 0,
      content: 0,
      sequence_number: 12,
      min_sequence_number: 8,
      added_snapshot_id: 77,
      added_files_count: 1,
      existing_files_count: 1,
      deleted_files_count: 1,
      added_rows_count: 3,
      existing_rows_count: 4,
      deleted_rows_count: 5,
      key_metadata: null,
    });
    assert.deepEqual(partitions?.[0]?.lower_bound, Buffer.from("feffffff", "hex"));
    assert.deepEqual(partitions?.[0]?.upper_bound, Buffer.from("09000000", "hex"));
  });

  test("comes back, with the snapshot in its metadata", () => {
    const bytes = encodeManifestList([described, described], numbers, sync);
    assert.deepEqual(plain(decodeManifestList(bytes, "l")), plain([described, described]));
    assert.deepEqual(decodeAvroFile(bytes, "l").metadata, {
      "snapshot-id": "77",
      "parent-snapshot-id": String(2n ** 62n),
      "sequence-number": "12",
      "format-version": "2",
    });
  });

  test("reads fields under other names by their ids", () => {
    const { schema, records } = decodeAvroFile(encodeManifestList([described], numbers, sync), "l");
    const rename = (text: string) =>
      text.replaceAll(/"(added|existing|deleted)_files_count"/g, '"$1_data_files_count"');
    const renamed = JSON.parse(rename(JSON.stringify(schema))) as typeof schema;
    const record = Object.fromEntries(
      Object.entries(records[0] as object).map(([name, value]) => [
        name.replace("_files_count", "_data_files_count"),
        value,
      ]),
    );
    const bytes = encodeAvroFile({ schema: renamed, metadata: {}, records: [record] }, sync);
    assert.deepEqual(plain(decodeManifestList(bytes, "l")), plain([described]));
  });
});

describe("planManifests", () => {
  const small = (index: number, length = 1_000): LiveManifest => {
    const entry = {
      ...newEntry(file(`f${index}`), context),
      status: entryStatus.existing,
      sequenceNumber: index,
      snapshotId: index,
    };
    const summary = describeManifest(
      [entry],
      { uri: `m${index}`, bytes: length, specId: 0 },
      { snapshotId: index, parentSnapshotId: null, sequenceNumber: index },
    );
    return { file: summary, entries: [entry] };
  };
  const added = [newEntry(file("new"), context)];
  const none = new Set<string>();
  const summarize = (entries: readonly { readonly key: string; readonly status: number }[]) =>
    entries.map(({ key, status }) => [key.split("/").at(-1), status]);

  test("keeps what it need not touch", () => {
    const live = [small(1), small(2)];
    const plan = planManifests(live, { added, removedKeys: none, snapshotId: 9 });
    assert.deepEqual(
      plan.kept,
      live.map((manifest) => manifest.file),
    );
    assert.deepEqual(plan.written.map(summarize), [[["new.parquet", 1]]]);
    assert.deepEqual(plan.removed, []);
  });

  test("writes a manifest again that loses a file, once", () => {
    const [first, second] = [small(1), small(2)];
    const both: LiveManifest = { file: first.file, entries: [...first.entries, ...second.entries] };
    const key = first.entries[0]?.key ?? "";
    const plan = planManifests([both, small(3)], { added: [], removedKeys: new Set([key]), snapshotId: 9 });
    assert.deepEqual(
      plan.kept.map((manifest) => manifest.manifest_path),
      ["m3"],
    );
    assert.deepEqual(plan.written.map(summarize), [
      [
        ["f1.parquet", 2],
        ["f2.parquet", 0],
      ],
    ]);
    assert.equal(plan.written[0]?.[0]?.snapshotId, 9);
    assert.equal(plan.written[0]?.[1]?.snapshotId, 2);
    // The snapshot after that names the deleted entry no more.
    const rewritten = { file: first.file, entries: plan.written[0] ?? [] };
    const next = planManifests([rewritten], {
      added: [],
      removedKeys: new Set([second.entries[0]?.key ?? ""]),
      snapshotId: 10,
    });
    assert.deepEqual(next.written.map(summarize), [[["f2.parquet", 2]]]);
    const last = planManifests([{ file: first.file, entries: next.written[0] ?? [] }], {
      added,
      removedKeys: none,
      snapshotId: 11,
    });
    assert.deepEqual(last.kept, []);
    assert.deepEqual(last.written.map(summarize), [[["new.parquet", 1]]]);
  });

  test("merges small ones when there are enough, and leaves large ones alone", () => {
    const many = Array.from({ length: limits.manifestsMergeMin }, (_value, index) => small(index));
    const large = small(99, limits.manifestMergeBytes);
    const plan = planManifests([...many, large], { added, removedKeys: none, snapshotId: 100 });
    assert.deepEqual(
      plan.kept.map((manifest) => manifest.manifest_path),
      ["m99"],
    );
    assert.equal(plan.written.length, 1);
    assert.equal(plan.written[0]?.length, many.length + 1);
    const fewer = planManifests([...many.slice(1), large], { added, removedKeys: none, snapshotId: 100 });
    assert.equal(fewer.kept.length, many.length);
  });

  test("cuts what is too long for one manifest", () => {
    const lots = Array.from({ length: limits.manifestEntriesMax * 2 + 1 }, (_value, index) =>
      newEntry(file(`n${index}`), context),
    );
    const plan = planManifests([], { added: lots, removedKeys: none, snapshotId: 1 });
    assert.deepEqual(
      plan.written.map((entries) => entries.length),
      [limits.manifestEntriesMax, limits.manifestEntriesMax, 1],
    );
  });
});

describe("ManifestCache", () => {
  test("reads each manifest once, and forgets the one used longest ago", async () => {
    const bytes = encodeManifest(
      [newEntry(file("a"), context), newEntry(file("b"), context)],
      { schema: sampleSchema, spec },
      sync,
    );
    const reads: string[] = [];
    const store = {
      get: (key: string) => {
        reads.push(key.split("/").at(-1) ?? "");
        return Promise.resolve(bytes);
      },
    } as unknown as ObjectStore;
    const cache = new ManifestCache(5);
    const read = async (name: string) => {
      const manifest = {
        manifest_path: `s3://b/${location}/metadata/${name}`,
        added_snapshot_id: 1,
        sequence_number: 1,
      };
      return cache.read(store, manifest as ManifestFile);
    };
    for (const name of ["m1", "m2", "m1", "m1", "m3", "m1", "m2"]) assert.equal((await read(name)).length, 2);
    assert.deepEqual(reads, ["m1", "m2", "m3", "m2"]);
  });
});

/** The library makes records of a class of their own. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
