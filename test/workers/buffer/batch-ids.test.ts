import assert from "node:assert/strict";
import { test } from "node:test";
import { BatchIds } from "../../../src/workers/buffer/batch-ids.js";

function batch(key: string, createdMs: number, errorsJson = ""): Parameters<BatchIds["remember"]>[1] {
  const bodyHash = new Uint8Array(16);
  const entry = { key, bodyHash, accepted: 1, rejected: errorsJson === "" ? 0 : 1, firstRow: 0, createdMs, errorsJson };
  return { entry, lastSequence: 1, logPosition: 0 };
}

test("a batch id is forgotten after the window", () => {
  const ids = new BatchIds({ windowMs: 1000, countMax: 10, errorsMax: 100 });
  ids.remember(0, batch("a", 5000));
  assert.equal(ids.find(0, "a", 6000)?.entry.key, "a");
  assert.equal(ids.find(0, "a", 6001), undefined);
  ids.remember(0, batch("b", 7000));
  assert.equal(ids.count, 1);
});

test("of too many batch ids the oldest go", () => {
  const ids = new BatchIds({ windowMs: 1_000_000, countMax: 3, errorsMax: 100 });
  for (const key of ["a", "b", "c", "a", "d"]) ids.remember(0, batch(key, 1));
  assert.deepEqual(
    ["a", "b", "c", "d"].map((key) => ids.find(0, key, 2) !== undefined),
    [true, false, true, true],
  );
});

test("a batch id is one of its table, and the bound is for all tables", () => {
  const ids = new BatchIds({ windowMs: 1_000_000, countMax: 3, errorsMax: 100 });
  ids.remember(1, batch("a", 1));
  assert.equal(ids.find(11, "a", 2), undefined);
  for (let slot = 2; slot < 1000; slot++) ids.remember(slot, batch("a", 1));
  assert.equal(ids.count, 3);
  assert.notEqual(ids.find(999, "a", 2), undefined);
});

test("row errors are bounded: the oldest batches keep their counts only", () => {
  const ids = new BatchIds({ windowMs: 1_000_000, countMax: 1000, errorsMax: 100 });
  for (let index = 0; index < 10; index++) ids.remember(0, batch(`b${index}`, index, "x".repeat(30)));
  const kept = Array.from({ length: 10 }, (_, index) => ids.find(0, `b${index}`, 10)?.entry);
  assert.ok(kept.every((entry) => entry?.rejected === 1));
  const withErrors = kept.map((entry) => entry?.errorsJson !== "");
  assert.deepEqual(withErrors.slice(0, 6), [false, false, false, false, false, false]);
  assert.equal(withErrors.at(-1), true);
  // Remembered again, an account counts once.
  for (let round = 0; round < 20; round++) ids.remember(0, batch("again", 11, "y".repeat(40)));
  assert.equal(ids.find(0, "again", 12)?.entry.errorsJson.length, 40);
  assert.equal(ids.find(0, "b9", 12)?.entry.errorsJson.length, 30);
});
