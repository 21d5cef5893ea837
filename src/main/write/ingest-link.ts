import { MessageChannel, receiveMessageOnPort, type MessagePort } from "node:worker_threads";
import type { IngestToMain, MainToIngest } from "../../shared/messages.js";
import { ByteRingProducer, createByteRing } from "../../shared/ring/byte-ring.js";
import { completionBytes, newCompletion, takeCompletion, type Completion } from "../../shared/ring/completion.js";
import { createDoorbell, DoorbellRinger } from "../../shared/ring/doorbell.js";
import { createEntryRing, EntryRingConsumer } from "../../shared/ring/entry-ring.js";
import { pushFrame, type FrameHeader } from "../../shared/ring/frame.js";
import { walDescriptorBytes } from "../../shared/ring/wal-descriptor.js";

/** Requests under way on one worker: its completion rings never fill. */
export const requestsPerWorkerMax = 16_384;
const walDescriptors = 4_096;
/** Room for every request under way, and for every record that no request waits for. */
const completions = 32_768;

/**
 * Main's end of what it shares with one ingest worker: the request ring, the two completion rings, the doorbell and
 * the message port. A worker that died gets a new link; what was under way on the old one is failed by its owner.
 */
export class IngestLink {
  readonly worker: number;
  readonly requestRing: SharedArrayBuffer;
  readonly gatedRing = createEntryRing(completions, completionBytes);
  readonly immediateRing = createEntryRing(completions, completionBytes);
  readonly walRing = createEntryRing(walDescriptors, walDescriptorBytes);
  readonly doorbell = createDoorbell();
  /** For the worker, to be transferred. */
  readonly workerPort: MessagePort;
  readonly #requests: ByteRingProducer;
  readonly #gated: EntryRingConsumer;
  readonly #immediate: EntryRingConsumer;
  readonly #bell: DoorbellRinger;
  readonly #port: MessagePort;
  readonly #onMessage: (message: IngestToMain) => void;
  readonly #completion = newCompletion();

  constructor(worker: number, ringBytes: number, onMessage: (message: IngestToMain) => void) {
    this.worker = worker;
    this.requestRing = createByteRing(ringBytes);
    this.#requests = new ByteRingProducer(this.requestRing);
    this.#gated = new EntryRingConsumer(this.gatedRing, true);
    this.#immediate = new EntryRingConsumer(this.immediateRing, false);
    this.#bell = new DoorbellRinger(this.doorbell);
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#onMessage = onMessage;
    this.workerPort = port2;
    port1.on("message", onMessage);
    port1.unref();
  }

  /** Copies the frame into the ring; false when the ring is full. The worker hears of it by `ring()`. */
  push(header: FrameHeader, body: Uint8Array | null): boolean {
    return pushFrame(this.#requests, header, body);
  }

  ring(): void {
    this.#bell.ring();
  }

  post(message: MainToIngest): void {
    this.#port.postMessage(message);
    this.#bell.ring();
  }

  /** Hands over every completion that may be answered now. The argument is refilled for the next. */
  drain(onCompletion: (completion: Completion) => void): void {
    this.#drainRing(this.#immediate, onCompletion);
    this.#drainRing(this.#gated, onCompletion);
  }

  /** Reads the messages that are there already: details travel by message, ahead of the completion that needs them. */
  pull(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port);
      if (received === undefined) return;
      this.#onMessage(received.message as IngestToMain);
    }
  }

  close(): void {
    this.#port.close();
  }

  #drainRing(ring: EntryRingConsumer, onCompletion: (completion: Completion) => void): void {
    let count = 0;
    while (takeCompletion(ring, this.#completion)) {
      onCompletion(this.#completion);
      count++;
    }
    if (count > 0) ring.release();
  }
}
