import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { ByteRingConsumer, ByteRingProducer, createByteRing } from "../../../src/shared/ring/byte-ring.js";
import {
  beginFrame,
  frameBytes,
  frameDurabilities,
  frameEncodings,
  frameFlags,
  frameFormats,
  FrameReader,
  newFrameHeader,
  pushFrame,
} from "../../../src/shared/ring/frame.js";
import { TextCache } from "../../../src/shared/ring/text-cache.js";

const noSlab = new Uint8Array(0);

function openRing(capacityBytes = 65_536): {
  readonly producer: ByteRingProducer;
  readonly consumer: ByteRingConsumer;
} {
  const buffer = createByteRing(capacityBytes);
  return { producer: new ByteRingProducer(buffer), consumer: new ByteRingConsumer(buffer) };
}

test("every field survives, for any texts and bodies", () => {
  const { producer, consumer } = openRing();
  const reader = new FrameReader();
  const property = fc.property(
    fc.record({
      requestId: fc.integer({ min: 0, max: 0xffff_ffff }),
      format: fc.constantFrom(...Object.values(frameFormats)),
      durability: fc.constantFrom(...Object.values(frameDurabilities)),
      contentEncoding: fc.constantFrom(...Object.values(frameEncodings)),
      flags: fc.constantFrom(0, frameFlags.idRequired, frameFlags.mayCreateTable | frameFlags.originalShape),
      receivedMicros: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      table: fc.string({ maxLength: 64 }),
      batchId: fc.string({ unit: "grapheme", maxLength: 100 }),
      principal: fc.string({ unit: "grapheme", maxLength: 100 }),
    }),
    fc.uint8Array({ maxLength: 300 }),
    (fields, body) => {
      const header = { ...fields, slabOffset: -1, bodyBytes: body.length };
      assert.ok(pushFrame(producer, header, body));
      reader.read(consumer, consumer.peek());
      for (const [name, value] of Object.entries(fields)) {
        assert.equal(reader[name as keyof typeof fields], value, name);
      }
      assert.deepEqual(new Uint8Array(reader.body(consumer, noSlab)), body);
      consumer.release();
    },
  );
  fc.assert(property, { numRuns: 500 });
});

test("a body in the slab is named by offset, not copied", () => {
  const { producer, consumer } = openRing();
  const slab = new Uint8Array(new SharedArrayBuffer(1_000)).map((_, index) => index & 0xff);
  const header = { ...newFrameHeader(), table: "events", slabOffset: 0, bodyBytes: 3 };
  const reader = new FrameReader();
  assert.ok(pushFrame(producer, header, null));
  assert.ok(pushFrame(producer, { ...header, slabOffset: 500 }, null));
  assert.equal(producer.usedBytes, 2 * (8 + frameBytes(6, 0)));
  reader.read(consumer, consumer.peek());
  assert.deepEqual([...reader.body(consumer, slab)], [0, 1, 2], "offset 0 is an offset");
  assert.equal(reader.flags, frameFlags.slab);
  consumer.release();
  reader.read(consumer, consumer.peek());
  assert.deepEqual([...reader.body(consumer, slab)], [244, 245, 246]);
});

test("a body can be written in pieces into its reserved place", () => {
  const { producer, consumer } = openRing();
  const offset = beginFrame(producer, { ...newFrameHeader(), table: "t", bodyBytes: 6 });
  producer.bytes.set([1, 2, 3], offset);
  producer.bytes.set([4, 5, 6], offset + 3);
  assert.equal(consumer.peek(), -1);
  producer.commit();
  const reader = new FrameReader();
  reader.read(consumer, consumer.peek());
  assert.deepEqual([...reader.body(consumer, noSlab)], [1, 2, 3, 4, 5, 6]);
});

test("a full ring refuses the frame and stays as it was", () => {
  const { producer, consumer } = openRing(1_024);
  const body = new Uint8Array(200).fill(9);
  const header = { ...newFrameHeader(), table: "events", bodyBytes: body.length };
  let pushed = 0;
  while (pushFrame(producer, { ...header, requestId: pushed }, body)) pushed++;
  assert.equal(pushed, 4);
  const reader = new FrameReader();
  for (let seen = 0; seen < pushed; seen++) {
    reader.read(consumer, consumer.peek());
    assert.equal(reader.requestId, seen);
    consumer.release();
  }
  assert.equal(consumer.peek(), -1);
  assert.ok(pushFrame(producer, header, body));
});

test("mistakes fail on both sides", () => {
  const { producer, consumer } = openRing();
  const reader = new FrameReader();
  const header = { ...newFrameHeader(), bodyBytes: 4 };
  assert.throws(() => pushFrame(producer, header, new Uint8Array(3)), /how long its body is/);
  assert.throws(() => pushFrame(producer, { ...header, table: "t".repeat(256) }, new Uint8Array(4)), /texts are short/);
  producer.reserve(40);
  producer.view.setUint32(0, 0);
  producer.commit();
  producer.view.setUint32(8 + 28, 1, true);
  assert.throws(() => reader.read(consumer, consumer.peek()), /as long as its parts/);
});

test("a repeated text is one string, and a cache of one slot still tells texts apart", () => {
  const cache = new TextCache(1);
  const bytes = new TextEncoder().encode("eventsmetricsevents");
  assert.equal(cache.text(bytes, 0, 6), "events");
  assert.equal(cache.text(bytes, 6, 13), "metrics");
  assert.equal(cache.text(bytes, 13, 19), "events");
  assert.equal(cache.text(bytes, 0, 5), "event");
  assert.equal(cache.text(bytes, 3, 3), "");
});
