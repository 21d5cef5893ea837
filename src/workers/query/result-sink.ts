import { type FileHandle, open, unlink } from "node:fs/promises";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import type { ResultBody } from "../../shared/query-messages.js";

/**
 * Takes a result piece by piece: in memory while it is small, in a file from then on, so that what a large result holds
 * in memory is one piece. Call `finish` or `abandon` in the end.
 */
export class ResultSink {
  readonly #path: string;
  readonly #bytesMax: number;
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #file: FileHandle | null = null;
  /** The write in hand; the next piece is made meanwhile. */
  #writing: Promise<unknown> = Promise.resolve();

  /** `path`: where the file will be, if there is one; `bytesMax`: the largest result. */
  constructor(path: string, bytesMax: number) {
    this.#path = path;
    this.#bytesMax = bytesMax;
  }

  /** The piece is the sink's from now on. Resolves when the next one may come. Throws RESULT_TOO_LARGE. */
  async write(piece: Uint8Array): Promise<void> {
    this.#bytes += piece.length;
    if (this.#bytes > this.#bytesMax) throw tooLarge(this.#bytesMax);
    this.#pieces.push(piece);
    if (this.#bytes <= limits.resultBytesInMemoryMax) return;
    await this.#writing;
    this.#file ??= await open(this.#path, "wx");
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#writing = this.#file.writev(pieces);
    // Its error is the next call's.
    this.#writing.catch(() => {});
  }

  /** As `write`, but the piece is the sink's only until the call after this one has resolved, which saves a copy of it. */
  async writeLent(piece: Uint8Array): Promise<void> {
    const staysInMemory = this.#bytes + piece.length <= limits.resultBytesInMemoryMax;
    await this.write(staysInMemory ? piece.slice() : piece);
  }

  async finish(): Promise<ResultBody> {
    if (this.#file === null) return { kind: "bytes", bytes: this.#join() };
    await this.#writing;
    await this.#file.close();
    return { kind: "file", path: this.#path, bytes: this.#bytes };
  }

  /** Removes the file; nothing happens when there is none. */
  async abandon(): Promise<void> {
    if (this.#file === null) return;
    await this.#writing.catch(() => {});
    await this.#file.close().catch(() => {});
    await unlink(this.#path).catch(() => {});
  }

  #join(): Uint8Array {
    const whole = new Uint8Array(this.#bytes);
    let at = 0;
    for (const piece of this.#pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }
}

export function tooLarge(bytesMax: number): MiniodbError {
  return new MiniodbError("RESULT_TOO_LARGE", `the result has more than ${bytesMax} bytes`, { limitBytes: bytesMax });
}
