import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Slots } from "../../../src/main/query/slots.js";
import { seededRandom } from "../../harness/seeded-random.js";

const never = new AbortController().signal;

describe("slots", () => {
  test("each index is held by one, and the line is served in order", async () => {
    const slots = new Slots({ count: 2 });
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
    const slots = new Slots({ count: 1 });
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

  test("so many are young at once; those that run on do not hold the line up", async () => {
    const slots = new Slots({ count: 4, youngMax: 2, youngMs: 60 });
    const startMs = performance.now();
    const served: number[] = [];
    const times: number[] = [];
    const take = async (): Promise<void> => {
      served.push(await slots.take(never));
      times.push(performance.now() - startMs);
    };
    await Promise.all([take(), take()]);
    const rest = [take(), take(), take(), take()];
    assert.deepEqual([slots.taken, slots.waiting], [2, 4]);
    // One that ends soon makes room at once.
    slots.give(1);
    await rest[0];
    assert.deepEqual(served, [0, 1, 1]);
    assert.deepEqual([slots.taken, slots.waiting], [2, 3]);
    // The others are as old as youngMs when the next two come in, and then all slots are taken.
    await Promise.all(rest.slice(1, 3));
    assert.deepEqual(served, [0, 1, 1, 2, 3]);
    assert.ok(
      times.slice(3).every((timeMs) => timeMs >= 58),
      times.join(" "),
    );
    assert.deepEqual([slots.taken, slots.waiting], [4, 1]);
    slots.give(2);
    await rest[3];
    for (const slot of [0, 1, 2, 3]) slots.give(slot);
    assert.deepEqual([slots.taken, slots.waiting], [0, 0]);
  });

  test("no slot is lost or doubled under random aborts", async () => {
    const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
    const random = seededRandom(seed);
    const slots = new Slots({ count: 3, youngMax: 2, youngMs: 1 });
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
