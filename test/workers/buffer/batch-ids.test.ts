import assert from "node:assert/strict";
import { test } from "node:test";
import { BatchIds } from "../../../src/workers/buffer/batch-ids.js";

function batch(key: string, createdMs: number): Parameters<BatchIds["remember"]>[0] {
  const bodyHash = new Uint8Array(16);
  const entry = { key, bodyHash, accepted: 1, rejected: 0, firstRow: 0, createdMs, errorsJson: "" };
  return { entry, lastSequence: 1, logPosition: 0 };
}

test("a batch id is forgotten after the window", () => {
  const ids = new BatchIds({ windowMs: 1000, countMax: 10 });
  ids.remember(batch("a", 5000));
  assert.equal(ids.find("a", 6000)?.entry.key, "a");
  assert.equal(ids.find("a", 6001), undefined);
  ids.remember(batch("b", 7000));
  assert.equal(ids.count, 1);
});

test("of too many batch ids the oldest go", () => {
  const ids = new BatchIds({ windowMs: 1_000_000, countMax: 3 });
  for (const key of ["a", "b", "c", "a", "d"]) ids.remember(batch(key, 1));
  assert.deepEqual(
    ["a", "b", "c", "d"].map((key) => ids.find(key, 2) !== undefined),
    [true, false, true, true],
  );
});
