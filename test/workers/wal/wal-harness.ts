import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { ColumnBuilder } from "../../../src/shared/columns/column-builder.js";
import type { ColumnBatch } from "../../../src/shared/columns/column-batch.js";
import type { Disk } from "../../../src/shared/disk/disk.js";
import type { BatchEntry } from "../../../src/shared/formats/wal-batches-v1.js";
import { encodeRowsRecord, encodeSchemaRecord, recordBytes } from "../../../src/shared/formats/wal-record-v1-encode.js";
import {
  encodeOperationsRecord,
  operationsRecordBytes,
  rowsRecordsOf,
} from "../../../src/shared/formats/wal-operations-v1.js";
import { parseRecordBatches, parseRows } from "../../../src/shared/formats/wal-record-v1-parse.js";
import { recordKinds } from "../../../src/shared/formats/wal-record-v1.js";
import { completionBytes } from "../../../src/shared/ring/completion.js";
import { createEntryRing, EntryRingGate, EntryRingProducer } from "../../../src/shared/ring/entry-ring.js";
import { stageWalDescriptor, walDescriptorBytes } from "../../../src/shared/ring/wal-descriptor.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { GroupCommit, WalSource } from "../../../src/workers/wal/group-commit.js";
import { openWal, type OpenWal } from "../../../src/workers/wal/open-wal.js";
import { readBatchDigests, replaySegments, type ReplayReport } from "../../../src/workers/wal/replay.js";
import { SequenceOrder, type SequenceGap } from "../../../src/workers/wal/sequence-order.js";

export function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-wal-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function uuidOf(table: number): string {
  return `00000000-0000-4000-8000-${String(table).padStart(12, "0")}`;
}

/** Rows whose values can be told from their table and sequence, so that an invented one is seen. */
export function rowsOf(table: number, firstSequence: number, rowCount: number, textBytes = 20): ColumnBatch {
  const sequence = new ColumnBuilder(1, "long");
  const text = new ColumnBuilder(2, "string");
  for (let row = 0; row < rowCount; row++) {
    sequence.setSafeInteger(row, firstSequence + row);
    text.setString(row, textOf(table, firstSequence + row, textBytes));
  }
  return { rowCount, columns: [sequence.finish(rowCount), text.finish(rowCount)] };
}

function textOf(table: number, sequence: number, textBytes: number): string {
  return `${table}/${sequence}/`.padEnd(textBytes, "x");
}

export function batchOf(key: string, createdMs: number): BatchEntry {
  return {
    key,
    bodyHash: new Uint8Array(16).fill(key.length),
    accepted: 1,
    rejected: 0,
    firstRow: 0,
    createdMs,
    errorsJson: "",
  };
}

export interface WrittenRecord {
  readonly table: number;
  readonly firstSequence: number;
  readonly rowCount: number;
  readonly keys: readonly string[];
}

interface HarnessOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly segmentBytes?: number;
  readonly walBytesMax?: number;
  readonly workers?: number;
  readonly nowMs?: () => number;
  /** Last sequences of an earlier life, by table. */
  readonly sequences?: ReadonlyMap<number, number>;
}

/** A log with rings around it, all in this thread: `write` is the ingest worker, `commit` one round of the WAL thread. */
export class WalHarness {
  readonly wal: OpenWal;
  readonly commit: GroupCommit;
  readonly events: string[] = [];
  /** In the order of writing, per worker; those before `ackedOf(worker)` are acknowledged. */
  readonly written: WrittenRecord[][] = [];
  readonly sequences: Map<number, number>;
  readonly #sources: WalSource[] = [];
  readonly #producers: EntryRingProducer[] = [];
  readonly #gates: EntryRingGate[] = [];
  #blockId = 0;

