import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { planSlices, type GroupRange } from "../../../src/workers/persist/plan-slices.js";
import { seededRandom } from "../../harness/seeded-random.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const minLong = -(2n ** 63n);
const maxLong = 2n ** 63n - 1n;

describe(`plan of slices (MINIODB_TEST_SEED=${seed})`, () => {
  test("few rows are one slice", () => {
    assert.deepEqual(planSlices([], 100), []);
    assert.deepEqual(planSlices([{ lower: 0n, upper: 99n, rows: 100 }], 100), []);
    assert.deepEqual(planSlices([{ lower: 0n, upper: 99n, rows: 0 }], 100), []);
  });

  test("row groups one behind the other are cut between each other, or within", () => {
    const groups = [0n, 100n, 200n, 300n].map((lower) => ({ lower, upper: lower + 99n, rows: 50 }));
    assert.deepEqual(planSlices(groups, 100), [200n]);
    assert.deepEqual(planSlices(groups.toReversed(), 50), [100n, 200n, 300n]);
    assert.deepEqual(planSlices(groups, 25), [50n, 100n, 150n, 200n, 250n, 300n, 350n]);
  });

  test("what overlaps adds up, and gaps count nothing", () => {
    const groups = [
      { lower: 0n, upper: 99n, rows: 100 },
      { lower: 0n, upper: 99n, rows: 100 },
      { lower: 1_000_000n, upper: 1_000_099n, rows: 200 },
    ];
    assert.deepEqual(planSlices(groups, 100), [50n, 100n, 1_000_050n]);
  });

  test("equal values are not torn apart", () => {
    const same = Array.from({ length: 10 }, () => ({ lower: 7n, upper: 7n, rows: 1000 }));
    assert.deepEqual(planSlices(same, 100), []);
    assert.deepEqual(planSlices([...same, { lower: 8n, upper: 8n, rows: 1000 }], 1000), [8n]);
  });

  test("the whole range of a long, and both of its ends", () => {
    assert.deepEqual(planSlices([{ lower: minLong, upper: maxLong, rows: 1000 }], 500), [0n]);
    const ends = [minLong, minLong + 1n, maxLong - 1n, maxLong].map((value) => ({
      lower: value,
      upper: value,
      rows: 100,
    }));
    for (const cut of planSlices(ends, 100)) assert.ok(cut > minLong && cut <= maxLong, String(cut));
  });

  test("any row groups: cuts ascend and lie within, and slices of evenly spread rows are about as large as wanted", () => {
    const random = seededRandom(seed);
    for (let round = 0; round < 200; round++) {
      const width = random.pick([10, 1000, 2 ** 40]);
      const groups: GroupRange[] = Array.from({ length: 1 + random.integer(20) }, () => {
        const lower = BigInt(random.integer(width)) - BigInt(random.integer(2) * width);
        return { lower, upper: lower + BigInt(random.integer(width)), rows: random.integer(1000) };
      });
      const sliceRows = 1 + random.integer(3000);
      const cuts = planSlices(groups, sliceRows);
      const lowest = groups.reduce((least, { lower }) => (lower < least ? lower : least), maxLong);
      const highest = groups.reduce((most, { upper }) => (upper > most ? upper : most), minLong);
      for (const [index, cut] of cuts.entries()) {
        assert.ok(cut > lowest && cut <= highest && (index === 0 || cut > (cuts[index - 1] as bigint)));
      }
      if (width < 2 ** 40) continue;
      const sizes = [...cuts, highest + 1n].map(
        (cut, index) => rowsBelow(groups, cut) - rowsBelow(groups, cuts[index - 1]),
      );
      for (const size of sizes) assert.ok(size < sliceRows * 1.6, `${size} of ${sliceRows} rows`);
    }
  });
});

/** With rows spread evenly. */
function rowsBelow(groups: readonly GroupRange[], value: bigint | undefined): number {
  if (value === undefined) return 0;
  return groups.reduce((sum, { lower, upper, rows }) => {
    const width = Number(upper - lower) + 1;
    return sum + rows * Math.min(1, Math.max(0, Number(value - lower) / width));
  }, 0);
}
