import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { recordKinds } from "../../../src/shared/formats/wal-record-v1.js";
import { BlockArena } from "../../../src/workers/buffer/block-arena.js";
import { type Block, BlockPool } from "../../../src/workers/buffer/block-pool.js";
import { TableBuffer } from "../../../src/workers/buffer/table-buffer.js";
import { seededRandom } from "../../harness/seeded-random.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 20261122);

function arenaWithBlocks(): { arena: BlockArena; blocks: Block[] } {
  const blocks: Block[] = [];
  const pool = new BlockPool(0, { onBlock: (block) => blocks.push(block), onDrop: () => {} });
  return {
    arena: new BlockArena((bytes) => pool.take(bytes, () => true)),
    blocks,
  };
}

function appendRecord(buffer: TableBuffer, arena: BlockArena, rowCount: number, logPosition = 0): void {
  const length = 8 * rowCount;
  const block = arena.reserve(length);
  const offset = block.used;
  block.used += length;
  const firstSequence = buffer.lastSequence + 1;
  buffer.append({ kind: recordKinds.rows, block, offset, length, firstSequence, rowCount, logPosition, createdMs: 1 });
}

describe("a table's buffer", () => {
  test("slices hold exactly the records that overlap the range", () => {
    const { arena } = arenaWithBlocks();
    const buffer = new TableBuffer(100);
    for (const rows of [10, 5, 20]) appendRecord(buffer, arena, rows);
    const lengths = (after: number, last: number): number[] => {
      const { spans } = buffer.slice(after, last).slice;
      return [...spans].filter((_, index) => index % 3 === 2);
    };
    assert.deepEqual(lengths(100, 135), [80, 40, 160]);
    assert.deepEqual(lengths(110, 135), [40, 160]);
    assert.deepEqual(lengths(109, 110), [80]);
    assert.deepEqual(lengths(115, 115), []);
    assert.equal(buffer.rows, 35);
  });

  test("what is visible ends with the last record that is, from the front", () => {
    const { arena } = arenaWithBlocks();
    const buffer = new TableBuffer(0);
    for (const position of [1, 2, 3]) appendRecord(buffer, arena, 4, position);
    assert.equal(
      buffer.visibleSequence((record) => record.logPosition <= 2),
      8,
    );
    assert.equal(
      buffer.visibleSequence(() => false),
      0,
    );
    assert.equal(
      buffer.visibleSequence(() => true),
      12,
    );
  });

  test("a replayed record may begin before what is wanted, or leave a gap", () => {
    const { arena } = arenaWithBlocks();
    const buffer = new TableBuffer(5);
    const block = arena.reserve(64);
    const at = { kind: recordKinds.rows, block, offset: 0, length: 64, logPosition: 0, createdMs: 1 };
    buffer.appendReplayed({ ...at, firstSequence: 3, rowCount: 6 }, 3);
    assert.equal(buffer.rows, 3);
    buffer.appendReplayed({ ...at, firstSequence: 20, rowCount: 2 }, 0);
    assert.equal(buffer.rows, 5);
    assert.equal(buffer.lastSequence, 21);
    buffer.forget(8);
    assert.equal(buffer.rows, 2);
  });

  test(`blocks are freed with their last record, whatever the order of flushes (seed ${seed})`, () => {
    const random = seededRandom(seed);
    for (let round = 0; round < 50; round++) {
      const { arena, blocks } = arenaWithBlocks();
      const buffer = new TableBuffer(0);
      const freed = new Set<Block>();
      for (let step = 0; step < 200; step++) {
        if (random.integer(3) > 0) appendRecord(buffer, arena, 1 + random.integer(4000));
        else if (buffer.rows > 0) {
          const sequence = buffer.flushedSequence + 1 + random.integer(buffer.lastSequence - buffer.flushedSequence);
          // Flushes end at record edges.
          const { spans } = buffer.slice(buffer.flushedSequence, sequence).slice;
          const rows = [...spans].filter((_, index) => index % 3 === 2).reduce((sum, length) => sum + length / 8, 0);
          for (const block of buffer.forget(buffer.flushedSequence + rows)) {
            assert.ok(!freed.has(block), "a block is freed once");
            freed.add(block);
            arena.retire(block);
          }
        }
        for (const block of buffer.blocks()) assert.ok(!freed.has(block), "a block with records is not freed");
        const rowsBySlice = [...buffer.slice(buffer.flushedSequence, buffer.lastSequence).slice.spans]
          .filter((_, index) => index % 3 === 2)
          .reduce((sum, length) => sum + length / 8, 0);
        assert.equal(buffer.rows, rowsBySlice);
      }
      buffer.forget(buffer.lastSequence);
      assert.equal(buffer.bytes, 0);
      assert.ok(blocks.length > 0);
    }
  });
});
