import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { planCompaction, type CompactionRules } from "../../../src/main/upkeep/plan-compaction.js";
import type { DataFile } from "../../../src/shared/messages.js";

const nowMs = 1_800_000_000_000;
const rules: CompactionRules = {
  smallFilesMin: 3,
  targetBytes: 250,
  inputBytesMax: 1000,
  deletedPercent: 20,
  deletedAgeMs: 60_000,
};

function file(key: string, day: number, bytes: number, startMicros: number | null): DataFile {
  const lower = startMicros === null ? null : String(startMicros);
  return { key, day, bytes, rows: 1, fieldIds: [1], bounds: { 1: { lower, upper: lower, nulls: 0 } } };
}

function keysOf(files: readonly DataFile[]): string[][] {
  return planCompaction(files, rules, nowMs).map((plan) => plan.files.map(({ key }) => key));
}

describe("plan of compaction", () => {
  test("days with few small files are left alone, and so are large files", () => {
    assert.deepEqual(keysOf([]), []);
    assert.deepEqual(keysOf([file("a", 1, 10, 1), file("b", 1, 10, 2), file("c", 2, 10, 3)]), []);
    const large = [file("a", 1, 10, 1), file("b", 1, 10, 2), file("c", 1, 125, 3), file("d", 1, 500, 3)];
    assert.deepEqual(keysOf(large), []);
  });

  test("a file that is larger than all smaller ones together waits until there is as much beside it", () => {
    const files = [file("a", 1, 10, 1), file("b", 1, 100, 2), file("c", 1, 10, 3), file("d", 1, 15, 4)];
    assert.deepEqual(keysOf(files), [["a", "c", "d"]]);
    assert.deepEqual(keysOf([...files, file("e", 1, 70, 5)]), [["a", "b", "c", "d", "e"]]);
    // What fills a target is merged all the same, and the rest of the cut is not, where it would rewrite much for little.
    const cut = [file("a", 1, 120, 1), file("b", 1, 120, 2), file("c", 1, 110, 3), file("d", 1, 8, 4)];
    assert.deepEqual(keysOf(cut), [["a", "b"]]);
  });

  test("of tiny files the number counts", () => {
    const big = { ...rules, targetBytes: 256 * 1024 * 1024 };
    const files = [file("a", 1, 200_000, 1), file("b", 1, 1000, 2), file("c", 1, 10, 3)];
    assert.equal(planCompaction(files, big, nowMs)[0]?.files.length, 3);
  });

  test("small files of a day are merged in the order of their time", () => {
    const files = [file("c", 1, 10, 30), file("a", 1, 10, 10), file("b", 1, 10, 20), file("x", 1, 999, 0)];
    assert.deepEqual(planCompaction(files, rules, nowMs), [
      { day: 1, files: [files[1], files[2], files[0]], bytes: 30 },
    ]);
  });

  test("times order as numbers, and files without one come first", () => {
    const files = [file("a", 1, 10, 100), file("b", 1, 10, 9), file("c", 1, 10, null), file("d", 1, 10, -5)];
    assert.deepEqual(keysOf(files), [["c", "d", "b", "a"]]);
  });

  test("a merged file stays within the target; a file that would be alone is left", () => {
    const files = [1, 2, 3, 4, 5].map((n) => file(`f${n}`, 1, 90, n));
    assert.deepEqual(keysOf(files), [
      ["f1", "f2"],
      ["f3", "f4"],
    ]);
  });

  test("the day with the most files comes first", () => {
    const files = [1, 2, 3].map((n) => file(`a${n}`, 1, 1, n)).concat([1, 2, 3, 4].map((n) => file(`b${n}`, 2, 1, n)));
    assert.deepEqual(
      planCompaction(files, rules, nowMs).map(({ day }) => day),
      [2, 1],
    );
  });

  test("a file of any size is written anew when many of its rows are deleted, or when they are for long", () => {
    const folder = "t-0a1b2c3d-4e5f-6789-abcd-ef0123456789/data/day=1970-01-02";
    const withDeletes = (key: string, rows: number, ageMs: number): DataFile => {
      const uuid = "0a1b2c3d-4e5f-6789-abcd-ef0123456789";
      const deletes = [{ key: `${folder}/${nowMs - ageMs}-${uuid}-deletes.parquet`, bytes: 9, rows }];
      return { ...file(key, 1, 500, 1), rows: 10, deletes };
    };
    assert.deepEqual(keysOf([withDeletes("few", 1, 0), file("none", 1, 500, 1)]), []);
    assert.deepEqual(keysOf([withDeletes("many", 2, 0), withDeletes("old", 1, 60_000)]), [["many"], ["old"]]);
    // What is merged anyway is not written twice.
    const small = [1, 2].map((n) => file(`s${n}`, 1, 10, n));
    assert.deepEqual(keysOf([...small, { ...withDeletes("small", 2, 0), bytes: 10 }]), [["s1", "small", "s2"]]);
  });
});
