import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { PutQueue } from "../../../src/workers/persist/put-queue.js";

describe("puts that go on while more files are made", () => {
  test("begin at once, so many at a time, in their order, and all have ended at the end", async () => {
    const queue = new PutQueue(2);
    const begun: number[] = [];
    let running = 0;
    let runningMax = 0;
    for (let put = 0; put < 7; put++) {
      queue.add(async () => {
        begun.push(put);
        runningMax = Math.max(runningMax, ++running);
        await delay(1);
        running--;
      });
    }
    assert.deepEqual(begun, [0, 1], "before anybody waits for them");
    await queue.done();
    assert.deepEqual([begun, running, runningMax], [[0, 1, 2, 3, 4, 5, 6], 0, 2]);
    await queue.stop();
    await new PutQueue(1).done();
  });

  test("after a failure none begins, who makes files hears of it, and those under way are waited for", async () => {
    const queue = new PutQueue(2);
    const failure = new Error("the store is away");
    let isEnded = false;
    queue.add(() => Promise.reject(failure));
    queue.add(async () => {
      await delay(5);
      isEnded = true;
    });
    queue.add(() => assert.fail("it is not begun"));
    queue.check();
    await delay(0);
    assert.throws(() => queue.check(), failure);
    queue.add(() => assert.fail("nor is this"));
    await assert.rejects(queue.done(), failure);
    assert.ok(isEnded);
  });

  test("stop forgets those that wait", async () => {
    const queue = new PutQueue(1);
    let ended = 0;
    for (let put = 0; put < 3; put++) {
      queue.add(async () => {
        await delay(1);
        ended++;
      });
    }
    await queue.stop();
    assert.equal(ended, 1);
    await queue.done();
  });
});
