import assert from "node:assert/strict";
import { test } from "node:test";
import { SequenceOrder } from "../../../src/workers/wal/sequence-order.js";
import { seededRandom } from "../../harness/seeded-random.js";

const firstSeed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const rounds = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 500);

/** Records as [first, count]; what is delivered as a list of sequences. */
function deliver(after: number, records: readonly (readonly [number, number])[]) {
  const out: number[] = [];
  const order = new SequenceOrder<readonly [number, number]>(after, ([first, count], skip) => {
    for (let row = skip; row < count; row++) out.push(first + row);
  });
  const taken = records.map(([first, count]) => order.offer(first, count, () => [first, count]));
  const held = order.heldCount;
  return { out, taken, held, gaps: order.finish() };
}

test("duplicates are passed over, and their item is never made", () => {
  const order = new SequenceOrder<number>(0, () => undefined);
  assert.ok(order.offer(1, 5, () => 1));
  assert.ok(!order.offer(1, 5, () => assert.fail("a duplicate is not kept")));
  assert.ok(order.offer(11, 5, () => 2));
  assert.ok(!order.offer(11, 5, () => assert.fail("a held duplicate is not kept")));
});

test("later records wait for earlier ones", () => {
  assert.deepEqual(
    deliver(0, [
      [4, 2],
      [6, 1],
      [1, 3],
    ]),
    { out: [1, 2, 3, 4, 5, 6], taken: [true, true, true], held: 0, gaps: [] },
  );
});

test("a gap that stays is named, and what follows it is delivered", () => {
  const { out, held, gaps } = deliver(0, [
    [1, 2],
    [6, 2],
    [10, 1],
  ]);
  assert.deepEqual(out, [1, 2, 6, 7, 10]);
  assert.equal(held, 2);
  assert.deepEqual(gaps, [
    { firstSequence: 3, lastSequence: 5 },
    { firstSequence: 8, lastSequence: 9 },
  ]);
});

test("what is flushed is left out, within a record too", () => {
  assert.deepEqual(
    deliver(4, [
      [1, 3],
      [4, 3],
      [7, 1],
    ]).out,
    [5, 6, 7],
  );
});

test(`any order of records with any repeats comes out as 1, 2, 3 (seeds from ${firstSeed})`, () => {
  for (let round = 0; round < rounds; round++) {
    const random = seededRandom(firstSeed + round);
    const records: [number, number][] = [];
    let next = 1;
    while (records.length < 1 + random.integer(30)) {
      const count = 1 + random.integer(5);
      records.push([next, count]);
      next += count;
    }
    const shuffled = records
      .flatMap((record) => Array.from({ length: 1 + random.integer(2) }, () => ({ record, key: random.real() })))
      .toSorted((a, b) => a.key - b.key)
      .map(({ record }) => record);
    const after = random.integer(next);
    const { out, gaps } = deliver(after, shuffled);
    assert.deepEqual(
      out,
      Array.from({ length: next - 1 - after }, (_, i) => after + 1 + i),
      `seed ${firstSeed + round}`,
    );
    assert.deepEqual(gaps, []);
  }
});
