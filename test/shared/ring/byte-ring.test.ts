import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ByteRingConsumer,
  ByteRingProducer,
  byteRingFrameBytesMax,
  createByteRing,
} from "../../../src/shared/ring/byte-ring.js";
import { createDoorbell } from "../../../src/shared/ring/doorbell.js";
import { createEntryRing } from "../../../src/shared/ring/entry-ring.js";
import { ringHeaderBytes, ringWords } from "../../../src/shared/ring/ring-layout.js";
import { runRingJob } from "./run-ring-job.js";
import { SeededRandom, testRounds, testSeed } from "./seeded-random.js";

/** A ring whose positions start at `position`, as after a long life. */
function ringAt(capacityBytes: number, position: number): SharedArrayBuffer {
  const buffer = createByteRing(capacityBytes);
  const words = new Int32Array(buffer);
  words[ringWords.head] = position;
  words[ringWords.tail] = position;
  return buffer;
}

test("a frame comes out as it went in, and the ring is empty again", () => {
  const buffer = createByteRing(1_024);
  const producer = new ByteRingProducer(buffer);
  const consumer = new ByteRingConsumer(buffer);
  assert.equal(consumer.peek(), -1);
  const offset = producer.reserve(5);
  assert.equal(offset % 8, 0);
  producer.bytes.set([1, 2, 3, 4, 5], offset);
  assert.equal(consumer.peek(), -1, "nothing is seen before the commit");
  producer.commit();
  assert.deepEqual(consumer.peekView(), new Uint8Array([1, 2, 3, 4, 5]));
  assert.deepEqual(consumer.peekView(), new Uint8Array([1, 2, 3, 4, 5]), "peeking again finds the same frame");
  consumer.release();
  assert.equal(consumer.peek(), -1);
  assert.equal(producer.usedBytes, 0);
});

test("a full ring answers -1, keeps what it holds, and takes frames again after a release", () => {
  const buffer = createByteRing(1_024);
  const producer = new ByteRingProducer(buffer);
  const consumer = new ByteRingConsumer(buffer);
  let frames = 0;
  for (; producer.reserve(56) >= 0; frames++) producer.commit();
  assert.equal(frames, 16, "64 bytes each fill the ring to its last byte");
  assert.equal(producer.usedBytes, 1_024);
  assert.equal(producer.reserve(0), -1);
  assert.throws(() => producer.commit(), /reserved before/);
  consumer.peek();
  consumer.release();
  assert.ok(producer.reserve(56) >= 0);
});

test("frames passed with advance keep their memory until release", () => {
  const buffer = createByteRing(1_024);
  const producer = new ByteRingProducer(buffer);
  const consumer = new ByteRingConsumer(buffer);
  for (let frame = 0; frame < 16; frame++) {
    producer.bytes[producer.reserve(56)] = frame;
    producer.stage();
  }
  assert.equal(consumer.peek(), -1, "staged frames are not published");
  producer.publish();
  const first = consumer.peek();
  consumer.advance();
  const second = consumer.peek();
  consumer.advance();
  assert.deepEqual([consumer.bytes[first], consumer.bytes[second]], [0, 1]);
  assert.equal(producer.reserve(56), -1);
  consumer.release();
  assert.equal(producer.usedBytes, 14 * 64);
  assert.throws(() => consumer.advance(), /peeked before/);
});

test("a reservation may be cut short, or dropped by the next one", () => {
  const buffer = createByteRing(1_024);
  const producer = new ByteRingProducer(buffer);
  const consumer = new ByteRingConsumer(buffer);
  producer.bytes[producer.reserve(400)] = 7;
  producer.bytes[producer.reserve(300)] = 8;
  producer.commit(1);
  assert.deepEqual(consumer.peekView(), new Uint8Array([8]));
  consumer.release();
  assert.equal(consumer.peek(), -1);
  producer.reserve(8);
  assert.throws(() => producer.commit(9), /within its reservation/);
});

