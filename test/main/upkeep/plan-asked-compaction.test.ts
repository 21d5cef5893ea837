import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { planAskedCompaction, type AskedRules } from "../../../src/main/upkeep/plan-asked-compaction.js";
import type { DataFile } from "../../../src/shared/messages.js";

const rules: AskedRules = {
  smallFilesMin: 100,
  targetBytes: 200,
  inputBytesMax: 1000,
  deletedPercent: 50,
  deletedAgeMs: 1_000_000,
  nowMs: 1_800_000_000_000,
  sortFieldId: 1,
};

interface FileSketch {
  readonly day?: number;
  readonly bytes: number;
  /** Smallest and largest timestamp. */
  readonly times: readonly [number, number];
  readonly deletedRows?: number;
}

function file(key: string, { day = 1, bytes, times, deletedRows = 0 }: FileSketch): DataFile {
  const bounds = { 1: { lower: String(times[0]), upper: String(times[1]), nulls: 0 } };
  const uuid = "0a1b2c3d-4e5f-6789-abcd-ef0123456789";
  const deleteKey = `t-${uuid}/data/day=1970-01-02/${rules.nowMs}-${uuid}-deletes.parquet`;
  const deletes = deletedRows === 0 ? {} : { deletes: [{ key: deleteKey, bytes: 9, rows: deletedRows }] };
  return { key, day, bytes, rows: 10, fieldIds: [1], bounds, ...deletes };
}

function keysOf(files: readonly DataFile[], isFull: boolean, days: readonly [number, number] = [0, 10]): string[] {
  const scope = { isFull, fromDay: days[0], throughDay: days[1] };
  return planAskedCompaction(files, scope, rules).map((plan) => plan.files.map(({ key }) => key).join(" "));
}

describe("plan of a compaction that was asked for", () => {
  test("small files are merged however few they are, finished ones stay", () => {
    const files = [
      file("b", { bytes: 50, times: [10, 20] }),
      file("a", { bytes: 60, times: [0, 20] }),
      file("large", { bytes: 100, times: [0, 20] }),
      file("alone", { day: 2, bytes: 1, times: [0, 1] }),
    ];
    assert.deepEqual(keysOf(files, false), ["a b"]);
    assert.deepEqual(keysOf(files, false, [2, 2]), []);
    assert.deepEqual(keysOf([], true), []);
  });

  test("deletes are applied when they are due, and all of them by a full one", () => {
    const files = [
      file("few", { bytes: 150, times: [0, 1], deletedRows: 1 }),
      file("many", { bytes: 150, times: [2, 3], deletedRows: 5 }),
    ];
    assert.deepEqual(keysOf(files, false), ["many"]);
    assert.deepEqual(keysOf(files, true), ["few", "many"]);
  });

  test("a full one merges what overlaps, whatever its size, and neighbours up to the target", () => {
    const files = [
      file("a", { bytes: 150, times: [0, 10] }),
      file("b", { bytes: 150, times: [5, 15] }),
      file("c", { bytes: 150, times: [15, 20] }),
      file("d", { bytes: 90, times: [20, 30] }),
      file("e", { bytes: 90, times: [31, 32] }),
      file("f", { bytes: 90, times: [33, 34] }),
    ];
    assert.deepEqual(keysOf(files, true), ["a b", "d e"]);
  });

  test("a file between two small ones that is settled keeps them apart", () => {
    const files = [
      file("a", { bytes: 10, times: [0, 1] }),
      file("b", { bytes: 150, times: [2, 3] }),
      file("c", { bytes: 10, times: [4, 5] }),
    ];
    assert.deepEqual(keysOf(files, true), []);
  });

  test("where more overlaps than a merge may read, large files without deletes stay", () => {
    const files = Array.from({ length: 8 }, (_, n) => file(`f${n}`, { bytes: 150, times: [n, 100 + n] }));
    assert.deepEqual(keysOf(files, true), []);
    const more = [...files, file("s1", { bytes: 20, times: [50, 60] }), file("s2", { bytes: 20, times: [51, 60] })];
    assert.deepEqual(keysOf(more, true), ["s1 s2"]);
    assert.deepEqual(keysOf(files.slice(0, 6), true), ["f0 f1 f2 f3 f4 f5"]);
  });

  test("a file that does not say what it holds overlaps all others", () => {
    const unknown = { ...file("u", { bytes: 150, times: [0, 0] }), bounds: {} };
    assert.deepEqual(keysOf([file("a", { bytes: 150, times: [0, 1] }), unknown], true), ["u a"]);
  });
});
