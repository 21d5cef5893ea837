/** The other threads of the ring tests: one file, the job is in workerData. Every wait is bounded. */
import { parentPort, workerData } from "node:worker_threads";
import { ByteRingConsumer, ByteRingProducer } from "../../../src/shared/ring/byte-ring.js";
import {
  DoorbellRinger,
  DoorbellSleeper,
  MainDoorbellRinger,
  type MainDoorbellHandle,
} from "../../../src/shared/ring/doorbell.js";
import { EntryRingConsumer, EntryRingGate, EntryRingProducer } from "../../../src/shared/ring/entry-ring.js";
import { SeededRandom } from "./seeded-random.js";

/** No wait of a test is longer: who runs into it has lost a wake-up. */
export const waitMsMax = 2_000;

export type RingJob =
  | {
      readonly kind: "produce-frames" | "consume-frames";
      readonly ring: SharedArrayBuffer;
      readonly seed: number;
      readonly frames: number;
      readonly frameBytesMax: number;
      readonly ringOwn: SharedArrayBuffer;
      readonly ringOther: SharedArrayBuffer;
    }
  | {
      readonly kind: "produce-entries" | "gate-entries" | "consume-entries";
      readonly ring: SharedArrayBuffer;
      readonly seed: number;
      readonly entries: number;
    }
  | {
      readonly kind: "ping-pong";
      readonly ringOwn: SharedArrayBuffer;
      readonly ringOther: SharedArrayBuffer;
      readonly words: SharedArrayBuffer;
      readonly mine: 0 | 1;
      readonly rounds: number;
      readonly seed: number;
    }
  | {
      readonly kind: "ring-main";
      readonly ring: SharedArrayBuffer;
      readonly bell: MainDoorbellHandle;
      readonly frames: number;
      readonly seed: number;
    };

export interface RingJobResult {
  readonly timeouts: number;
  readonly error: string | null;
}

/** Does nothing for some iterations, so that two threads meet at ever other moments. */
export function spin(iterations: number): number {
  let sum = 0;
  for (let index = 0; index < iterations; index++) sum = (sum + index) | 0;
  return sum;
}

/** Length and first byte of a frame, from the seed alone, so that the consumer knows what must come. */
function nextFrame(random: SeededRandom, frameBytesMax: number): { readonly length: number; readonly fill: number } {
  const length = random.below(8) === 0 ? random.below(frameBytesMax + 1) : random.below(Math.min(200, frameBytesMax));
  return { length, fill: random.below(256) };
}

type FrameJob = Extract<RingJob, { readonly kind: "produce-frames" | "consume-frames" }>;

function produceFrames(job: FrameJob): number {
  const ring = new ByteRingProducer(job.ring);
  const random = new SeededRandom(job.seed);
  const jitter = new SeededRandom(job.seed + 1);
  const sleeper = new DoorbellSleeper(job.ringOwn);
  const ringer = new DoorbellRinger(job.ringOther);
  let timeouts = 0;
  for (let sent = 0; sent < job.frames; sent++) {
    const { length, fill } = nextFrame(random, job.frameBytesMax);
    let offset = ring.reserve(length);
    while (offset < 0) {
      ring.publish();
      ringer.ring();
      if (!sleeper.wait(waitMsMax)) timeouts++;
      offset = ring.reserve(length);
    }
    for (let index = 0; index < length; index++) ring.bytes[offset + index] = (fill + index) & 0xff;
    ring.stage();
    if (jitter.below(4) !== 0 || sent === job.frames - 1) {
      ring.publish();
      ringer.ring();
    }
  }
  return timeouts;
}

function consumeFrames(job: FrameJob): number {
  const ring = new ByteRingConsumer(job.ring);
  const random = new SeededRandom(job.seed);
  const jitter = new SeededRandom(job.seed + 2);
  const sleeper = new DoorbellSleeper(job.ringOwn);
  const ringer = new DoorbellRinger(job.ringOther);
  let timeouts = 0;
  for (let seen = 0; seen < job.frames; seen++) {
    let offset = ring.peek();
    while (offset < 0) {
      ring.release();
      ringer.ring();
      if (!sleeper.wait(waitMsMax)) timeouts++;
      offset = ring.peek();
    }
    const { length, fill } = nextFrame(random, job.frameBytesMax);
    if (ring.frameBytes !== length) throw new Error(`frame ${seen} has ${ring.frameBytes} bytes, not ${length}`);
    for (let index = 0; index < length; index++) {
      if (ring.bytes[offset + index] !== ((fill + index) & 0xff)) throw new Error(`frame ${seen} differs at ${index}`);
    }
    if (jitter.below(4) === 0) {
      ring.advance();
    } else {
      ring.release();
      ringer.ring();
    }
  }
  ring.release();
  return timeouts;
}