  constructor(options: HarnessOptions) {
    const { disk, folder, segmentBytes = 65_536, walBytesMax = 1e9, workers = 1, nowMs = Date.now } = options;
    this.sequences = new Map(options.sequences);
    const batches = { batchIdWindowMs: 86_400_000, batchIdsMax: 1_000_000 };
    this.wal = openWal({ disk, folder, segmentBytes, walBytesMax, ...batches, filler: undefined, nowMs });
    for (let worker = 0; worker < workers; worker++) {
      const walRing = createEntryRing(1024, walDescriptorBytes);
      const gatedRing = createEntryRing(1024, completionBytes);
      this.#sources.push(new WalSource(walRing, gatedRing, () => undefined));
      this.#producers.push(new EntryRingProducer(walRing));
      this.#gates.push(new EntryRingGate(gatedRing));
      this.written.push([]);
    }
    this.commit = new GroupCommit(this.wal.log, this.#sources, {
      released: () => undefined,
      stalled: (error) => this.events.push(`stalled ${error.message}`),
      resumed: () => this.events.push("resumed"),
    });
  }

  /** One record into the ring; its completion counts as one. */
  write(
    table: number,
    rowCount: number,
    options: { worker?: number; batches?: BatchEntry[]; textBytes?: number } = {},
  ): void {
    const { worker = 0, batches = [], textBytes = 20 } = options;
    const firstSequence = (this.sequences.get(table) ?? 0) + 1;
    this.sequences.set(table, firstSequence + rowCount - 1);
    const batch = rowsOf(table, firstSequence, rowCount, textBytes);
    const bytes = new Uint8Array(new SharedArrayBuffer(recordBytes(batch, batches)));
    encodeRowsRecord(bytes, 0, { tableUuid: uuidOf(table), firstSequence, schemaVersion: 0, batch, batches });
    this.#send(worker, bytes);
    this.written[worker]?.push({ table, firstSequence, rowCount, keys: batches.map(({ key }) => key) });
  }

  /** One record of operations, with so many rows of each kind. */
  writeOperations(
    table: number,
    rowCounts: readonly [number, number, number],
    options: { worker?: number; batches?: BatchEntry[] } = {},
  ): void {
    const { worker = 0, batches = [] } = options;
    const firstSequence = (this.sequences.get(table) ?? 0) + 1;
    let sequence = firstSequence;
    const kinds = [recordKinds.tombstones, recordKinds.replacing, recordKinds.rows];
    const parts = kinds.map((kind, index) => {
      const rowCount = rowCounts[index] ?? 0;
      sequence += rowCount;
      return { kind, batch: rowsOf(table, sequence - rowCount, rowCount) };
    });
    this.sequences.set(table, sequence - 1);
    const bytes = new Uint8Array(new SharedArrayBuffer(operationsRecordBytes(parts, batches)));
    encodeOperationsRecord(bytes, 0, { tableUuid: uuidOf(table), firstSequence, schemaVersion: 0, parts, batches });
    this.#send(worker, bytes);
    const keys = batches.map(({ key }) => key);
    this.written[worker]?.push({ table, firstSequence, rowCount: sequence - firstSequence, keys });
  }

  writeSchema(table: number, worker = 0): void {
    const firstSequence = (this.sequences.get(table) ?? 0) + 1;
    const record = encodeSchemaRecord({ tableUuid: uuidOf(table), firstSequence, schema: initialSchema });
    const bytes = new Uint8Array(new SharedArrayBuffer(record.length));
    bytes.set(record);
    this.#send(worker, bytes);
    this.written[worker]?.push({ table, firstSequence, rowCount: 0, keys: [] });
  }

  #send(worker: number, bytes: Uint8Array): void {
    const blockId = this.#blockId++;
    const buffer = bytes.buffer as SharedArrayBuffer;
    const source = this.#sources[worker] as WalSource;
    source.noteBlock({ kind: "block", worker, blockId, buffer });
    const producer = this.#producers[worker] as EntryRingProducer;
    assert.ok(stageWalDescriptor(producer, { blockId, offset: 0, length: bytes.length, completions: 1 }));
    producer.publish();
    source.noteBlock({ kind: "block", worker, blockId, buffer: null });
  }

  /** Number of this worker's records that were acknowledged. */
  ackedOf(worker: number): number {
    const count = (this.#gates[worker] as EntryRingGate).count;
    const producer = this.#producers[worker] as EntryRingProducer;
    assert.equal(producer.capacity - producer.free + count, producer.count, "gate and ring agree");
    return count;
  }

  acked(): WrittenRecord[] {
    return this.written.flatMap((records, worker) => records.slice(0, this.ackedOf(worker)));
  }

  /** Rounds until nothing waits; gives up when the disk refuses `attempts` times. */
  commitAll(attempts = 1): boolean {
    for (let refused = 0; this.commit.hasRecords;) {
      if (!this.commit.round() && ++refused >= attempts) return false;
    }
    return true;
  }

  /** A table's rows up to `sequence` are in the store. */
  flush(table: number, sequence = this.sequences.get(table) ?? 0): void {
    this.wal.index.noteFlushed(uuidOf(table), sequence);
    this.wal.upkeep.wake();
  }

  keepUp(): number {
    this.wal.upkeep.enable();
    let steps = 0;
    while (this.wal.upkeep.step()) steps++;
    return steps;
  }

  close(): void {
    this.wal.upkeep.pause();
    this.wal.log.rotate();
  }
}

