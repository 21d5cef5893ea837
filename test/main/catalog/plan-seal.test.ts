import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { HotSegment } from "../../../src/main/catalog/hot-segment.js";
import { planMerge, planSeal } from "../../../src/main/catalog/plan-seal.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { seededRandom } from "../../harness/seeded-random.js";

const limits = { tailRowsMax: 100, hotSegmentsMax: 4 };
const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 20261122);

function segments(...rows: number[]): HotSegment[] {
  let next = 1;
  return rows.map((count) => {
    const firstSequence = next;
    next += count;
    const path = `/nowhere/${firstSequence}.parquet`;
    return new HotSegment({
      path,
      firstSequence,
      lastSequence: next - 1,
      rows: count,
      bytes: 1,
      schema: initialSchema,
    });
  });
}

describe("where the next seal begins", () => {
  const table = { flushedSequence: 0, flushBoundary: 0 };

  test("at the start of a small tail, behind a large one", () => {
    assert.equal(planSeal([], table, limits), 0);
    assert.equal(planSeal(segments(500, 100), table, limits), 500);
    assert.equal(planSeal(segments(500, 101), table, limits), 601);
  });

  test("never across a flush boundary", () => {
    assert.equal(planSeal(segments(500, 50), { flushedSequence: 0, flushBoundary: 550 }, limits), 550);
  });
});

describe("which segments are merged", () => {
  test("none while they are few; never the last, which may still grow", () => {
    assert.equal(planMerge(segments(200, 200, 200, 200, 200), { flushBoundary: 0 }, limits), null);
    const plan = planMerge(segments(200, 200, 200, 200, 200, 5), { flushBoundary: 0 }, limits);
    assert.deepEqual(plan, { afterSequence: 0, throughSequence: 1000 });
  });

  test("large ones stay, and those before a flush boundary", () => {
    const plan = planMerge(segments(10_000, 200, 200, 200, 200, 5), { flushBoundary: 0 }, limits);
    assert.deepEqual(plan, { afterSequence: 10_000, throughSequence: 10_800 });
    assert.equal(planMerge(segments(200, 200, 200, 200, 200, 5), { flushBoundary: 400 }, limits), null);
  });

  test(`rows are merged a few times each, and segments stay few (seed ${seed})`, () => {
    const random = seededRandom(seed);
    let hot: number[] = [];
    let merged = 0;
    let total = 0;
    for (let step = 0; step < 2000; step++) {
      const rows = 101 + random.integer(300);
      hot.push(rows);
      total += rows;
      const plan = planMerge(segments(...hot), { flushBoundary: 0 }, limits);
      if (plan !== null) {
        const all = segments(...hot);
        const inside = all.filter(
          ({ firstSequence, lastSequence }) =>
            firstSequence > plan.afterSequence && lastSequence <= plan.throughSequence,
        );
        const sum = inside.reduce((count, segment) => count + segment.rows, 0);
        merged += sum;
        const first = all.indexOf(inside[0] as HotSegment);
        hot = [...hot.slice(0, first), sum, ...hot.slice(first + inside.length)];
      }
      assert.ok(hot.length <= 20, `${hot.length} segments`);
    }
    const timesMax = 1.5 * Math.log2(2000);
    assert.ok(merged / total < timesMax, `each row was merged ${merged / total} times`);
  });
});