type EntryJob = Extract<RingJob, { readonly kind: "produce-entries" | "gate-entries" | "consume-entries" }>;

/** All three spin on the ring: entries are small and the doorbells have tests of their own. */
function passEntries(job: EntryJob): void {
  const random = new SeededRandom(job.seed);
  const deadline = Date.now() + waitMsMax * 4;
  const inTime = (): void => {
    if (Date.now() > deadline) throw new Error(`${job.kind} does not get on`);
  };
  if (job.kind === "produce-entries") {
    const ring = new EntryRingProducer(job.ring);
    for (let sent = 0; sent < job.entries; sent++) {
      let at = ring.reserve();
      for (; at < 0; at = ring.reserve()) {
        ring.publish();
        inTime();
      }
      ring.view.setUint32(at, sent, true);
      ring.view.setFloat64(at + 8, sent * 3, true);
      ring.stage();
      if (random.below(8) === 0) ring.publish();
    }
    ring.publish();
  } else if (job.kind === "gate-entries") {
    const gate = new EntryRingGate(job.ring);
    for (let open = 0; open < job.entries;) {
      const step = Math.min(job.entries - open, random.below(20));
      spin(random.below(300));
      gate.open(step);
      open += step;
    }
  } else {
    const ring = new EntryRingConsumer(job.ring, true);
    const gate = new EntryRingGate(job.ring);
    for (let seen = 0; seen < job.entries; seen++) {
      let at = ring.peek();
      for (; at < 0; at = ring.peek()) inTime();
      if (gate.count <= seen) throw new Error("an entry came out before its gate was opened");
      if (ring.view.getUint32(at, true) !== seen) throw new Error(`entry ${seen} is another one`);
      if (ring.view.getFloat64(at + 8, true) !== seen * 3) throw new Error(`entry ${seen} is torn`);
      if (random.below(3) === 0) ring.release();
      else ring.advance();
      if (ring.available > 0 || random.below(2) === 0) continue;
      ring.release();
    }
    ring.release();
  }
}

/** Two threads hand a number to and fro; each change rings, each wait that times out is a lost wake-up. */
function pingPong(job: Extract<RingJob, { readonly kind: "ping-pong" }>): number {
  const words = new Int32Array(job.words);
  const random = new SeededRandom(job.seed + job.mine);
  const sleeper = new DoorbellSleeper(job.ringOwn);
  const ringer = new DoorbellRinger(job.ringOther);
  let timeouts = 0;
  for (let round = 0; round < job.rounds; round++) {
    while (Atomics.load(words, 0) % 2 !== job.mine) {
      // What is rung between the look above and the sleep below is what can be lost.
      spin(random.below(400));
      if (!sleeper.wait(waitMsMax)) timeouts++;
    }
    spin(random.below(400));
    Atomics.add(words, 0, 1);
    ringer.ring();
    spin(random.below(400));
  }
  return timeouts;
}

function ringMain(job: Extract<RingJob, { readonly kind: "ring-main" }>): void {
  const ring = new ByteRingProducer(job.ring);
  const bell = new MainDoorbellRinger(job.bell);
  const random = new SeededRandom(job.seed);
  for (let sent = 0; sent < job.frames; sent++) {
    const offset = ring.reserve(4);
    ring.view.setUint32(offset, sent, true);
    ring.commit();
    bell.ring();
    spin(random.below(3_000));
    // Most of the time wait for main to have seen it all: nobody else's ring then hides a lost one.
    if (random.below(4) === 0 && ring.usedBytes < ring.capacityBytes / 2) continue;
    const deadline = Date.now() + waitMsMax;
    while (ring.usedBytes > 0) {
      if (Date.now() > deadline) throw new Error(`main sleeps on frame ${sent}: a wake-up was lost`);
    }
  }
}

function run(job: RingJob): number {
  switch (job.kind) {
    case "produce-frames":
      return produceFrames(job);
    case "consume-frames":
      return consumeFrames(job);
    case "produce-entries":
    case "gate-entries":
    case "consume-entries":
      passEntries(job);
      return 0;
    case "ping-pong":
      return pingPong(job);
    case "ring-main":
      ringMain(job);
      return 0;
  }
}

if (parentPort !== null) {
  let result: RingJobResult;
  try {
    result = { timeouts: run(workerData as RingJob), error: null };
  } catch (error) {
    result = { timeouts: 0, error: String(error) };
  }
  parentPort.postMessage(result);
}
