import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TableEntry } from "../../../src/main/catalog/table-entry.js";
import { LogHold } from "../../../src/main/upkeep/log-hold.js";

/** All that a hold looks at. */
const entry = { flushedSequence: 30 } as TableEntry;

function open(isWanted: boolean) {
  const load = { bytes: 0 };
  const gone: number[] = [];
  let released = 0;
  const hold = new LogHold({
    isWanted,
    walBytesMax: 100,
    walBytes: () => load.bytes,
    letGo: (_entry, sequence) => void gone.push(sequence),
    onReleased: () => released++,
  });
  const tick = (bytes: number): void => {
    load.bytes = bytes;
    hold.tick(() => [entry]);
  };
  return { hold, gone, tick, released: () => released };
}

describe("a log that waits for the second pool", () => {
  test("lets go what is mirrored, not what is committed", () => {
    const { hold, gone } = open(true);
    hold.flushed(entry, 10);
    assert.deepEqual(gone, []);
    hold.mirrored(entry, 0);
    hold.mirrored(entry, 7);
    assert.deepEqual(gone, [7]);
  });

  test("waits no longer when it is three quarters full, and waits again when it is half empty", () => {
    const { hold, gone, tick, released } = open(true);
    tick(75);
    assert.deepEqual([gone, released()], [[], 0]);
    tick(76);
    assert.deepEqual([gone, released()], [[30], 1]);
    hold.flushed(entry, 40);
    hold.mirrored(entry, 35);
    tick(60);
    hold.flushed(entry, 50);
    assert.deepEqual(gone, [30, 40, 50]);
    tick(49);
    hold.flushed(entry, 60);
    hold.mirrored(entry, 55);
    assert.deepEqual([gone, released()], [[30, 40, 50, 55], 1]);
  });

  test("waits for nobody where that is not wanted", () => {
    const { hold, gone, tick, released } = open(false);
    hold.flushed(entry, 10);
    hold.mirrored(entry, 5);
    tick(1000);
    assert.deepEqual([gone, released()], [[10], 0]);
  });
});
