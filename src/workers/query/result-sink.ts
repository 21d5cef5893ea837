import { type FileHandle, open, unlink } from "node:fs/promises";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import type { ResultBody } from "../../shared/query-messages.js";
import { giveSlabs, type ResultRoom } from "../../shared/result-room.js";

export interface ResultSinkOptions {
  /** Where the file will be, if there is one. */
  readonly path: string;
  /** The largest result. */
  readonly bytesMax: number;
  readonly room: ResultRoom;
}

/** Room for a result of few rows. */
const firstBytes = 64 * 1024;
/** Of a file: one is filled while the other one is written. */
const fileBlockBytes = 1024 * 1024;

/**
 * Takes a result as a stream of bytes, which it copies into blocks:
 *
 * ```
 *   first block   memory of its own; a result of up to resultBytesWholeMax becomes one piece in the end
 *   then          slabs of the room, which main sends as they are: no file is written and read again
 *   no slab free  all of it goes on in a file; two blocks in memory
 * ```
 * Call `finish` or `abandon` in the end.
 */
export class ResultSink {
  readonly #options: ResultSinkOptions;
  /** The full ones in memory, in their order; the last one is being filled. */
  #blocks: Uint8Array[] = [new Uint8Array(firstBytes)];
  /** Of the room; all blocks but the first. */
  #slabs: number[] = [];
  /** Of the last block. */
  #filledBytes = 0;
  #bytes = 0;
  #file: FileHandle | null = null;
  /** The write in hand. */
  #writing: Promise<unknown> = Promise.resolve();
  /** What it was of, free when it is over. */
  #spare: Uint8Array | null = null;

  constructor(options: ResultSinkOptions) {
    this.#options = options;
  }

  /** The bytes are the caller's again when it resolves. Throws RESULT_TOO_LARGE. */
  async write(bytes: Uint8Array): Promise<void> {
    const { bytesMax } = this.#options;
    this.#bytes += bytes.length;
    if (this.#bytes > bytesMax) throw tooLarge(bytesMax);
    for (let from = 0; from < bytes.length;) {
      let block = this.#blocks.at(-1) as Uint8Array;
      if (this.#filledBytes === block.length) block = await this.#nextBlock(block);
      const part = bytes.subarray(from, from + block.length - this.#filledBytes);
      block.set(part, this.#filledBytes);
      this.#filledBytes += part.length;
      from += part.length;
    }
  }

  async finish(): Promise<ResultBody> {
    const { path, room } = this.#options;
    const pieces = this.#takeBlocks();
    if (this.#file !== null) {
      await this.#writing;
      await this.#file.writev(pieces);
      await this.#file.close();
      return { kind: "file", path, bytes: this.#bytes };
    }
    const slabs = this.#slabs;
    if (this.#bytes > limits.resultBytesWholeMax) {
      return { kind: "pieces", pieces, bytes: this.#bytes, room: room.states, slabs };
    }
    const whole = join(pieces, this.#bytes);
    giveSlabs(room.states, slabs);
    return { kind: "bytes", bytes: whole };
  }

  /** Removes the file, and gives the slabs back; nothing happens where there are none. */
  async abandon(): Promise<void> {
    await this.#writing.catch(() => {});
    giveSlabs(this.#options.room.states, this.#slabs);
    this.#slabs = [];
    if (this.#file === null) return;
    await this.#file.close().catch(() => {});
    await unlink(this.#options.path).catch(() => {});
  }

  async #nextBlock(full: Uint8Array): Promise<Uint8Array> {
    const next = await this.#emptyBlock(full);
    this.#blocks.push(next);
    this.#filledBytes = 0;
    return next;
  }

  async #emptyBlock(full: Uint8Array): Promise<Uint8Array> {
    const { room, path } = this.#options;
    const slab = this.#file === null ? room.take() : null;
    if (slab !== null) {
      this.#slabs.push(slab.index);
      return slab.bytes;
    }
    await this.#writing;
    this.#file ??= await open(path, "wx");
    const pieces = this.#takeBlocks();
    this.#writing = this.#writePieces(this.#file, pieces);
    // Its error is the next call's.
    this.#writing.catch(() => {});
    const empty = this.#spare ?? new Uint8Array(fileBlockBytes);
    this.#spare = full.length === fileBlockBytes ? full : null;
    return empty;
  }

  async #writePieces(file: FileHandle, pieces: readonly Uint8Array[]): Promise<void> {
    await file.writev(pieces);
    giveSlabs(this.#options.room.states, this.#slabs);
    this.#slabs = [];
  }

  /** What was written since they were taken last. */
  #takeBlocks(): Uint8Array[] {
    const blocks = this.#blocks;
    const last = blocks.pop() as Uint8Array;
    if (this.#filledBytes > 0) blocks.push(last.subarray(0, this.#filledBytes));
    this.#blocks = [];
    return blocks;
  }
}

function join(pieces: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

export function tooLarge(bytesMax: number): MiniodbError {
  return new MiniodbError("RESULT_TOO_LARGE", `the result has more than ${bytesMax} bytes`, { limitBytes: bytesMax });
}
