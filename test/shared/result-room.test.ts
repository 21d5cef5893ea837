import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../../src/shared/limits.js";
import { discardBody } from "../../src/shared/result-body.js";
import { giveSlabs, ResultRoom, type ResultSlab } from "../../src/shared/result-room.js";

test("each slab is somebody's until it is given back, by whoever has the memory", async () => {
  const room = new ResultRoom();
  const slabs: ResultSlab[] = [];
  for (let slab = room.take(); slab !== null; slab = room.take()) {
    slab.bytes.fill(slab.index);
    slabs.push(slab);
  }
  assert.equal(slabs.length, limits.resultSlabs);
  assert.equal(room.takenSlabs, limits.resultSlabs);
  assert.ok(slabs.every(({ index, bytes }) => bytes.length === limits.resultSlabBytes && bytes[0] === index));

  // As main has it: numbers, and the states.
  const own = [5, 3].map((index) => slabs[index] as ResultSlab);
  const pieces = own.map(({ bytes }) => bytes);
  const bytes = 2 * limits.resultSlabBytes;
  await discardBody({ kind: "pieces", pieces, bytes, room: room.states, slabs: [5, 3] });
  assert.equal(room.takenSlabs, limits.resultSlabs - 2);
  assert.equal(room.take()?.index, 3);
  assert.equal(room.take()?.bytes, slabs[5]?.bytes);
  assert.equal(room.take(), null);
  assert.throws(() => giveSlabs(new ResultRoom().states, [0]), /given back once/);
});
