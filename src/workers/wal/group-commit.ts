import { assert } from "../../shared/assert.js";
import { recordLengthAt, viewOf } from "../../shared/formats/wal-record-v1.js";
import { limits } from "../../shared/limits.js";
import type { WalBlock } from "../../shared/wal-messages.js";
import { EntryRingConsumer, EntryRingGate } from "../../shared/ring/entry-ring.js";
import { newWalDescriptor, takeWalDescriptor } from "../../shared/ring/wal-descriptor.js";
import { noteDropped } from "../../shared/shared-memory-gc.js";
import type { SegmentLog } from "./segment-log.js";

interface ForgottenBlock {
  readonly blockId: number;
  /** Count of descriptors after which nothing names the block any more. */
  readonly afterTaken: number;
}

/** What one ingest worker shares with the WAL thread, and what is under way for it. */
export class WalSource {
  readonly #ring: EntryRingConsumer;
  readonly #gate: EntryRingGate;
  readonly #blocks = new Map<number, Uint8Array>();
  readonly #forgotten: ForgottenBlock[] = [];
  readonly #readMessages: () => void;
  readonly #descriptor = newWalDescriptor();
  #taken = 0;
  #completions = 0;
  #isWaiting = false;

  /** `readMessages` brings in the `block` messages that have been sent. */
  constructor(walRing: SharedArrayBuffer, gatedRing: SharedArrayBuffer, readMessages: () => void) {
    this.#ring = new EntryRingConsumer(walRing, false);
    this.#gate = new EntryRingGate(gatedRing);
    this.#readMessages = readMessages;
  }

  /** True while records wait in the ring. */
  get hasRecords(): boolean {
    return this.#ring.available > 0;
  }

  /** True when everything that was announced is durable and released. */
  get isSettled(): boolean {
    return !this.#isWaiting && !this.hasRecords;
  }

  /** Registers a block, or notes that no descriptor after those now in the ring will name it. */
  noteBlock(block: WalBlock): void {
    if (block.buffer !== null) {
      assert(!this.#blocks.has(block.blockId), "a block is registered once");
      this.#blocks.set(block.blockId, new Uint8Array(block.buffer));
      return;
    }
    this.#forgotten.push({ blockId: block.blockId, afterTaken: this.#taken + this.#ring.available });
  }

  /** Moves descriptors into `group` as records, up to the bounds; returns the bytes. */
  gather(group: Uint8Array[], bytesMax: number): number {
    this.#forget();
    const descriptor = this.#descriptor;
    let bytes = 0;
    while (bytes < bytesMax && group.length < limits.walGroupRecordsMax && takeWalDescriptor(this.#ring, descriptor)) {
      // Before the look-up: it may read a message that forgets blocks by this count.
      this.#taken++;
      const { blockId, offset, length, completions } = descriptor;
      const block = this.#blockOf(blockId);
      assert(length > 0 && offset % 8 === 0 && offset + length <= block.length, "a record lies within its block");
      const record = block.subarray(offset, offset + length);
      assert(recordLengthAt(viewOf(record), 0) === length, "a descriptor names a whole record");
      group.push(record);
      bytes += length;
      this.#completions += completions;
      this.#isWaiting = true;
    }
    return bytes;
  }

  /** Everything gathered is durable: lets the replies out and gives the ring's entries back. True if there was any. */
  release(): boolean {
    if (!this.#isWaiting) return false;
    this.#isWaiting = false;
    // The gate first: whoever sees the entry given back may rely on the gate.
    this.#gate.open(this.#completions);
    this.#completions = 0;
    this.#ring.release();
    return true;
  }

  #blockOf(blockId: number): Uint8Array {
    let block = this.#blocks.get(blockId);
    if (block === undefined) {
      // The message was posted before the descriptor was published, so it is there.
      this.#readMessages();
      block = this.#blocks.get(blockId);
    }
    assert(block !== undefined, "a block is registered before its first descriptor");
    return block;
  }

  /** Only between gatherings, when no descriptor is in hand. */
  #forget(): void {
    while (this.#forgotten.length > 0) {
      const { blockId, afterTaken } = this.#forgotten[0] as ForgottenBlock;
      if (this.#taken < afterTaken) return;
      noteDropped(this.#blocks.get(blockId)?.length ?? 0);
      this.#blocks.delete(blockId);
      this.#forgotten.shift();
    }
  }
}

export interface GroupCommitEvents {
  /** The group at hand is durable for this source. */
  readonly released: (source: number) => void;
  /** The log cannot be written; the group is kept and tried again. Told once until `resumed`. */
  readonly stalled: (error: Error) => void;
  readonly resumed: () => void;
}

/**
 * The heart of the WAL thread. One group at a time: all records that wait in the rings are written, synced, and then
 * released. While the sync runs the rings fill with the next group. A group that cannot be written stays at hand until
 * it can: nothing is released that is not durable, and nothing is dropped.
 */
export class GroupCommit {
  readonly #log: SegmentLog;
  readonly #sources: WalSource[];
  readonly #events: GroupCommitEvents;
  #group: Uint8Array[] = [];
  /** Records of the group before this index are durable. */
  #done = 0;
  #isStalled = false;
  #firstSource = 0;

  constructor(log: SegmentLog, sources: WalSource[], events: GroupCommitEvents) {
    this.#log = log;
    this.#sources = sources;
    this.#events = events;
  }

  get isStalled(): boolean {
    return this.#isStalled;
  }

  /** True while records wait, in the rings or in a group that could not be written. */
  get hasRecords(): boolean {
    return this.#group.length > 0 || this.#sources.some((source) => source.hasRecords);
  }

  /** Another source in the place of one that is settled. */
  replaceSource(index: number, source: WalSource): void {
    assert(this.#sources[index]?.isSettled === true, "a source goes when nothing of it waits");
    this.#sources[index] = source;
  }

  /** Commits the group at hand, or else the next one. Returns false when there was none, or when it cannot be written now. */
  round(): boolean {
    if (this.#group.length === 0) this.#gather();
    if (this.#group.length === 0) return false;
    try {
      while (this.#done < this.#group.length) this.#done = this.#log.append(this.#group, this.#done);
    } catch (error) {
      if (!isDiskError(error)) throw error;
      if (!this.#isStalled) this.#events.stalled(error);
      this.#isStalled = true;
      return false;
    }
    this.#group = [];
    this.#done = 0;
    for (const [index, source] of this.#sources.entries()) if (source.release()) this.#events.released(index);
    if (this.#isStalled) {
      this.#isStalled = false;
      this.#events.resumed();
    }
    return true;
  }

  /** Takes from every source, starting with another one each time, so that a full group starves nobody. */
  #gather(): void {
    const count = this.#sources.length;
    let bytes = 0;
    for (let i = 0; i < count && bytes < limits.walGroupBytesMax; i++) {
      const source = this.#sources[(this.#firstSource + i) % count] as WalSource;
      bytes += source.gather(this.#group, limits.walGroupBytesMax - bytes);
    }
    this.#firstSource = (this.#firstSource + 1) % Math.max(1, count);
  }
}

/** True for an error that the operating system reported, as against a mistake of ours. */
export function isDiskError(error: unknown): error is Error {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).code === "string" && "syscall" in error;
}
