import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { ByteRingConsumer, createByteRing } from "../../../src/shared/ring/byte-ring.js";
import {
  createDoorbell,
  DoorbellRinger,
  DoorbellSleeper,
  MainDoorbell,
  MainDoorbellRinger,
} from "../../../src/shared/ring/doorbell.js";
import { runRingJob } from "./run-ring-job.js";
import { spin } from "./ring-worker.js";
import { SeededRandom, testRounds, testSeed } from "./seeded-random.js";

test("a ring before the wait makes it return at once, once", () => {
  const buffer = createDoorbell();
  const sleeper = new DoorbellSleeper(buffer);
  const ringer = new DoorbellRinger(buffer);
  ringer.ring();
  ringer.ring();
  assert.equal(sleeper.wait(1_000), true);
  assert.equal(sleeper.wait(5), false);
  ringer.ring();
  sleeper.mark();
  assert.equal(sleeper.wait(5), false, "marked rings are not waited for again");
});

test("two threads that wake each other lose no wake-up", { timeout: 20_000 }, async () => {
  const seed = testSeed();
  const words = new SharedArrayBuffer(8);
  const bells = [createDoorbell(), createDoorbell()] as const;
  const rounds = testRounds(20_000);
  const shared = { kind: "ping-pong", words, rounds, seed } as const;
  const results = await Promise.all([
    runRingJob({ ...shared, ringOwn: bells[0], ringOther: bells[1], mine: 0 }),
    runRingJob({ ...shared, ringOwn: bells[1], ringOther: bells[0], mine: 1 }),
  ]);
  for (const result of results) assert.deepEqual(result, { timeouts: 0, error: null }, `seed ${seed}`);
  assert.equal(new Int32Array(words)[0], rounds * 2);
});

test("main sees every ring of two threads that wait for it", { timeout: 20_000 }, async () => {
  const seed = testSeed();
  const random = new SeededRandom(seed);
  const frames = testRounds(10_000);
  const buffers = [createByteRing(4_096), createByteRing(4_096)];
  const consumers = buffers.map((buffer) => new ByteRingConsumer(buffer));
  const seen = [0, 0];
  const bell = new MainDoorbell(() => {
    for (const [index, consumer] of consumers.entries()) {
      for (let at = consumer.peek(); at >= 0; at = consumer.peek()) {
        assert.equal(consumer.view.getUint32(at, true), seen[index]);
        seen[index] = (seen[index] ?? 0) + 1;
        consumer.release();
      }
    }
    // Rings that come now, after the last look, are the ones that can be lost.
    spin(random.below(5_000));
  });
  const jobs = buffers.map((ring, index) => {
    const handle = bell.connect();
    return runRingJob({ kind: "ring-main", ring, bell: handle, frames, seed: seed + index }, [handle.port]);
  });
  for (const result of await Promise.all(jobs)) assert.equal(result.error, null, `seed ${seed}`);
  bell.drainNow();
  assert.deepEqual(seen, [frames, frames], `seed ${seed}`);
  bell.close();
});

test("a bell that is not armed sends no message; drainNow arms it", async () => {
  let drains = 0;
  const bell = new MainDoorbell(() => {
    drains++;
  });
  const ringer = new MainDoorbellRinger(bell.connect());
  bell.keepAlive(true);
  ringer.ring();
  ringer.ring();
  await sleep(20);
  assert.equal(drains, 1, "two rings before main looked are one message");
  ringer.ring();
  await sleep(20);
  assert.equal(drains, 2);
  bell.drainNow();
  assert.equal(drains, 3);
  bell.close();
  ringer.ring();
  await sleep(5);
  assert.equal(drains, 3, "a closed bell is silent");
});
