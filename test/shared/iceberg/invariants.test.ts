import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { MiniodbError } from "../../../src/shared/errors.js";
import type { NewDeleteFile } from "../../../src/shared/iceberg/delete-entry.js";
import {
  checkFiles,
  checkVersion,
  type DeleteChange,
  type FileChange,
} from "../../../src/shared/iceberg/invariants.js";
import type { NewDataFile } from "../../../src/shared/iceberg/manifest.js";
import { parseTableMetadata, type TableMetadata } from "../../../src/shared/iceberg/table-metadata.js";
import { repositoryRoot } from "../../harness/repository-root.js";
import { sampleDay, sampleSchema } from "./catalog-bench.js";

const base = parseTableMetadata(
  readFileSync(join(repositoryRoot, "test", "golden", "table-metadata-v2.json")),
  "golden",
);
const none = { files: 0, rows: 0, bytes: 0 };
const [older, current] = base.snapshots ?? [];
assert.ok(older !== undefined && current !== undefined);
const schema = base.schemas.at(-1);
assert.ok(schema !== undefined);
const next: TableMetadata = { ...base, properties: { ...base.properties, "miniodb.wal.s": "20" } };

/** Names of the invariants that the check reports. */
function broken(check: () => void): readonly unknown[] {
  try {
    check();
  } catch (error) {
    assert.ok(error instanceof MiniodbError && error.code === "INTERNAL");
    return error.details["invariants"] as readonly unknown[];
  }
  return [];
}

function withFields(fields: readonly object[]): TableMetadata {
  return { ...next, schemas: [{ ...schema, fields } as (typeof base.schemas)[number]] };
}

describe("invariants between versions", () => {
  test("an ordinary step breaks none", () => {
    checkVersion(base, next);
    checkVersion(base, base);
  });

  const fields = schema.fields;
  const [timestamp, id, value, label, extra] = fields;
  const cases: Readonly<Record<string, TableMetadata>> = {
    identityNeverChanges: { ...next, "table-uuid": "another" },
    positionsOnlyGrow: { ...next, properties: { ...next.properties, "miniodb.wal.s": "11" } },
    positionsAreSequences: { ...next, properties: { ...next.properties, "miniodb.wal.t": "1.5" } },
    sequenceNumberGrows: { ...next, "last-sequence-number": 3 },
    timeNeverGoesBack: { ...next, "last-updated-ms": base["last-updated-ms"] - 1 },
    lastFieldIdNeverFalls: { ...next, "last-column-id": 4 },
    fieldIdsUnique: withFields([timestamp, id, value, label, extra, { ...extra, name: "again" }] as object[]),
    columnNamesUnique: withFields([timestamp, id, value, label, { ...extra, name: "LABEL" }] as object[]),
    fieldIdsKnown: withFields([timestamp, id, value, label, extra, { ...extra, id: 6, name: "new" }] as object[]),
    fieldIdsNeverReused: { ...next, "last-column-id": 9, ...reused() },
    systemColumnsStay: withFields([id, timestamp, value, label, extra] as object[]),
    snapshotIdsUnique: { ...next, snapshots: [older, older, current] },
    currentSnapshotIsMain: { ...next, refs: { main: { "snapshot-id": older["snapshot-id"], type: "branch" } } },
    refsAreRetained: { ...next, refs: { ...next.refs, tag: { "snapshot-id": 1, type: "tag" } } },
  };

  /** Field 4 went away in the base and comes back for something else. */
  function reused(): Pick<TableMetadata, "schemas"> {
    return withFields([timestamp, id, value, { ...label, id: 4 }, extra] as object[]);
  }

  for (const [name, metadata] of Object.entries(cases)) {
    test(name, () => {
      const from =
        name === "fieldIdsNeverReused"
          ? { ...base, ...withFields([timestamp, id, value, extra] as object[]), properties: base.properties }
          : base;
      assert.ok(broken(() => checkVersion(from, metadata)).includes(name));
    });
  }

  test("droppedStaysDropped", () => {
    const dropped = { ...base, properties: { ...base.properties, "miniodb.state": "dropped" } };
    assert.deepEqual(
      broken(() => checkVersion(dropped, next)),
      ["droppedStaysDropped"],
    );
  });

  test("encryptionScopesStay", () => {
    const encrypted = (scope: string): TableMetadata["properties"] => {
      const columns = { 4: { scope, isOn: true, mayBePlain: false } };
      return { ...base.properties, "miniodb.encrypted-columns": JSON.stringify(columns) };
    };
    const from = { ...base, properties: encrypted("00") };
    checkVersion(from, { ...next, properties: { ...next.properties, ...encrypted("00") } });
    assert.ok(broken(() => checkVersion(from, next)).includes("encryptionScopesStay"));
    const other = { ...next, properties: { ...next.properties, ...encrypted("01") } };
    assert.ok(broken(() => checkVersion(from, other)).includes("encryptionScopesStay"));
  });

  test("a stream that disappears is a position that falls", () => {
    const { "miniodb.wal.s": _gone, ...properties } = next.properties;
    assert.deepEqual(
      broken(() => checkVersion(base, { ...next, properties })),
      ["positionsOnlyGrow"],
    );
  });
});

