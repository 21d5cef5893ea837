import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ColumnBounds, DataFile } from "../../../src/shared/messages.js";
import type { ColumnType } from "../../../src/shared/schema/column-type.js";
import { boundsOfFooter } from "../../../src/workers/persist/file-bounds.js";
import { mergeBounds } from "../../../src/workers/persist/merge-bounds.js";
import type { ChunkStatistics } from "../../../src/workers/persist/parquet-footer.js";

function textStatistics(lower: string, upper: string): ChunkStatistics {
  return { values: 10, nulls: 1, lower: Buffer.from(lower), upper: Buffer.from(upper) };
}

function boundsOf(type: ColumnType, ...groups: (ChunkStatistics | null)[]): ColumnBounds | undefined {
  const footer = { rows: 10 * groups.length, statistics: groups.map((group) => [group]) };
  return boundsOfFooter(footer, [{ fieldId: 7, name: "c", type, required: false }])[7];
}

function double(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}

function long(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return bytes;
}

describe("bounds from statistics", () => {
  test("short texts are bounds themselves, the first and last of all row groups", () => {
    const bounds = boundsOf(
      "string",
      textStatistics("b", "x"),
      textStatistics("é", "\u{1f600}"),
      textStatistics("", "a"),
    );
    assert.deepEqual(bounds, { lower: "", upper: "\u{1f600}", nulls: 3 });
  });

  test("long texts are cut between characters, and the upper bound stays above", () => {
    assert.deepEqual(boundsOf("string", textStatistics("a".repeat(20), "b".repeat(20))), {
      lower: "a".repeat(16),
      upper: `${"b".repeat(15)}c`,
      nulls: 1,
    });
    // 3 bytes each: five whole ones fit.
    assert.deepEqual(boundsOf("string", textStatistics("€".repeat(6), "€".repeat(6))), {
      lower: "€".repeat(5),
      upper: `${"€".repeat(4)}\u20ad`,
      nulls: 1,
    });
    const beforeSurrogates = boundsOf("string", textStatistics("a", "\ud7ff".repeat(6)));
    assert.equal(beforeSurrogates?.upper, `${"\ud7ff".repeat(4)}\ue000`);
    const last = boundsOf("string", textStatistics("a", `b${"\u{10ffff}".repeat(9)}`));
    assert.equal(last?.upper, "c", "the last character of all cannot be raised, the one before it is");
    assert.equal(boundsOf("string", textStatistics("a", "\u{10ffff}".repeat(9)))?.upper, null);
  });

  test("a byte order mark is part of the text", () => {
    assert.deepEqual(boundsOf("string", textStatistics("\ufeffa", "\ufeffb")), {
      lower: "\ufeffa",
      upper: "\ufeffb",
      nulls: 1,
    });
  });

  test("numbers compare as numbers", () => {
    const longs = [-1n, 5n, -(2n ** 63n)].map((value) => ({
      values: 1,
      nulls: 0,
      lower: long(value),
      upper: long(value),
    }));
    assert.deepEqual(boundsOf("long", ...longs), { lower: "-9223372036854775808", upper: "5", nulls: 0 });
    const doubles = [-1.5, 5, -2e300].map((value) => ({
      values: 1,
      nulls: 0,
      lower: double(value),
      upper: double(value),
    }));
    assert.deepEqual(boundsOf("double", ...doubles), { lower: -2e300, upper: 5, nulls: 0 });
  });

  test("a row group of nulls bounds nothing, one of values without bounds unbounds the file", () => {
    const nulls = { values: 10, nulls: 10, lower: null, upper: null };
    assert.deepEqual(boundsOf("string", nulls, textStatistics("a", "b")), { lower: "a", upper: "b", nulls: 11 });
    assert.deepEqual(boundsOf("string", nulls), { lower: null, upper: null, nulls: 10 });
    const unknown = { values: 10, nulls: 2, lower: null, upper: null };
    assert.deepEqual(boundsOf("double", unknown, { values: 1, nulls: 0, lower: double(1), upper: double(2) }), {
      lower: null,
      upper: null,
      nulls: 2,
    });
    assert.throws(() => boundsOf("long", null), /statistics/);
  });
});

describe("merged bounds", () => {
  const column = { fieldId: 3, name: "c", type: "long", required: false } as const;
  const file = (bounds: ColumnBounds | null, rows = 10): DataFile => ({
    key: "k",
    bytes: 1,
    rows,
    day: 0,
    bounds: bounds === null ? {} : { 3: bounds },
    fieldIds: bounds === null ? [] : [3],
  });

  test("hold for all files; a file without the column counts as nulls", () => {
    const files = [
      file({ lower: "9", upper: "10", nulls: 1 }),
      file({ lower: "-100", upper: "9", nulls: 0 }),
      file(null, 7),
    ];
    assert.deepEqual(mergeBounds(files, column), { lower: "-100", upper: "10", nulls: 8 });
  });

  test("are unknown where one file with values does not say", () => {
    const known = file({ lower: "1", upper: "2", nulls: 0 });
    assert.deepEqual(mergeBounds([known, file({ lower: null, upper: "5", nulls: 3 })], column), {
      lower: null,
      upper: "5",
      nulls: 3,
    });
    assert.deepEqual(mergeBounds([known, file({ lower: null, upper: null, nulls: 10 })], column), {
      lower: "1",
      upper: "2",
      nulls: 10,
    });
  });

  test("of texts go by bytes, not by UTF-16", () => {
    const text = { ...column, type: "string" } as const;
    const files = ["\ue000", "\u{1f600}"].map((value) => file({ lower: value, upper: value, nulls: 0 }));
    assert.deepEqual(mergeBounds(files, text), { lower: "\ue000", upper: "\u{1f600}", nulls: 0 });
  });
});
