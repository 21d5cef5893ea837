import assert from "node:assert/strict";
import { test } from "node:test";
import { YoungQueries, type YoungQuery } from "../../../src/workers/query/young-queries.js";

test("so many at once, then first come first served", async () => {
  const young = new YoungQueries({ count: 2, ageMsMax: 60_000 });
  const first = [await young.enter(), await young.enter()];
  const order: number[] = [];
  const later: Promise<YoungQuery>[] = [0, 1, 2].map(async (index) => {
    const query = await young.enter();
    order.push(index);
    return query;
  });
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.deepEqual(order, []);
  first[0]?.leave();
  first[0]?.leave();
  await later[0];
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(order, [0], "a place is left once");
  first[1]?.leave();
  (await later[0])?.leave();
  assert.deepEqual((await Promise.all(later)).length, 3);
  assert.deepEqual(order, [0, 1, 2]);
  for (const query of await Promise.all(later)) query.leave();
  const again = [young.enter(), young.enter()];
  assert.ok(
    again.every((query) => !(query instanceof Promise)),
    "both places are free again",
  );
});

test("one that runs for long keeps nobody out", async () => {
  const young = new YoungQueries({ count: 1, ageMsMax: 50 });
  // Its own timer keeps no thread alive.
  const awake = setInterval(() => {}, 1_000);
  const old = await young.enter();
  const second = await young.enter();
  // Its place is another's now.
  old.leave();
  const third = young.enter();
  assert.ok(third instanceof Promise);
  second.leave();
  (await third).leave();
  clearInterval(awake);
  assert.ok(!(young.enter() instanceof Promise));
});
