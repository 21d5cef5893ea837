import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Block, blockBytesMax, BlockPool } from "../../../src/workers/buffer/block-pool.js";
import { seededRandom } from "../../harness/seeded-random.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 20261122);
const always = (): boolean => true;

function poolWithEvents() {
  const made: Block[] = [];
  const dropped: Block[] = [];
  const pool = new BlockPool(100, { onBlock: (block) => made.push(block), onDrop: (block) => dropped.push(block) });
  return { pool, made, dropped };
}

describe("the pool of blocks", () => {
  test("a freed block is used again, empty and under its own name", () => {
    const { pool, made } = poolWithEvents();
    const block = pool.take(blockBytesMax, always);
    block.used = 4096;
    pool.free(block, 7);
    assert.equal(pool.freeBytes, blockBytesMax);
    const again = pool.take(blockBytesMax, (position) => position <= 7);
    assert.equal(again, block);
    assert.equal(again.used, 0);
    assert.deepEqual([made.length, pool.freeBytes], [1, 0]);
  });

  test("a block whose records are not all in the log is left alone", () => {
    const { pool } = poolWithEvents();
    const block = pool.take(blockBytesMax, always);
    pool.free(block, 7);
    assert.notEqual(
      pool.take(blockBytesMax, (position) => position < 7),
      block,
    );
    assert.equal(pool.take(blockBytesMax, always), block);
  });

  test("a block that is read comes back after its last reader, with the log position of that time", () => {
    const { pool } = poolWithEvents();
    const block = pool.take(blockBytesMax, always);
    block.readers = 2;
    pool.free(block, 1);
    pool.readerDone(block, 2);
    assert.equal(pool.freeBytes, 0);
    pool.readerDone(block, 3);
    assert.notEqual(
      pool.take(blockBytesMax, (position) => position <= 2),
      block,
    );
    assert.equal(
      pool.take(blockBytesMax, (position) => position <= 3),
      block,
    );
  });

  test("blocks of other sizes are dropped", () => {
    const { pool, dropped } = poolWithEvents();
    const blocks = [pool.take(65536, always), pool.take(blockBytesMax + 8, always)];
    for (const block of blocks) pool.free(block, 0);
    assert.deepEqual(dropped, blocks);
    assert.equal(pool.freeBytes, 0);
  });

  test("trimming drops, a few at a time, what nobody needed for a while", () => {
    const { pool, dropped } = poolWithEvents();
    const blocks = Array.from({ length: 12 }, () => pool.take(blockBytesMax, always));
    for (const block of blocks) pool.free(block, 0);
    const droppedBy = (calls: number): number => {
      const before = dropped.length;
      for (let call = 0; call < calls; call++) {
        // Two are needed all the time.
        const used = [pool.take(blockBytesMax, always), pool.take(blockBytesMax, always)];
        pool.trim();
        for (const block of used) pool.free(block, 0);
      }
      return dropped.length - before;
    };
    // The first window began before the blocks were free.
    assert.equal(droppedBy(10), 0);
    assert.equal(droppedBy(9), 0);
    assert.equal(droppedBy(1), 2);
    assert.equal(droppedBy(9), 8);
    assert.equal(droppedBy(30), 0);
    assert.equal(pool.freeBytes, 2 * blockBytesMax);
  });

  test(`no block is handed out twice or while it is read (seed ${seed})`, () => {
    const random = seededRandom(seed);
    const { pool, dropped } = poolWithEvents();
    const inUse = new Set<Block>();
    const slices: Block[] = [];
    let logged = 0;
    let durable = 0;
    const freedAt = new Map<Block, number>();
    for (let step = 0; step < 5000; step++) {
      const any = inUse.size === 0 ? undefined : random.pick([...inUse]);
      const choice = random.integer(6);
      if (choice === 0 || any === undefined) {
        const block = pool.take(random.integer(4) === 0 ? 65536 : blockBytesMax, (position) => position <= durable);
        assert.ok(!inUse.has(block) && !slices.includes(block) && !dropped.includes(block));
        assert.ok((freedAt.get(block) ?? 0) <= durable);
        inUse.add(block);
      } else if (choice === 1) {
        any.readers++;
        slices.push(any);
      } else if (choice === 2 && slices.length > 0) {
        const [block] = slices.splice(random.integer(slices.length), 1) as [Block];
        pool.readerDone(block, logged);
        freedAt.set(block, logged);
      } else if (choice === 3) {
        inUse.delete(any);
        freedAt.set(any, logged);
        pool.free(any, logged);
      } else if (choice === 4) {
        logged += random.integer(4);
        durable += random.integer(logged - durable + 1);
      } else if (random.integer(20) === 0) {
        pool.trim();
      }
    }
  });
});
