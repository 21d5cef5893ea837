import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { chooseInstance, instanceNotes, scanBytesOf } from "../../../src/main/query/choose-instance.js";
import type { HotFile, SnapshotTable } from "../../../src/main/query/snapshot-provider.js";
import { limits } from "../../../src/shared/limits.js";
import type { DataFile } from "../../../src/shared/messages.js";

const mib = 1024 * 1024;
const smallest = limits.oneThreadFileBytesMin;

function fileOf(bytes: number, more: Partial<DataFile> = {}): DataFile {
  return { key: "k", bytes, rows: 1, day: 0, bounds: {}, fieldIds: [], ...more };
}

function hotOf(bytes: number, rows: number, replacedBytes?: number): HotFile {
  const replaced =
    replacedBytes === undefined ? null : { path: "r", bytes: replacedBytes, count: 1, lower: "a", upper: "b" };
  return { path: "h", bytes, rows, replaced };
}

function tableOf(files: readonly DataFile[], hot: readonly HotFile[] = []): SnapshotTable {
  return { name: "t", schema: { version: 1, lastFieldId: 0, columns: [] }, version: "1", files, hot };
}

describe("the instance of a query", () => {
  const choose = (scanBytes: number, running: number, threads: number) =>
    chooseInstance({ scanBytes, running, threads });
  const most = limits.oneThreadScanBytesMax;

  test("is that of all threads while it is alone, or beside fewer than there are threads", () => {
    assert.equal(choose(0, 1, 2), "all-threads");
    for (const running of [1, 2, 15]) assert.equal(choose(mib, running, 16), "all-threads");
  });

  test("is that of one thread for what reads little when all threads have a query", () => {
    assert.equal(choose(0, 2, 2), "one-thread");
    assert.equal(choose(most, 8, 2), "one-thread");
    assert.equal(choose(mib, 16, 16), "one-thread");
  });

  test("is that of all threads for what reads much, in any company", () => {
    for (const running of [1, 2, 64]) assert.equal(choose(most + 1, running, 2), "all-threads");
  });

  test("is told by EXPLAIN where it is that of one thread", () => {
    const choice = { scanBytes: 0, running: 3, threads: 2 };
    assert.deepEqual(instanceNotes("all-threads", choice), []);
    assert.deepEqual(instanceNotes("one-thread", choice), [
      "on one thread, as it reads little and 3 queries run at once",
    ]);
  });
});

describe("what a query reads", () => {
  test("is nothing without tables or files", () => {
    assert.equal(scanBytesOf([]), 0);
    assert.equal(scanBytesOf([tableOf([])]), 0);
  });

  test("is the bytes of all files of all tables, those that say what is deleted included", () => {
    const deletes = [{ key: "d", bytes: 3 * mib, rows: 2 }];
    const tables = [
      tableOf([fileOf(mib), fileOf(2 * mib, { deletes })], [hotOf(4 * mib, 9, 5 * mib)]),
      tableOf([fileOf(6 * mib)]),
    ];
    assert.equal(scanBytesOf(tables), 21 * mib);
  });

  test("is more than the bytes where files are small, as each has to be opened", () => {
    const files = Array.from({ length: 100 }, () => fileOf(10));
    assert.equal(scanBytesOf([tableOf(files)]), 100 * smallest);
    assert.equal(scanBytesOf([tableOf([], [hotOf(10, 1, 10)])]), 2 * smallest);
    // A hot segment whose rows are all gone again has no file.
    assert.equal(scanBytesOf([tableOf([], [hotOf(0, 0)])]), 0);
  });
});
