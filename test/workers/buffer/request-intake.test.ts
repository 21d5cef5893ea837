import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { ColumnKeys } from "../../../src/shared/encryption/column-keys.js";
import { MiniodbError } from "../../../src/shared/errors.js";
import type { IngestToMain } from "../../../src/shared/messages.js";
import { completionBytes, newCompletion, takeCompletion } from "../../../src/shared/ring/completion.js";
import {
  createEntryRing,
  EntryRingConsumer,
  EntryRingGate,
  EntryRingProducer,
} from "../../../src/shared/ring/entry-ring.js";
import { recordKinds } from "../../../src/shared/formats/wal-record-v1.js";
import { frameEncodings, frameFlags, frameFormats } from "../../../src/shared/ring/frame.js";
import { guardBody } from "../../../src/shared/ring/guarded-body.js";
import { ringWords } from "../../../src/shared/ring/ring-layout.js";
import { newWalDescriptor, takeWalDescriptor, walDescriptorBytes } from "../../../src/shared/ring/wal-descriptor.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { BatchIds } from "../../../src/workers/buffer/batch-ids.js";
import { BlockPool } from "../../../src/workers/buffer/block-pool.js";
import { Replies } from "../../../src/workers/buffer/replies.js";
import { RequestIntake, type IngestRequest } from "../../../src/workers/buffer/request-intake.js";
import { RoundEmitter } from "../../../src/workers/buffer/round-emitter.js";
import { TableOwner } from "../../../src/workers/buffer/table-owner.js";

const walRecords = 16;
const inflatedBytesMax = 4 * 1024 * 1024;

/** An intake with its rings, all in this thread: `log` is the WAL thread, `answers` is main. */
class Intake {
  readonly owners = new Map<string, TableOwner>();
  readonly needed: string[] = [];
  readonly failures: string[] = [];
  /** Ids of the blocks that are in use. */
  readonly blocks = new Set<number>();
  readonly replies: Replies;
  readonly emitter: RoundEmitter;
  readonly intake: RequestIntake;
  readonly #pool: BlockPool;
  readonly #descriptors: EntryRingConsumer;
  readonly #gate: EntryRingGate;
  readonly #completions: EntryRingConsumer;

