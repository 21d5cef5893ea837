import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { takeTurns } from "../../../bench/harness/take-turns.js";

describe("turns on a machine that others share", () => {
  /** Turns with these shares stolen, one after the other. */
  const run = (wanted: number, stolen: readonly (number | null)[]) =>
    takeTurns(
      { wanted, max: 3 * wanted },
      async (index) => ({ stolen: stolen[index] as number | null }),
      (turn) => turn.stolen,
    );

  test("calm ones are all there are", async () => {
    const { all, counted, note } = await run(3, [0, 0.1, 0.05, 0]);
    assert.deepEqual([all.length, counted.length, note], [3, 3, ""]);
  });

  test("are repeated until enough were calm; only those count, and the others are told of", async () => {
    const { all, counted, note } = await run(2, [0.5, 0.01, 0.2, 0.02, 0]);
    assert.equal(all.length, 4);
    assert.deepEqual(
      counted.map(({ stolen }) => stolen),
      [0.01, 0.02],
    );
    assert.match(note, /2 turns of 4 count.*0\.50, 0\.01, 0\.20, 0\.02/);
  });

  test("end without a calm machine: then all count", async () => {
    const { all, counted, note } = await run(2, [1, 0, 1, 1, 1, 1, 0, 0]);
    assert.deepEqual([all.length, counted.length], [6, 6]);
    assert.match(note, /no calm machine/);
  });

  test("count where nothing says what was stolen", async () => {
    assert.equal((await run(2, [null, null])).counted.length, 2);
  });
});
