import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { MessageChannel, receiveMessageOnPort, type MessagePort } from "node:worker_threads";
import { Piscina } from "piscina";
import type { ColumnBatch } from "../../../src/shared/columns/column-batch.js";
import type { BatchEntry } from "../../../src/shared/formats/wal-batches-v1.js";
import { encodeRowsRecord, recordBytes } from "../../../src/shared/formats/wal-record-v1-encode.js";
import type { ToWal, WalBlock, WalOptions, WalToMain, WalWorkerLink } from "../../../src/shared/wal-messages.js";
import { completionBytes } from "../../../src/shared/ring/completion.js";
import { createDoorbell, DoorbellRinger, DoorbellSleeper } from "../../../src/shared/ring/doorbell.js";
import { createEntryRing, EntryRingGate, EntryRingProducer } from "../../../src/shared/ring/entry-ring.js";
import { stageWalDescriptor, walDescriptorBytes } from "../../../src/shared/ring/wal-descriptor.js";

interface Row {
  readonly tableUuid: string;
  readonly firstSequence: number;
  readonly batch: ColumnBatch;
  readonly batches: readonly BatchEntry[];
}

/** The ingest worker's end of a link to the WAL thread. */
export class WalPeer {
  readonly link: WalWorkerLink;
  readonly #blocks: MessagePort;
  readonly #producer: EntryRingProducer;
  readonly #gate: EntryRingGate;
  readonly #bell: DoorbellRinger;
  readonly #sleeper: DoorbellSleeper;
  #blockId = 0;
  #forgotten = 0;

  constructor(walDoorbell: SharedArrayBuffer) {
    const { port1, port2 } = new MessageChannel();
    const doorbell = createDoorbell();
    const walRing = createEntryRing(256, walDescriptorBytes);
    const gatedRing = createEntryRing(4096, completionBytes);
    this.link = { walRing, gatedRing, doorbell, port: port2 };
    this.#blocks = port1;
    this.#producer = new EntryRingProducer(walRing);
    this.#gate = new EntryRingGate(gatedRing);
    this.#bell = new DoorbellRinger(walDoorbell);
    this.#sleeper = new DoorbellSleeper(doorbell);
  }

  get acked(): number {
    return this.#gate.count;
  }

  get hasRoom(): boolean {
    return this.#producer.free > 0;
  }

  /** Stages one record, in a block of its own. */
  write(row: Row): void {
    const { tableUuid, firstSequence, batch, batches } = row;
    const buffer = new SharedArrayBuffer(recordBytes(batch, batches));
    encodeRowsRecord(new Uint8Array(buffer), 0, { tableUuid, firstSequence, schemaVersion: 0, batch, batches });
    const blockId = ++this.#blockId;
    this.#tell({ kind: "block", worker: 0, blockId, buffer });
    stageWalDescriptor(this.#producer, { blockId, offset: 0, length: buffer.byteLength, completions: 1 });
  }

  publish(): void {
    this.#producer.publish();
    this.#bell.ring();
    while (this.#forgotten < this.#blockId) {
      this.#tell({ kind: "block", worker: 0, blockId: ++this.#forgotten, buffer: null });
    }
  }

  /** Waits for the WAL thread, a little. */
  async wait(): Promise<void> {
    this.#sleeper.wait(20);
    await setImmediate();
  }

  close(): void {
    this.#blocks.close();
  }

  #tell(message: WalBlock): void {
    this.#blocks.postMessage(message);
  }
}

/** A real WAL thread as main starts it, with one ingest worker's link. */
export class WalThread {
  readonly doorbell = createDoorbell();
  readonly peer = new WalPeer(this.doorbell);
  readonly #pool = new Piscina({
    filename: join(import.meta.dirname, "../../../src/workers/wal-worker.js"),
    name: "runWal",
    minThreads: 1,
    maxThreads: 1,
  });
  readonly #main = new MessageChannel();
  readonly #mainBell = new MessageChannel();
  readonly #ended: Promise<unknown>;

  constructor(folder: string) {
    const options: WalOptions = {
      folder,
      workers: [this.peer.link],
      doorbell: this.doorbell,
      mainDoorbell: { buffer: createDoorbell(), port: this.#mainBell.port2 },
      mainPort: this.#main.port2,
      segmentBytes: 32_768,
      walBytesMax: 131_072,
      batchIdWindowMs: 86_400_000,
      batchIdsMax: 1_000_000,
    };
    const transferList = [this.#main.port2, this.peer.link.port, this.#mainBell.port2];
    this.#ended = this.#pool.run(options, { transferList });
    this.#ended.catch((error: unknown) => {
      process.stderr.write(`the WAL thread died: ${error instanceof Error ? error.stack : String(error)}\n`);
      process.exit(1);
    });
  }

  tell(message: ToWal, transferList: readonly MessagePort[] = []): void {
    this.#main.port1.postMessage(message, transferList);
  }

  /** A message of the WAL thread that has come, if any. */
  poll(): WalToMain | undefined {
    return receiveMessageOnPort(this.#main.port1)?.message as WalToMain | undefined;
  }

  /** The next message of this kind; others before it are passed over. */
  async next(kind: WalToMain["kind"]): Promise<WalToMain> {
    for (;;) {
      const message = this.poll();
      if (message?.kind === kind) return message;
      if (message === undefined) await this.peer.wait();
    }
  }

  async stop(): Promise<void> {
    this.tell({ kind: "stop" });
    await this.#ended;
    await this.next("stopped");
    this.peer.close();
    this.#main.port1.close();
    this.#mainBell.port1.close();
    await this.#pool.close();
  }
}
