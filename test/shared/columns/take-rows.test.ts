import assert from "node:assert/strict";
import { test } from "node:test";
import { takeRows } from "../../../src/shared/columns/take-rows.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { materialise, randomBatch } from "../formats/wal-record-samples.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);

interface Values {
  readonly fieldId: number;
  readonly values: readonly unknown[];
}

test(`any rows of any batch are what they were (seed ${seed})`, () => {
  const random = seededRandom(seed);
  for (let round = 0; round < 300; round++) {
    const batch = randomBatch(random);
    const every = 1 + random.integer(4);
    const rows = Uint32Array.from(
      Array.from({ length: batch.rowCount }, (_, row) => row).filter(() => random.integer(every) === 0),
    );
    const kept = batch.columns[0]?.fieldId ?? -1;
    const taken = takeRows(batch, rows, kept);
    const expected = (materialise(batch) as Values[])
      .map(({ fieldId, values }) => ({ fieldId, values: [...rows].map((row) => values[row]) }))
      .filter(
        ({ fieldId, values }) =>
          rows.length === batch.rowCount || fieldId === kept || values.some((value) => value !== null),
      );
    const found = (materialise(taken) as Values[]).map(({ fieldId, values }) => ({ fieldId, values }));
    assert.deepEqual(found, expected, `seed ${seed} round ${round}`);
    for (const { nullCount, validity } of taken.columns) assert.equal(validity === null, nullCount === 0);
  }
});
