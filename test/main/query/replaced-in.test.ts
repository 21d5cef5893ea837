import assert from "node:assert/strict";
import { test } from "node:test";
import { replacedIn } from "../../../src/main/query/replaced-in.js";
import type { ColumnBounds, DataFile, ReplacedIds } from "../../../src/shared/messages.js";
import { idFieldId } from "../../../src/shared/schema/table-schema.js";

function file(key: string, lower?: string, upper?: string): DataFile {
  const bounds: Record<number, ColumnBounds> = {};
  if (lower !== undefined) bounds[idFieldId] = { lower, upper: upper ?? null, nulls: 0 };
  return { key, bytes: 1, rows: 1, day: 0, bounds, fieldIds: [1, 2] };
}

function ids(path: string, lower: string, upper: string): ReplacedIds {
  return { path, bytes: 1, count: 1, lower, upper };
}

const look = (files: readonly DataFile[], hot: Parameters<typeof replacedIn>[2]) =>
  replacedIn(
    files,
    files.map(({ key }) => key),
    hot,
  ).map((group) => [group.files.join(" "), group.idFiles.join(" ")]);

test("nothing is replaced as long as no hot file says so", () => {
  assert.deepEqual(look([file("a")], [{ path: "h", bytes: 1, rows: 1, replaced: null }]), []);
});

test("a hot file acts on all before it, and on files of the store that may hold its ids", () => {
  const hot = [
    { path: "h1", bytes: 1, rows: 1, replaced: ids("i1", "c", "f") },
    { path: "h2", bytes: 1, rows: 1 },
    // Tombstones alone.
    { path: "h3", bytes: 0, rows: 0, replaced: ids("i3", "k", "m") },
    { path: "h4", bytes: 1, rows: 1, replaced: null },
  ];
  const files = [
    file("unknown"),
    file("low", "a", "b"),
    file("mid", "d", "e"),
    file("high", "l", "z"),
    file("open", "m"),
  ];
  assert.deepEqual(look(files, hot), [
    ["unknown", "i1 i3"],
    ["mid", "i1"],
    ["high open h1 h2", "i3"],
  ]);
});

test("bounds are compared as UTF-8, and those that are cut within a character are not trusted", () => {
  // U+FFFD is what is left of half a character; surrogates are above all other characters.
  const hot = [{ path: "h", bytes: 1, rows: 1, replaced: ids("i", "\u{10000}", "\u{10000}") }];
  assert.deepEqual(look([file("below", "a", "\uffee"), file("cut", "a", "b\ufffd")], hot), [["cut", "i"]]);
});