test("an empty ring takes the largest frame at every position, and nothing larger", () => {
  const capacity = 1_024;
  for (let position = 0; position < capacity; position += 8) {
    const buffer = ringAt(capacity, position);
    const producer = new ByteRingProducer(buffer);
    const consumer = new ByteRingConsumer(buffer);
    const offset = producer.reserve(producer.frameBytesMax);
    assert.ok(offset >= 0 && offset + producer.frameBytesMax <= capacity, `at ${position}`);
    producer.bytes.fill(position & 0xff, offset, offset + producer.frameBytesMax);
    producer.commit();
    const frame = consumer.peekView();
    assert.ok(frame !== null && frame.length === byteRingFrameBytesMax(capacity));
    assert.ok(frame.every((byte) => byte === (position & 0xff)));
    consumer.release();
    assert.equal(producer.usedBytes, 0);
    assert.throws(() => producer.reserve(producer.frameBytesMax + 1), /half of its ring/);
  }
});

test("random frames against a model, across the wrap of the 32-bit positions", () => {
  const random = new SeededRandom(testSeed());
  for (let round = 0; round < testRounds(60); round++) {
    const capacity = 1_024 << random.below(4);
    const startsNear = [0, 0x7fff_ffff - capacity, 0xffff_ffff - capacity][random.below(3)] ?? 0;
    const buffer = ringAt(capacity, (startsNear & ~7) | 0);
    const producer = new ByteRingProducer(buffer);
    const consumer = new ByteRingConsumer(buffer);
    const model: Uint8Array[] = [];
    for (let step = 0; step < 600; step++) {
      const context = `seed ${random.seed}, round ${round}, step ${step}`;
      if (random.below(2) === 0) {
        const length = random.below(random.below(5) === 0 ? producer.frameBytesMax + 1 : 100);
        const offset = producer.reserve(length);
        if (offset < 0) {
          const needed = 2 * (length + 16);
          assert.ok(producer.usedBytes + needed > capacity, `${context}: refused with room to spare`);
          continue;
        }
        const frame = Uint8Array.from({ length }, () => random.below(256));
        producer.bytes.set(frame, offset);
        producer.commit();
        model.push(frame);
      } else {
        const expected = model.shift();
        assert.deepEqual(consumer.peekView(), expected ?? null, context);
        consumer.release();
      }
    }
  }
});

test("both ends can be opened anew on a ring that is in use", () => {
  const buffer = createByteRing(1_024);
  const producer = new ByteRingProducer(buffer);
  for (const value of [1, 2, 3]) {
    producer.bytes[producer.reserve(1)] = value;
    producer.commit();
  }
  const first = new ByteRingConsumer(buffer);
  first.peek();
  first.release();
  const second = new ByteRingConsumer(buffer);
  const again = new ByteRingProducer(buffer);
  again.bytes[again.reserve(1)] = 4;
  again.commit();
  for (const value of [2, 3, 4]) {
    assert.deepEqual(second.peekView(), new Uint8Array([value]));
    second.release();
  }
});

test("damage and wrong buffers fail at once", () => {
  const buffer = createByteRing(1_024);
  const producer = new ByteRingProducer(buffer);
  producer.reserve(16);
  producer.commit();
  const consumer = new ByteRingConsumer(buffer);
  new Int32Array(buffer, ringHeaderBytes)[0] = 15;
  assert.throws(() => consumer.peek(), /position it was written at/);
  assert.throws(() => new ByteRingProducer(createEntryRing(16, 16)), /is a byte ring/);
  assert.throws(() => createByteRing(1_000), /power of two/);
  assert.throws(() => createByteRing(512), /within bounds/);
});

test("two threads: every frame arrives once, in order, whole", { timeout: 20_000 }, async () => {
  const seed = testSeed();
  for (const capacityBytes of [1_024, 16_384, 1_048_576]) {
    const ring = createByteRing(capacityBytes);
    const bells = [createDoorbell(), createDoorbell()] as const;
    const frames = testRounds(capacityBytes === 1_024 ? 15_000 : 60_000);
    const shared = { ring, seed, frames, frameBytesMax: Math.min(byteRingFrameBytesMax(capacityBytes), 4_000) };
    const [consumed, produced] = await Promise.all([
      runRingJob({ ...shared, kind: "consume-frames", ringOwn: bells[1], ringOther: bells[0] }),
      runRingJob({ ...shared, kind: "produce-frames", ringOwn: bells[0], ringOther: bells[1] }),
    ]);
    const context = `seed ${seed}, capacity ${capacityBytes}`;
    assert.deepEqual([consumed.error, produced.error], [null, null], context);
    assert.deepEqual([consumed.timeouts, produced.timeouts], [0, 0], `${context}: a wake-up was lost`);
  }
});