describe("invariants of files", () => {
  const file: NewDataFile = {
    key: "k",
    bytes: 100,
    rows: 10,
    day: sampleDay,
    bounds: { 1: { lower: "1769817600000000", upper: "1769903999999999", nulls: 0 } },
    fieldIds: [1, 2, 3],
  };
  const change: FileChange = {
    schema: sampleSchema,
    added: [file],
    removedRows: 0,
    rowsGained: { min: 0, max: 10 },
    keys: ["a", "k"],
    totalBefore: { files: 1, rows: 5, bytes: 50 },
    totalAfter: { files: 2, rows: 15, bytes: 150 },
    rowsStated: 5,
    deletes: { added: [], removedRows: 0, totalBefore: none, totalAfter: none, dataRows: new Map([["a", 5]]) },
  };
  const deleteFile: NewDeleteFile = { key: "d", bytes: 9, rows: 2, day: sampleDay, dataKey: "a", replaces: [] };
  const withDeletes = (parts: Partial<DeleteChange>): FileChange => ({
    ...change,
    added: [],
    rowsGained: { min: -2, max: -2 },
    totalAfter: change.totalBefore,
    deletes: { ...change.deletes, added: [deleteFile], totalAfter: { files: 1, rows: 2, bytes: 9 }, ...parts },
  });
  const withFile = (parts: Partial<NewDataFile>): FileChange => ({ ...change, added: [{ ...file, ...parts }] });
  const late = { lower: "1769817600000000", upper: "1769904000000000", nulls: 0 };

  test("an ordinary change breaks none", () => {
    checkFiles(change);
    checkFiles({ ...change, rowsStated: undefined });
    checkFiles(withDeletes({}));
  });

  const cases: Readonly<Record<string, FileChange>> = {
    noFileTwice: { ...change, keys: ["k", "k"] },
    rowCountsAddUp: { ...change, removedRows: 1 },
    noRowFromNowhere: { ...change, rowsGained: { min: 0, max: 9 } },
    noRowLost: { ...change, rowsGained: { min: 11, max: 20 } },
    deleteCountsAddUp: withDeletes({ removedRows: 1 }),
    oneDeleteFileEach: withDeletes({
      added: [
        { ...deleteFile, rows: 1 },
        { ...deleteFile, key: "e", rows: 1 },
      ],
    }),
    deletesWithinTheirFile: withDeletes({ dataRows: new Map([["a", 2]]) }),
    filesHaveRows: withFile({ bytes: 0 }),
    fileColumnsKnown: withFile({ fieldIds: [1, 2, 9] }),
    rowsInTheirDay: withFile({ bounds: { 1: late } }),
    nullsWithinRows: withFile({ bounds: { ...file.bounds, 3: { lower: null, upper: null, nulls: 11 } } }),
  };
  for (const [name, value] of Object.entries(cases)) {
    test(name, () => {
      assert.deepEqual(
        broken(() => checkFiles(value)),
        [name],
      );
    });
  }

  test("the rows that the last snapshot states must be there", () => {
    assert.deepEqual(
      broken(() => checkFiles({ ...change, rowsStated: 6 })),
      ["rowCountsAddUp"],
    );
  });

  test("a file without bounds of its timestamps, or without the column, is refused", () => {
    assert.deepEqual(
      broken(() => checkFiles(withFile({ bounds: {} }))),
      ["rowsInTheirDay"],
    );
    assert.deepEqual(
      broken(() => checkFiles(withFile({ fieldIds: [2, 3], bounds: {} }))),
      ["fileColumnsKnown", "rowsInTheirDay"],
    );
  });
});
