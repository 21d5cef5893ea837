import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  completionBytes,
  completionFlags,
  completionStatuses,
  newCompletion,
  stageCompletion,
  takeCompletion,
} from "../../../src/shared/ring/completion.js";
import { createEntryRing, EntryRingConsumer, EntryRingProducer } from "../../../src/shared/ring/entry-ring.js";
import {
  newWalDescriptor,
  stageWalDescriptor,
  takeWalDescriptor,
  walDescriptorBytes,
} from "../../../src/shared/ring/wal-descriptor.js";

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });

test("every field of a completion survives", () => {
  const buffer = createEntryRing(4, completionBytes);
  const producer = new EntryRingProducer(buffer);
  const consumer = new EntryRingConsumer(buffer, false);
  const into = newCompletion();
  const property = fc.property(
    fc.record(
      {
        requestId: u32,
        status: fc.constantFrom(...Object.values(completionStatuses)),
        durability: fc.integer({ min: 0, max: 2 }),
        flags: fc.constantFrom(0, completionFlags.detail),
        accepted: u32,
        rejected: u32,
        sequence: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
        tableSlot: u32,
        id: fc.stringMatching(/^[A-Za-z0-9_-]{0,63}$/),
      },
      { noNullPrototype: true },
    ),
    (completion) => {
      assert.ok(stageCompletion(producer, completion));
      assert.equal(takeCompletion(consumer, into), false, "staged is not published");
      producer.publish();
      assert.ok(takeCompletion(consumer, into));
      consumer.release();
      assert.deepEqual(into, completion);
      assert.equal(takeCompletion(consumer, into), false);
    },
  );
  fc.assert(property, { numRuns: 500 });
});

test("a completion that was read or damaged is not taken for a fresh one", () => {
  const buffer = createEntryRing(2, completionBytes);
  const producer = new EntryRingProducer(buffer);
  const consumer = new EntryRingConsumer(buffer, false);
  stageCompletion(producer, { ...newCompletion(), requestId: 5 });
  producer.view.setUint32(0, 6, true);
  producer.reserve();
  producer.commit();
  assert.throws(() => takeCompletion(consumer, newCompletion()), /as it was written/);
});

test("a full ring of completions refuses", () => {
  const producer = new EntryRingProducer(createEntryRing(2, completionBytes));
  assert.deepEqual(
    [1, 2, 3].map((requestId) => stageCompletion(producer, { ...newCompletion(), requestId })),
    [true, true, false],
  );
});

test("every field of a WAL descriptor survives", () => {
  const buffer = createEntryRing(4, walDescriptorBytes);
  const producer = new EntryRingProducer(buffer);
  const consumer = new EntryRingConsumer(buffer, false);
  const into = newWalDescriptor();
  const property = fc.property(
    fc.record({ blockId: u32, offset: u32, length: u32, completions: u32 }, { noNullPrototype: true }),
    (descriptor) => {
      assert.ok(stageWalDescriptor(producer, descriptor));
      producer.publish();
      assert.ok(takeWalDescriptor(consumer, into));
      consumer.release();
      assert.deepEqual(into, descriptor);
      assert.equal(takeWalDescriptor(consumer, into), false);
    },
  );
  fc.assert(property, { numRuns: 200 });
});

test("an id that does not fit, or is not ASCII, is refused instead of changed", () => {
  const stage = (id: string): boolean =>
    stageCompletion(new EntryRingProducer(createEntryRing(2, completionBytes)), { ...newCompletion(), id });
  assert.throws(() => stage("x".repeat(64)), /fits/);
  assert.throws(() => stage("é"), /ASCII/);
  assert.ok(stage("x".repeat(63)));
});
