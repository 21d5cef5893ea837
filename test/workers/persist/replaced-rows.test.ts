import assert from "node:assert/strict";
import { test } from "node:test";
import { recordKinds } from "../../../src/shared/formats/wal-record-v1.js";
import { findReplaced } from "../../../src/workers/persist/replaced-rows.js";
import { isOfRows, recordsInRange, rowSourceOf } from "../../../src/workers/persist/row-source.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { MutationLog } from "./mutation-records.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const ids = ["a", "b", "c", "d", "e"];
const dayMs = Date.UTC(2026, 0, 1);

function look(log: MutationLog, afterSequence: number, lastSequence: number) {
  const parts = recordsInRange(log.slice(afterSequence, lastSequence), { afterSequence, lastSequence });
  const rows = parts.filter(isOfRows);
  const source = rowSourceOf(rows);
  const sequences = rows.flatMap(({ firstSequence, from, to }) =>
    Array.from({ length: to - from }, (_, index) => firstSequence + from + index),
  );
  const { order, ids: found } = findReplaced(parts, source);
  const living = order === null ? sequences : [...order].map((row) => sequences[row] ?? 0);
  const column = found?.columns[0];
  const texts = Array.from({ length: found?.rowCount ?? 0 }, (_, row) =>
    Buffer.from(column?.values.subarray(column.offsets?.[row], column.offsets?.[row + 1]) ?? []).toString(),
  );
  return { living, ids: found === null ? null : texts.toSorted() };
}

test("a range without what replaces or deletes has nothing to tell", () => {
  const log = new MutationLog();
  log.append(recordKinds.rows, [
    { id: "a", n: 1, dayMs },
    { id: "a", n: 2, dayMs },
  ]);
  assert.deepEqual(look(log, 0, 2), { living: [1, 2], ids: null });
});

test("what replaces takes out the rows before it, of its own record too; a tombstone is no row", () => {
  const log = new MutationLog();
  const row = (id: string | null) => ({ id, n: 0, dayMs });
  log.append(recordKinds.rows, [row("a"), row("b"), row("a"), row(null)]);
  log.append(recordKinds.replacing, [row("a"), row("a")]);
  log.append(recordKinds.rows, [row("b")]);
  log.append(recordKinds.tombstones, [row("b"), row("nobody")]);
  log.append(recordKinds.rows, [row("b")]);
  assert.deepEqual(look(log, 0, 10), { living: [4, 6, 10], ids: ["a", "b", "nobody"] });
  // Cut within the records: what is behind the cut does not act.
  assert.deepEqual(look(log, 0, 5), { living: [2, 4, 5], ids: ["a"] });
  assert.deepEqual(look(log, 5, 7), { living: [6, 7], ids: ["a"] });
});

test(`random logs, cut anywhere, agree with a plain model (seed ${seed})`, () => {
  const random = seededRandom(seed);
  for (let round = 0; round < 200; round++) {
    const log = new MutationLog();
    const ends: number[] = [0];
    const livingAt: number[][] = [[]];
    for (let count = random.integer(12); count >= 0; count--) {
      log.appendRandom(random, ids);
      ends.push(log.lastSequence);
      livingAt.push(log.living.map(({ sequence }) => sequence));
    }
    const to = random.integer(ends.length);
    const from = random.integer(to + 1);
    const after = ends[from] ?? 0;
    const { living } = look(log, after, ends[to] ?? 0);
    const expected = (livingAt[to] ?? []).filter((sequence) => sequence > after);
    assert.deepEqual(living, expected, `round ${round}`);
  }
});
