import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { CoarseTimeout } from "../../src/shared/coarse-timeout.js";

test("a time limit acts once, never too soon, and not when it was cleared", async () => {
  const acted: string[] = [];
  const startMs = performance.now();
  const after = (name: string, timeoutMs: number): CoarseTimeout =>
    new CoarseTimeout(timeoutMs, () => {
      // A timer of Node may come a millisecond early by its own clock.
      assert.ok(performance.now() - startMs >= timeoutMs - 2, name);
      acted.push(name);
    });
  after("short", 20);
  after("cleared short", 20).clear();
  const cleared = after("cleared long", 2_050);
  const clearedByOther = after("cleared by another", 2_200);
  new CoarseTimeout(2_060, () => clearedByOther.clear());
  after("long", 2_100);
  after("longer", 60_000).clear();
  await sleep(300);
  assert.deepEqual(acted, ["short"]);
  cleared.clear();
  cleared.clear();
  while (!acted.includes("long")) await sleep(20);
  await sleep(300);
  assert.deepEqual(acted, ["short", "long"]);

  // After the shared timer has ended for want of limits.
  let again = 0;
  new CoarseTimeout(2_001, () => again++);
  while (again === 0) await sleep(20);
  await sleep(120);
  assert.equal(again, 1);
});
