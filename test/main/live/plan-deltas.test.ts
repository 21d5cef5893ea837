import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { planDeltas, tombstoneGaps, type SequenceGap } from "../../../src/main/live/plan-deltas.js";
import { recordKinds } from "../../../src/shared/formats/wal-record-v1.js";
import { MutationLog } from "../../workers/persist/mutation-records.js";

test("a span becomes deltas of at most so many rows", () => {
  assert.deepEqual(planDeltas({ after: 5, through: 5 }, [], 10), []);
  assert.deepEqual(planDeltas({ after: 5, through: 6 }, [], 10), [{ after: 5, through: 6 }]);
  assert.deepEqual(planDeltas({ after: 0, through: 25 }, [], 10), [
    { after: 0, through: 10 },
    { after: 10, through: 20 },
    { after: 20, through: 25 },
  ]);
});

test("no delta lies across a gap, and none is a gap", () => {
  const gaps = [
    { firstSequence: 20, lastSequence: 30 },
    { firstSequence: 1, lastSequence: 2 },
    { firstSequence: 8, lastSequence: 8 },
  ];
  assert.deepEqual(planDeltas({ after: 0, through: 25 }, gaps, 10), [
    { after: 2, through: 7 },
    { after: 8, through: 18 },
    { after: 18, through: 19 },
  ]);
});

test("tombstones have sequences and no row", () => {
  const log = new MutationLog();
  const row = { id: "a", n: 1, dayMs: 0 };
  log.append(recordKinds.rows, [row, row]);
  log.append(recordKinds.tombstones, [row, row, row]);
  log.append(recordKinds.replacing, [row]);
  log.append(recordKinds.tombstones, [row]);
  const gaps = tombstoneGaps(log.slice(0, 7));
  assert.deepEqual(gaps, [
    { firstSequence: 3, lastSequence: 5 },
    { firstSequence: 7, lastSequence: 7 },
  ]);
  assert.deepEqual(planDeltas({ after: 0, through: 7 }, gaps, 10), [
    { after: 0, through: 2 },
    { after: 5, through: 6 },
  ]);
});

test("the deltas hold each sequence that is there once, in order", () => {
  const gap = fc
    .tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 10 }))
    .map(([firstSequence, more]): SequenceGap => ({ firstSequence, lastSequence: firstSequence + more }));
  const span = fc
    .tuple(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 50 }))
    .map(([after, rows]) => ({ after, through: after + rows }));
  fc.assert(
    fc.property(span, fc.array(gap, { maxLength: 5 }), fc.integer({ min: 1, max: 12 }), (wanted, gaps, rowsMax) => {
      const isLost = (sequence: number): boolean =>
        gaps.some(({ firstSequence, lastSequence }) => sequence >= firstSequence && sequence <= lastSequence);
      const expected: number[] = [];
      for (let at = wanted.after + 1; at <= wanted.through; at++) if (!isLost(at)) expected.push(at);
      const planned = planDeltas(wanted, gaps, rowsMax);
      const got = planned.flatMap(({ after, through }) =>
        Array.from({ length: through - after }, (_, at) => after + 1 + at),
      );
      assert.deepEqual(got, expected);
      assert.ok(planned.every(({ after, through }) => through > after && through - after <= rowsMax));
    }),
  );
});