  constructor() {
    const gatedRing = createEntryRing(1024, completionBytes);
    const walRing = createEntryRing(walRecords, walDescriptorBytes);
    this.#descriptors = new EntryRingConsumer(walRing, false);
    this.#gate = new EntryRingGate(gatedRing);
    this.#completions = new EntryRingConsumer(gatedRing, true);
    const gated = { ring: new EntryRingProducer(gatedRing), gate: new EntryRingGate(gatedRing) };
    const immediate = new EntryRingProducer(createEntryRing(1024, completionBytes));
    this.replies = new Replies(gated, immediate, (message) => this.#note(message));
    this.emitter = new RoundEmitter(new EntryRingProducer(walRing), this.replies);
    this.#pool = new BlockPool(0, {
      onBlock: ({ id }) => this.blocks.add(id),
      onDrop: ({ id }) => this.blocks.delete(id),
    });
    this.intake = new RequestIntake({
      worker: 0,
      workers: 1,
      inflatedBytesMax,
      owners: this.owners,
      replies: this.replies,
      isDurable: (position) => this.replies.isDurable(position),
      logRoom: (rounds) => this.emitter.roomBeside(rounds),
      needTable: (name) => this.needed.push(name),
      reroute: () => assert.fail("there is one worker"),
      emitTable: (owner) => this.emitter.emit(owner),
      emitOperations: (owner, operations) => this.emitter.emitOperations(owner, operations),
    });
  }

  open(name: string): TableOwner {
    const slot = this.owners.size;
    const table = {
      identity: { name, uuid: `7d3f0c7e-1111-4222-8333-${String(slot).padStart(12, "0")}`, location: "" },
      schema: initialSchema,
      settings: {},
      flushedSequence: 0,
      hasFiles: false,
      slot,
    };
    const owner = new TableOwner(table, {
      worker: 0,
      batchIds: new BatchIds({ windowMs: 1e9, countMax: 100, errorsMax: 1e6 }),
      columnKeys: new ColumnKeys([]),
      takeBlock: (bytes) => this.#pool.take(bytes, () => true),
    });
    this.owners.set(name, owner);
    return owner;
  }

  /** Everything up to here is in the store. */
  flush(owner: TableOwner): void {
    for (const block of owner.flushed(owner.buffer.lastSequence, owner.schema)) this.#pool.free(block, 0);
  }

  take(requestId: number, line: string, flags = 0, more: Partial<IngestRequest> = {}): void {
    this.#take({ requestId, flags, table: "t", encoding: frameEncodings.identity, body: Buffer.from(line) }, more);
  }

  takeGzip(requestId: number, table: string, lines: string): void {
    this.#take({ requestId, flags: 0, table, encoding: frameEncodings.gzip, body: gzipSync(lines) });
  }

  #take(
    request: Pick<IngestRequest, "requestId" | "flags" | "table" | "encoding" | "body">,
    more: Partial<IngestRequest> = {},
  ): void {
    const fixed = { format: frameFormats.ndjson, memory: false, receivedMicros: 0, batchId: "", principal: "" };
    this.intake.take({ ...fixed, ...request, ...more });
  }

  endRound(): void {
    for (const owner of this.intake.touched) this.emitter.emit(owner);
    this.intake.touched.clear();
    this.replies.publish();
    this.emitter.publish();
  }

  /** The WAL thread makes all durable that was announced. */
  log(): void {
    const descriptor = newWalDescriptor();
    while (takeWalDescriptor(this.#descriptors, descriptor)) this.#gate.open(descriptor.completions);
    this.#descriptors.release();
  }

  /** The same with one record; false where there is none. */
  logOne(): boolean {
    const descriptor = newWalDescriptor();
    if (!takeWalDescriptor(this.#descriptors, descriptor)) return false;
    this.#gate.open(descriptor.completions);
    this.#descriptors.release();
    return true;
  }

  /** Requests answered as done since the last call, with the sequence that each got. */
  answers(): { readonly requestId: number; readonly sequence: number }[] {
    const answers = [];
    const completion = newCompletion();
    while (takeCompletion(this.#completions, completion)) {
      answers.push({ requestId: completion.requestId, sequence: completion.sequence });
    }
    this.#completions.release();
    return answers;
  }

  #note(message: IngestToMain): void {
    if (message.kind === "request-detail") this.failures.push(message.error?.message ?? "row errors");
  }
}

test("of thousands that waited for a table, no more go on than the log's ring takes, and all in order", () => {
  const rig = new Intake();
  const count = 100;
  // Each is of another kind than the one before it, and so begins a record.
  const flagsOf = (id: number): number => (id % 2 === 0 ? frameFlags.replaces : 0);
  for (let id = 1; id <= count; id++) rig.take(id, `{"id":"a","v":${id}}`, flagsOf(id));
  assert.deepEqual(rig.needed, ["t"]);
  rig.open("t");
  rig.intake.resume("t", null);
  assert.ok(rig.intake.hasHeld);
  // One that comes now has its place behind them.
  rig.take(count + 1, `{"id":"a","v":0}`, flagsOf(count + 1));
  const answers = [];
  for (let round = 0; round < count && answers.length <= count; round++) {
    rig.endRound();
    rig.log();
    answers.push(...rig.answers());
    rig.intake.resumeHeld();
  }
  assert.deepEqual(rig.failures, []);
  const expected = Array.from({ length: count + 1 }, (_, index) => ({ requestId: index + 1, sequence: index + 1 }));
  assert.deepEqual(answers, expected);
  assert.equal(rig.intake.hasHeld, false);
});

test("large bodies of many tables are not all inflated at once", () => {
  const rig = new Intake();
  const tables = ["a", "b", "c", "d", "e", "f"];
  for (const table of tables) rig.open(table);
  // Three million bytes each, of which the bound lets two be there.
  const line = `{"text":"${"x".repeat(999)}"}\n`;
  for (const [index, table] of tables.entries()) rig.takeGzip(index + 1, table, line.repeat(3000));
  assert.ok(rig.intake.hasLarge && rig.intake.hasHeld);
  const answered: number[] = [];
  for (let round = 0; round < 100 && answered.length < tables.length; round++) {
    rig.intake.resumeHeld();
    rig.intake.stepLarge();
    rig.endRound();
    rig.log();
    answered.push(...rig.answers().map(({ requestId }) => requestId));
  }
  assert.deepEqual(rig.failures, []);
  assert.deepEqual(answered, [1, 2, 3, 4, 5, 6]);
});

test("what is held for a table is refused when the table is dropped", () => {
  const rig = new Intake();
  for (let id = 1; id <= 40; id++) rig.take(id, `{"id":"a"}`, id % 2 === 0 ? frameFlags.replaces : 0);
  const owner = rig.open("t");
  rig.intake.resume("t", null);
  assert.ok(rig.intake.hasHeld);
  rig.intake.abandon(owner, new MiniodbError("TABLE_NOT_FOUND", "dropped"));
  assert.equal(rig.intake.hasHeld, false);
  rig.endRound();
  rig.log();
  assert.equal(rig.answers().length + rig.failures.length, 40);
});

test("the blocks of a table are free once all its rows are in the store, the schema's too", () => {
  const rig = new Intake();
  const owner = rig.open("t");
  // With its first batch the schema is new, and the batch larger than the first block.
  rig.take(1, `{"id":"a","text":"${"x".repeat(100_000)}"}`);
  rig.endRound();
  rig.log();
  rig.flush(owner);
  assert.deepEqual([...rig.blocks], []);
});

const mixed = [
  { _op: "insert", id: "a", v: 1 },
  { _op: "delete", id: "a" },
  { _op: "insert", id: "a", v: 2 },
  { _op: "replace", id: "b", v: 3, s: "new" },
  { _op: "delete", id: "c" },
  { id: "d", v: 4 },
]
  .map((row) => JSON.stringify(row))
  .join("\n");

test("a batch of operations is one record, visible as a whole, between the rounds before and behind it", () => {
  const rig = new Intake();
  const owner = rig.open("t");
  rig.take(1, `{"id":"a","v":0}`);
  rig.take(2, mixed, frameFlags.operations);
  rig.take(3, `{"id":"a","v":9}`);
  const isDurable = (position: number): boolean => rig.replies.isDurable(position);
  const visible = (): number => owner.buffer.visibleSequence((record) => owner.isVisible(record, isDurable));
  rig.endRound();
  const kinds = owner.buffer.records.map(({ kind, firstSequence, rowCount }) => [kind, firstSequence, rowCount]);
  const { rows, replacing, tombstones } = recordKinds;
  assert.deepEqual(kinds, [
    [rows, 1, 1],
    [tombstones, 2, 2],
    [replacing, 4, 1],
    [rows, 5, 2],
    [rows, 7, 1],
  ]);
  const [, ...parts] = owner.buffer.records.slice(0, 4).map(({ logPosition }) => logPosition);
  assert.equal(new Set(parts).size, 1);
  const seen = new Set([visible()]);
  while (rig.logOne()) seen.add(visible());
  assert.deepEqual([...seen], [0, 1, 6, 7]);
  assert.deepEqual(rig.answers(), [
    { requestId: 1, sequence: 1 },
    { requestId: 2, sequence: 6 },
    { requestId: 3, sequence: 7 },
  ]);
  assert.deepEqual(
    owner.schema.columns.map(({ name }) => name),
    ["timestamp", "id", "v", "s"],
  );
  rig.flush(owner);
  assert.deepEqual([owner.buffer.rows, owner.buffer.bytes], [0, 0]);
  assert.deepEqual([...rig.blocks], []);
});

test("with durability memory a batch of operations is visible at once, and as a whole", () => {
  const rig = new Intake();
  const owner = rig.open("t");
  rig.take(1, mixed, frameFlags.operations, { memory: true });
  assert.equal(
    owner.buffer.visibleSequence((record) => owner.isVisible(record, () => false)),
    5,
  );
  rig.endRound();
  rig.log();
  assert.deepEqual(rig.failures, []);
});

test("a repeat of a batch of operations gets the sequence of its last row that is in a record", () => {
  const rig = new Intake();
  const owner = rig.open("t");
  const undone = `{"_op":"u","id":"a","v":1}\n`.repeat(50);
  rig.take(1, undone, frameFlags.operations, { batchId: "b1" });
  // One in flight joins, and main hears of it by the immediate ring.
  rig.take(2, undone, frameFlags.operations, { batchId: "b1" });
  rig.take(3, `${undone}{"id":"b"}`, frameFlags.operations, { batchId: "b1" });
  assert.deepEqual([owner.buffer.lastSequence, owner.buffer.rows], [1, 1]);
  const known = owner.batchIds.find(owner.slot, "\0b1", Date.now());
  assert.deepEqual([known?.lastSequence, known?.entry.accepted], [1, 50]);
  assert.equal(rig.failures.length, 1);
  assert.match(rig.failures[0] ?? "", /batch id was used before/);
});

test("a batch of operations that is cut off, or all wrong, leaves nothing, not even columns", () => {
  const rig = new Intake();
  const owner = rig.open("t");
  const json = { format: frameFormats.json };
  rig.take(1, `[{"_op":"u","id":"a","v":1}, {"_op":`, frameFlags.operations, json);
  rig.take(2, `{"_op":"what","id":"a","v":1}`, frameFlags.operations);
  rig.endRound();
  assert.equal(owner.schema, initialSchema);
  assert.deepEqual([owner.buffer.lastSequence, rig.blocks.size, rig.failures.length], [0, 0, 2]);
  rig.take(3, mixed, frameFlags.operations);
  assert.equal(owner.buffer.lastSequence, 5);
});

test("a large batch of operations is decoded in slices, its table's other writes before and behind it", () => {
  const rig = new Intake();
  const owner = rig.open("t");
  const other = rig.open("o");
  rig.take(1, `{"id":"x","v":0}`);
  const count = 40_000;
  const lines = Array.from({ length: count }, (_, n) =>
    JSON.stringify({ _op: n % 2 === 0 ? "replace" : "delete", id: `i${n % 1000}`, v: n, text: "x".repeat(40) }),
  );
  rig.take(2, lines.join("\n"), frameFlags.operations);
  rig.take(3, `{"id":"x","v":1}`);
  rig.take(4, `{"id":"x","v":1}`, 0, { table: "o" });
  assert.ok(rig.intake.hasLarge && owner.busy);
  assert.equal(owner.schema.columns.length, 3);
  let steps = 0;
  for (; steps < 100 && rig.intake.hasLarge; steps++) rig.intake.stepLarge();
  // Four slices of the body; sorting it takes turns, too.
  assert.ok(steps > 8, `${steps} steps`);
  rig.endRound();
  rig.log();
  const { rows, replacing, tombstones } = recordKinds;
  assert.deepEqual(
    owner.buffer.records.map(({ kind, rowCount }) => [kind, rowCount]),
    [
      [rows, 1],
      [tombstones, 500],
      [replacing, 500],
      [rows, 1],
    ],
  );
  assert.equal(other.buffer.rows, 1);
  assert.deepEqual(
    rig
      .answers()
      .map(({ requestId }) => requestId)
      .toSorted(),
    [1, 2, 3, 4],
  );
  assert.equal(owner.schema.columns.length, 4);
});

test("what was durable once is so for ever, also after 2^31 more replies", () => {
  const gatedRing = createEntryRing(8, completionBytes);
  const words = new Int32Array(gatedRing);
  const { head, tail, gate } = ringWords;
  for (const word of [head, tail, gate]) words[word] = 2 ** 31 - 3;
  const log = new EntryRingGate(gatedRing);
  const ring = { ring: new EntryRingProducer(gatedRing), gate: log };
  const immediate = new EntryRingProducer(createEntryRing(8, completionBytes));
  const replies = new Replies(ring, immediate, () => undefined);
  for (let reply = 0; reply < 6; reply++) replies.gateOnly();
  const last = replies.logPosition;
  assert.equal(last, 2 ** 31 + 3);
  // Replayed rows and batch ids stand at 0.
  assert.deepEqual([replies.isDurable(0), replies.isDurable(last)], [true, false]);
  log.open(5);
  assert.deepEqual([replies.isDurable(last - 1), replies.isDurable(last)], [true, false]);
  log.open(1);
  assert.ok(replies.isDurable(0) && replies.isDurable(last));
});

test("a delete that rests on a look is refused where one of its ids was written since, in whatever way", () => {
  const rig = new Intake();
  const owner = rig.open("t");
  let requestId = 0;
  const guarded = (sequence: number, ...ids: readonly string[]): boolean => {
    const before = rig.failures.length;
    const body = guardBody(sequence, JSON.stringify(ids.map((id) => ({ id }))));
    const flags = frameFlags.deletes | frameFlags.idRequired | frameFlags.unlessNewer;
    rig.take(++requestId, "", flags, { format: frameFormats.json, body });
    return rig.failures.length === before;
  };
  const write = (line: string, flags = 0): number => {
    rig.take(++requestId, line, flags);
    return owner.buffer.lastSequence + owner.builder.rowCount;
  };
  write(`{"id":"a"}\n{"v":1}`);
  const seen = write(`{"id":"b"}`);
  assert.ok(guarded(seen, "b"));
  write(`{"id":"c"}\n{"v":2}`);
  // The row is still in the round.
  assert.equal(guarded(seen, "x", "c"), false);
  assert.ok(guarded(seen, "a", "x"));
  const replaced = write(`{"id":"r"}`, frameFlags.replaces) - 1;
  assert.equal(guarded(replaced, "r"), false);
  assert.ok(guarded(replaced + 1, "r"));
  const deleted = owner.buffer.lastSequence + owner.builder.rowCount;
  write(`{"id":"d"}`, frameFlags.deletes);
  assert.equal(guarded(deleted, "d"), false);
  const mixedFrom = owner.buffer.lastSequence + owner.builder.rowCount;
  write(`{"id":"o","_op":"d"}\n{"id":"p"}`, frameFlags.operations);
  assert.equal(guarded(mixedFrom, "o"), false);
  assert.equal(guarded(mixedFrom, "p"), false);
  assert.ok(guarded(mixedFrom, "q"));
  rig.endRound();
  rig.log();
  // What was flushed can no longer be asked: that of before counts as written.
  rig.flush(owner);
  assert.equal(guarded(owner.buffer.lastSequence - 1, "q"), false);
  assert.ok(guarded(owner.buffer.lastSequence, "q"));
  for (const failure of rig.failures) assert.match(failure, /written at the same time/);
});

test("rows that rest on a look are taken whole, or not at all where one of their ids was written since", () => {
  const rig = new Intake();
  const owner = rig.open("t");
  const guarded = (requestId: number, sequence: number, lines: string): void => {
    rig.take(requestId, "", frameFlags.unlessNewer | frameFlags.idRequired, { body: guardBody(sequence, lines) });
  };
  rig.take(1, `{"id":"a"}`);
  guarded(2, 1, `{"id":"b","v":1}\n{"id":"c","v":2}`);
  // Of the round in hand.
  guarded(3, 1, `{"id":"d"}\n{"id":"c","late":1}`);
  assert.deepEqual(
    rig.failures.map((failure) => /written at the same time/.test(failure)),
    [true],
  );
  rig.take(4, `{"id":"a"}`);
  const large = `{"id":"e","text":"${"x".repeat(700_000)}"}\n`;
  guarded(5, 3, large + large.replace("e", "f"));
  while (rig.intake.hasLarge) rig.intake.stepLarge();
  guarded(6, 3, large + large.replace('"e"', '"a"'));
  while (rig.intake.hasLarge) rig.intake.stepLarge();
  assert.equal(rig.failures.length, 2);
  rig.endRound();
  rig.log();
  assert.deepEqual(rig.answers(), [
    { requestId: 1, sequence: 1 },
    { requestId: 2, sequence: 3 },
    { requestId: 4, sequence: 4 },
    { requestId: 5, sequence: 6 },
  ]);
  // A large one, too, is one record: there as a whole after a crash, or not at all.
  assert.deepEqual(
    owner.buffer.records.map(({ rowCount }) => rowCount),
    [1, 2, 1, 2],
  );
});
