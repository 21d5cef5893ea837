import assert from "node:assert/strict";
import { test } from "node:test";
import { createByteRing } from "../../../src/shared/ring/byte-ring.js";
import {
  createEntryRing,
  EntryRingConsumer,
  EntryRingGate,
  EntryRingProducer,
} from "../../../src/shared/ring/entry-ring.js";
import { ringWords } from "../../../src/shared/ring/ring-layout.js";
import { runRingJob } from "./run-ring-job.js";
import { SeededRandom, testRounds, testSeed } from "./seeded-random.js";

function push(producer: EntryRingProducer, value: number): boolean {
  const at = producer.reserve();
  if (at < 0) return false;
  producer.view.setFloat64(at, value, true);
  producer.commit();
  return true;
}

function take(consumer: EntryRingConsumer): number | undefined {
  const at = consumer.peek();
  if (at < 0) return undefined;
  const value = consumer.view.getFloat64(at, true);
  consumer.release();
  return value;
}

test("entries come out in order, and a full ring refuses", () => {
  const buffer = createEntryRing(4, 16);
  const producer = new EntryRingProducer(buffer);
  const consumer = new EntryRingConsumer(buffer, false);
  assert.equal(take(consumer), undefined);
  for (const value of [1, 2, 3, 4]) assert.ok(push(producer, value));
  assert.equal(producer.free, 0);
  assert.equal(push(producer, 5), false);
  assert.equal(consumer.available, 4);
  assert.equal(take(consumer), 1);
  assert.ok(push(producer, 5));
  assert.deepEqual([take(consumer), take(consumer), take(consumer), take(consumer)], [2, 3, 4, 5]);
  assert.equal(take(consumer), undefined);
  assert.equal(producer.free, 4);
});

test("a gated consumer waits for producer and gate, whichever is later", () => {
  const buffer = createEntryRing(8, 8);
  const producer = new EntryRingProducer(buffer);
  const consumer = new EntryRingConsumer(buffer, true);
  const gate = new EntryRingGate(buffer);
  push(producer, 1);
  push(producer, 2);
  assert.equal(take(consumer), undefined);
  gate.open(1);
  assert.equal(take(consumer), 1);
  assert.equal(take(consumer), undefined);
  gate.open(2);
  assert.equal(take(consumer), 2);
  assert.equal(take(consumer), undefined, "the gate is ahead of the producer");
  push(producer, 3);
  assert.equal(take(consumer), 3);
  assert.throws(() => gate.open(-1), /backwards/);
});

test("random steps against a model, across the wrap of the 32-bit counters", () => {
  const random = new SeededRandom(testSeed());
  for (let round = 0; round < testRounds(60); round++) {
    const capacity = 2 << random.below(5);
    const buffer = createEntryRing(capacity, 8);
    const start = [0, 0x7fff_fff0, -20][random.below(3)] ?? 0;
    const words = new Int32Array(buffer);
    for (const word of [ringWords.head, ringWords.tail, ringWords.gate]) words[word] = start;
    const producer = new EntryRingProducer(buffer);
    const consumer = new EntryRingConsumer(buffer, true);
    const gate = new EntryRingGate(buffer);
    const model: number[] = [];
    let open = 0;
    for (let step = 0; step < 400; step++) {
      const context = `seed ${random.seed}, round ${round}, step ${step}`;
      const what = random.below(3);
      if (what === 0) {
        assert.equal(push(producer, step), model.length < capacity, context);
        if (model.length < capacity) model.push(step);
      } else if (what === 1) {
        const steps = Math.min(random.below(4), model.length - open);
        gate.open(steps);
        open += steps;
      } else {
        assert.equal(take(consumer), open > 0 ? model.shift() : undefined, context);
        open = Math.max(0, open - 1);
      }
    }
  }
});

test("three threads: nothing leaves before its gate, nothing is torn or lost", { timeout: 20_000 }, async () => {
  const seed = testSeed();
  const ring = createEntryRing(256, 32);
  const entries = testRounds(200_000);
  const jobs = (["produce-entries", "gate-entries", "consume-entries"] as const).map((kind) =>
    runRingJob({ kind, ring, seed, entries }),
  );
  for (const result of await Promise.all(jobs)) assert.equal(result.error, null, `seed ${seed}`);
});

test("misuse fails at once", () => {
  const buffer = createEntryRing(4, 16);
  assert.throws(() => new EntryRingProducer(buffer).stage(), /reserved before/);
  assert.throws(() => new EntryRingConsumer(buffer, false).advance(), /peeked before/);
  assert.throws(() => new EntryRingConsumer(createByteRing(1_024), false), /is an entry ring/);
  assert.throws(() => createEntryRing(3, 16), /power of two/);
  assert.throws(() => createEntryRing(4, 12), /multiple of 8/);
});
