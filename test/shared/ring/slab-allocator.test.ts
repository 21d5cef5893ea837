import assert from "node:assert/strict";
import { test } from "node:test";
import { SlabAllocator, slabBlockBytesMin } from "../../../src/shared/ring/slab-allocator.js";
import { SeededRandom, testRounds, testSeed } from "./seeded-random.js";

const unit = slabBlockBytesMin;

test("blocks are rounded up to powers of two and come back whole", () => {
  const slab = new SlabAllocator(16 * unit);
  const small = slab.allocate(1);
  const large = slab.allocate(3 * unit);
  assert.equal(slab.blockBytes(small), unit);
  assert.equal(slab.blockBytes(large), 4 * unit);
  assert.equal(slab.usedBytes, 5 * unit);
  assert.equal(slab.allocate(16 * unit), -1);
  slab.free(small);
  slab.free(large);
  assert.equal(slab.usedBytes, 0);
  assert.equal(slab.allocate(16 * unit), 0, "freed buddies are one block again");
  assert.equal(slab.allocate(1), -1);
});

test("a body that grows keeps its bytes, in place or copied, and a failed growth changes nothing", () => {
  const slab = new SlabAllocator(8 * unit);
  const first = slab.allocate(unit);
  slab.bytes.fill(7, first, first + unit);
  assert.equal(slab.grow(first, unit, unit), first, "it fits already");
  assert.equal(slab.grow(first, unit, 2 * unit), first, "the buddy is free: no copy");
  assert.equal(slab.blockBytes(first), 2 * unit);
  const neighbour = slab.allocate(2 * unit);
  assert.equal(neighbour, 2 * unit);
  slab.bytes.fill(8, first + unit, first + 2 * unit);
  const moved = slab.grow(first, 2 * unit, 2 * unit + 1);
  assert.equal(moved, 4 * unit);
  assert.ok(slab.bytes.subarray(moved, moved + unit).every((byte) => byte === 7));
  assert.ok(slab.bytes.subarray(moved + unit, moved + 2 * unit).every((byte) => byte === 8));
  assert.equal(slab.usedBytes, 6 * unit);
  assert.equal(slab.grow(moved, 2 * unit, 5 * unit), -1);
  assert.equal(slab.blockBytes(moved), 4 * unit);
  slab.free(moved);
  slab.free(neighbour);
  assert.equal(slab.usedBytes, 0);
});

test("misuse fails at once", () => {
  const slab = new SlabAllocator(4 * unit);
  const offset = slab.allocate(2 * unit);
  assert.throws(() => slab.free(offset + unit), /block in use/);
  assert.throws(() => slab.free(12), /block in use/);
  assert.throws(() => slab.allocate(0), /at least one byte/);
  slab.free(offset);
  assert.throws(() => slab.free(offset), /block in use/);
  assert.throws(() => new SlabAllocator(3 * unit), /power of two/);
});

test("random allocation: no two blocks overlap, every byte is kept, everything comes back", () => {
  const random = new SeededRandom(testSeed());
  for (let round = 0; round < testRounds(20); round++) {
    const units = 1 << (3 + random.below(4));
    const slab = new SlabAllocator(units * unit);
    const owner = new Array<number>(units).fill(0);
    const blocks: { offset: number; mark: number }[] = [];
    const claim = (offset: number, mark: number, context: string): void => {
      const first = offset / unit;
      for (let index = first; index < first + slab.blockBytes(offset) / unit; index++) {
        assert.ok(owner[index] === 0 || owner[index] === mark, `${context}: unit ${index} is taken`);
        owner[index] = mark;
      }
      slab.bytes[offset] = mark & 0xff;
    };
    const disown = (mark: number): void => {
      for (const [index, value] of owner.entries()) if (value === mark) owner[index] = 0;
    };
    for (let step = 1; step < 400; step++) {
      const context = `seed ${random.seed}, round ${round}, step ${step}`;
      const what = random.below(3);
      const block = blocks[random.below(Math.max(1, blocks.length))];
      if (what === 0 || block === undefined) {
        const offset = slab.allocate(1 + random.below((units * unit) / 4));
        if (offset < 0) continue;
        claim(offset, step, context);
        blocks.push({ offset, mark: step });
      } else if (what === 1) {
        assert.equal(slab.bytes[block.offset], block.mark & 0xff, context);
        slab.free(block.offset);
        disown(block.mark);
        blocks.splice(blocks.indexOf(block), 1);
      } else {
        const offset = slab.grow(block.offset, 1, slab.blockBytes(block.offset) + 1);
        if (offset < 0) continue;
        assert.equal(slab.bytes[offset], block.mark & 0xff, context);
        if (offset !== block.offset) disown(block.mark);
        block.offset = offset;
        claim(offset, block.mark, context);
      }
      const used = blocks.reduce((sum, { offset }) => sum + slab.blockBytes(offset), 0);
      assert.equal(slab.usedBytes, used, context);
    }
    for (const { offset } of blocks) slab.free(offset);
    assert.equal(slab.allocate(units * unit), 0, `seed ${random.seed}, round ${round}: free blocks were not joined`);
  }
});