export interface Replayed {
  readonly report: ReplayReport;
  /** Rows in order of sequence, by table. */
  readonly sequences: Map<number, number[]>;
  readonly gaps: Map<number, SequenceGap[]>;
  readonly records: { table: number; firstSequence: number; rowCount: number; segment: number }[];
  readonly schemas: string[];
  readonly keys: Set<string>;
}

/** Reads the log as an ingest worker does, and checks that each row is one that was written. */
export function replayAll(disk: Disk, folder: string, flushed: ReadonlyMap<number, number> = new Map()): Replayed {
  const sequences = new Map<number, number[]>();
  const orders = new Map<number, SequenceOrder<number[]>>();
  const records: Replayed["records"] = [];
  const schemas: string[] = [];
  const keys = new Set<string>();
  const report = replaySegments(disk, folder, {
    rows: (record) => {
      const table = Number(record.tableUuid.slice(-12));
      for (const { key } of parseRecordBatches(record.bytes, record.at, record.header)) keys.add(key);
      records.push({ table, firstSequence: record.firstSequence, rowCount: record.rowCount, segment: record.segment });
      const list = sequences.get(table) ?? [];
      sequences.set(table, list);
      const order =
        orders.get(table) ??
        new SequenceOrder<number[]>(flushed.get(table) ?? 0, (kept, skip) => list.push(...kept.slice(skip)));
      orders.set(table, order);
      for (const { at, firstSequence, rowCount } of rowsRecordsOf(record.bytes, record.at, record.header)) {
        const rows = checkedRows(table, firstSequence, parseRows(record.bytes, at).batch);
        if (rowCount > 0) order.offer(firstSequence, rowCount, () => rows);
      }
    },
    schema: ({ tableUuid, schema }) => schemas.push(`${Number(tableUuid.slice(-12))} v${schema.version}`),
  });
  const gaps = new Map([...orders].map(([table, order]) => [table, order.finish()]));
  readBatchDigests(disk, folder, 0, ({ batch }) => keys.add(batch.key));
  return { report, sequences, gaps, records, schemas, keys };
}

function checkedRows(table: number, firstSequence: number, batch: ColumnBatch): number[] {
  const [long, text] = batch.columns;
  assert.ok(long !== undefined && text !== undefined);
  const offsets = text.offsets as Int32Array;
  const values = new BigInt64Array(long.values.buffer, long.values.byteOffset, batch.rowCount);
  return Array.from(values, (value, row) => {
    assert.equal(Number(value), firstSequence + row, "a row has its own sequence");
    const bytes = Buffer.from(text.values.subarray(offsets[row], offsets[row + 1]));
    assert.equal(bytes.toString("utf8"), textOf(table, firstSequence + row, bytes.length));
    return Number(value);
  });
}

/** Every acknowledged row and batch key is there, and no row that was never written. */
export function checkReplay(
  replayed: Replayed,
  acked: readonly WrittenRecord[],
  written: ReadonlyMap<number, number>,
  where: string,
): void {
  for (const record of acked) {
    const present = new Set(replayed.sequences.get(record.table));
    for (let row = 0; row < record.rowCount; row++) {
      assert.ok(
        present.has(record.firstSequence + row),
        `${where}: table ${record.table} row ${record.firstSequence + row} was acknowledged`,
      );
    }
    for (const key of record.keys) assert.ok(replayed.keys.has(key), `${where}: batch ${key} was acknowledged`);
  }
  for (const [table, rows] of replayed.sequences) {
    assert.deepEqual(
      rows,
      [...new Set(rows)].toSorted((a, b) => a - b),
      `${where}: in order, none twice`,
    );
    assert.ok((rows.at(-1) ?? 0) <= (written.get(table) ?? 0), `${where}: none invented`);
  }
  assert.deepEqual([...replayed.gaps.values()].flat(), [], `${where}: no gaps`);
}
