import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { rowsInRange } from "../../../src/workers/persist/row-source.js";
import { sortRows } from "../../../src/workers/persist/sort-rows.js";
import { typeRows } from "../../../src/workers/persist/typed-rows.js";
import { seededRandom, type SeededRandom } from "../../harness/seeded-random.js";
import { TableModel } from "./table-model.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const rounds = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 40);

/** Steps and distances at which the keys take one word or two, with low bits or without. */
const units = [1n, 8n, 125n, 1000n, 3000n, 1_000_000n, 1_000_000_000n, 2n ** 33n, 1000n * 2n ** 40n];
const distances = [0, 1, 100, 5_000_000, 2 ** 32, 2 ** 40];

function randomLongs(random: SeededRandom, rows: number): (bigint | null)[] {
  const unit = random.pick(units);
  const distance = Math.min(random.pick(distances), Number(2n ** 61n / unit));
  const first = random.pick([0n, -5n, 1_790_000_000_123_456n, -(2n ** 62n)]);
  const nullShare = random.pick([0, 0.2]);
  const values = Array.from({ length: rows }, () =>
    random.real() < nullShare ? null : first + BigInt(random.integer(distance + 1)) * unit,
  );
  // One with a lowest bit among those without.
  if (random.real() < 0.3) values[random.integer(rows)] = first + 1n;
  return values;
}

describe(`sorting by longs (MINIODB_TEST_SEED=${seed})`, () => {
  test("in order, nulls last, equals as they came", () => {
    for (let round = 0; round < rounds; round++) {
      const random = seededRandom(seed + round);
      const values = randomLongs(random, 1 + random.integer(500));
      const model = new TableModel(random);
      model.addColumn("v", "long");
      model.appendValues("v", values);
      const range = { afterSequence: 0, lastSequence: model.lastSequence };
      const typed = typeRows(rowsInRange(model.slice(0, range.lastSequence), range), model.schema);
      const { order } = sortRows(typed, ["v"]);
      // All rows are of one day: it decides nothing.
      const byValue = (left: bigint | null, right: bigint | null): number => {
        if (left === null || right === null) return Number(left === null) - Number(right === null);
        return left < right ? -1 : Number(left > right);
      };
      const expected = values
        .map((value, row) => ({ value, row }))
        .toSorted((left, right) => byValue(left.value, right.value))
        .map(({ row }) => row);
      assert.deepEqual([...(order ?? [])], expected, `round ${round}`);
    }
  });
});
