import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Slots } from "../../../src/main/query/slots.js";
import { seededRandom } from "../../harness/seeded-random.js";

const never = new AbortController().signal;

describe("slots", () => {
  test("each index is held by one, and the line is served in order", async () => {
    const slots = new Slots(2);
    assert.deepEqual([await slots.take(never), await slots.take(never)], [0, 1]);
    const served: string[] = [];
    const first = slots.take(never).then((slot) => served.push(`first ${slot}`));
    const second = slots.take(never).then((slot) => served.push(`second ${slot}`));
    assert.equal(slots.waiting, 2);
    slots.give(1);
    await first;
    slots.give(0);
    await second;
    assert.deepEqual(served, ["first 1", "second 0"]);
    assert.deepEqual([slots.taken, slots.waiting], [2, 0]);
  });

  test("who aborts leaves the line and takes nothing", async () => {
    const slots = new Slots(1);
    const slot = await slots.take(never);
    const control = new AbortController();
    const aborted = slots.take(control.signal);
    const next = slots.take(never);
    const reason = new Error("gone");
    control.abort(reason);
    await assert.rejects(aborted, reason);
    assert.equal(slots.waiting, 1);
    slots.give(slot);
    assert.equal(await next, 0);
    await assert.rejects(slots.take(control.signal), reason);
    slots.give(0);
    assert.equal(slots.taken, 0);
    assert.throws(() => slots.give(0), /given back once/);
  });

  test("no slot is lost or doubled under random aborts", async () => {
    const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
    const random = seededRandom(seed);
    const slots = new Slots(3);
    const held = new Set<number>();
    const jobs = Array.from({ length: 300 }, async () => {
      const control = new AbortController();
      if (random.real() < 0.3) setTimeout(() => control.abort(new Error("gone")), random.integer(20));
      const slot = await slots.take(control.signal).catch(() => null);
      if (slot === null) return;
      assert.ok(!held.has(slot), `slot ${slot} is held twice, seed ${seed}`);
      held.add(slot);
      await new Promise((resolve) => setTimeout(resolve, random.integer(2)));
      held.delete(slot);
      slots.give(slot);
    });
    await Promise.all(jobs);
    assert.deepEqual([slots.taken, slots.waiting], [0, 0], `seed ${seed}`);
  });
});
