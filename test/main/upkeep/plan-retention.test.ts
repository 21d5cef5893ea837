import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { planRetention } from "../../../src/main/upkeep/plan-retention.js";
import type { DataFile } from "../../../src/shared/messages.js";

const dayMs = 86_400_000;

function file(day: number, rows: number): DataFile {
  return { key: `${day}-${rows}`, bytes: rows * 10, rows, day, bounds: {}, fieldIds: [] };
}

describe("planRetention", () => {
  const files = [file(9, 1), file(7, 2), file(10, 3), file(6, 4), file(7, 5), file(8, 6), file(-400, 7)];

  test("whole days go, the oldest first, when their youngest row can be as old as the retention", () => {
    const plan = planRetention(files, 2, 10 * dayMs + dayMs / 2);
    assert.equal(plan.firstDayKept, 8);
    assert.deepEqual(plan.days, [
      { day: -400, files: 1, rows: 7, bytes: 70 },
      { day: 6, files: 1, rows: 4, bytes: 40 },
      { day: 7, files: 2, rows: 7, bytes: 70 },
    ]);
    assert.deepEqual([plan.files, plan.rows, plan.bytes], [4, 18, 180]);
  });

  test("a row lives at least the retention, and at most a day longer", () => {
    for (const days of [1, 2, 30]) {
      for (const offsetMs of [0, 1, dayMs / 2, dayMs - 1]) {
        const rowMs = 20_000 * dayMs + offsetMs;
        const goesAt = (ageMs: number): boolean => {
          return planRetention([file(20_000, 1)], days, rowMs + ageMs).files === 1;
        };
        assert.ok(!goesAt(days * dayMs), `${days} days, ${offsetMs} ms into its day`);
        assert.ok(goesAt((days + 1) * dayMs), `${days} days, ${offsetMs} ms into its day`);
      }
    }
  });

  test("deleted rows are gone already, and their delete files go, too", () => {
    const deleted = { ...file(3, 10), deletes: [{ key: "d", bytes: 7, rows: 4 }] };
    const { days } = planRetention([deleted, file(3, 1)], 1, 10 * dayMs);
    assert.deepEqual(days, [{ day: 3, files: 2, rows: 7, bytes: 117 }]);
  });

  test("rows of the future and of today stay", () => {
    assert.equal(planRetention([file(10, 1), file(5_000, 1)], 1, 10 * dayMs).files, 0);
    assert.deepEqual(planRetention([], 1, 10 * dayMs).days, []);
  });
});
