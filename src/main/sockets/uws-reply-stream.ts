import type { HttpResponse } from "uWebSockets.js";
import { assert } from "../../shared/assert.js";
import type { ReplyStream } from "./http-server.js";

const noBytes = new Uint8Array(0);

/** What both kinds of stream share: one write at a time, and an end that comes once. */
export abstract class UwsStream implements ReplyStream {
  protected readonly response: HttpResponse;
  readonly #onSettled: () => void;
  #settled = false;
  /** Resolves the write that waits for the socket. */
  #resume: ((canGoOn: boolean) => void) | null = null;

  /** `onSettled` is called once: everything is handed to the socket, or never will be. */
  constructor(response: HttpResponse, onSettled: () => void) {
    this.response = response;
    this.#onSettled = onSettled;
  }

  abstract write(chunk: Uint8Array): Promise<boolean>;
  abstract end(): void;

  abort(): void {
    // Runs the exchange's abort handler, and through it connectionClosed.
    if (!this.#settled) this.response.close();
  }

  /** The connection is gone. */
  connectionClosed(): void {
    this.settle();
    this.resume(false);
  }

  protected get isOver(): boolean {
    return this.#settled;
  }

  protected settle(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#onSettled();
  }

  protected resume(canGoOn: boolean): void {
    const resume = this.#resume;
    this.#resume = null;
    resume?.(canGoOn);
  }

  /** A promise for the write in hand; `resume` settles it. */
  protected wait(): Promise<boolean> {
    assert(this.#resume === null, "one write at a time");
    return new Promise<boolean>((resolve) => {
      this.#resume = resolve;
    });
  }
}

/**
 * A reply whose length is known. `tryEnd` takes what the socket takes and the write offset says how much that was,
 * so nothing is buffered beside the caller's piece.
 */
export class UwsSizedStream extends UwsStream {
  readonly #totalBytes: number;
  #writtenBytes = 0;
  /** The piece in hand, and where in the whole reply it starts. */
  #piece: Uint8Array = noBytes;
  #pieceStart = 0;
  #isListening = false;

  constructor(response: HttpResponse, onSettled: () => void, totalBytes: number) {
    super(response, onSettled);
    this.#totalBytes = totalBytes;
  }

  write(chunk: Uint8Array): Promise<boolean> {
    assert(this.#writtenBytes + chunk.length <= this.#totalBytes, "a reply is not longer than it was announced");
    if (this.isOver) return Promise.resolve(this.#writtenBytes === this.#totalBytes);
    if (chunk.length === 0) return Promise.resolve(true);
    const done = this.wait();
    this.#piece = chunk;
    this.#pieceStart = this.#writtenBytes;
    this.#writtenBytes += chunk.length;
    this.#feed(0);
    return done;
  }

  end(): void {
    if (this.isOver) return;
    assert(this.#writtenBytes === this.#totalBytes, "a reply is as long as it was announced");
    // Only an empty reply gets here: the last byte settles any other.
    this.response.cork(() => this.response.end());
    this.settle();
  }

  /** Offers the piece from `skip` on, and resumes the writer when the socket took it all. */
  #feed(skip: number): boolean {
    const { response } = this;
    let isTaken = false;
    let isDone = false;
    response.cork(() => {
      [isTaken, isDone] = response.tryEnd(this.#piece.subarray(skip), this.#totalBytes);
    });
    if (isDone) this.settle();
    else if (!isTaken) this.#listen();
    if (isTaken || isDone) this.resume(true);
    return isTaken;
  }

  #listen(): void {
    if (this.#isListening) return;
    this.#isListening = true;
    this.response.onWritable((offset) => {
      const skip = offset - this.#pieceStart;
      if (skip < this.#piece.length) return this.#feed(skip);
      this.resume(true);
      return true;
    });
  }
}

/** uWebSockets.js gathers what is written within one `cork` in a buffer of this size; larger writes pass it by. */
const corkBytes = 16_384;
const largePieceBytes = 65_536;
const probeBytes = 16;
const reserveBytes = 512;

/**
 * A reply of unknown length. `write` buffers in C++ whatever the socket does not take and answers false, and while
 * there is an onWritable handler that buffer drains only as part of further writes. Hence:
 *
 * - A large chunk goes out in pieces until one is refused. Its last `reserveBytes` are kept for probing: each
 *   writable event writes `probeBytes` of them, which drains the buffer, and large pieces follow when it is empty.
 * - The outcome of a chunk that fits the cork buffer is not known. When as much as one large piece has gone out
 *   unknown, small chunks are held back until together they are too large for the cork buffer.
 *
 * So about one large piece is buffered for a client that does not read.
 */
export class UwsChunkedStream extends UwsStream {
  #piece: Uint8Array = noBytes;
  #at = 0;
  #isListening = false;
  #isCongested = false;
  #unknownBytes = 0;
  readonly #held: Uint8Array[] = [];
  #heldBytes = 0;

  write(chunk: Uint8Array): Promise<boolean> {
    if (this.isOver) return Promise.resolve(false);
    if (chunk.length === 0) return Promise.resolve(true);
    const isKnown = this.#heldBytes + chunk.length > corkBytes;
    if (!isKnown && this.#unknownBytes < largePieceBytes) {
      this.#unknownBytes += chunk.length;
      this.response.cork(() => this.response.write(chunk));
      return Promise.resolve(true);
    }
    if (!isKnown) {
      // Not `slice`: that of a Buffer would be a view.
      this.#held.push(new Uint8Array(chunk));
      this.#heldBytes += chunk.length;
      return Promise.resolve(true);
    }
    const done = this.wait();
    this.#piece = this.#takeHeld(chunk);
    this.#at = 0;
    this.#unknownBytes = 0;
    this.response.cork(() => this.#writePieces());
    return done;
  }

  end(): void {
    if (this.isOver) return;
    this.response.cork(() => {
      if (this.#heldBytes > 0) this.response.write(this.#takeHeld(noBytes));
      this.response.end();
    });
    this.settle();
  }

  #takeHeld(chunk: Uint8Array): Uint8Array {
    if (this.#heldBytes === 0) return chunk;
    const all = Buffer.concat([...this.#held, chunk]);
    this.#held.length = 0;
    this.#heldBytes = 0;
    return all;
  }

  /** Writes until the socket refuses or the chunk is done; only then the writer goes on. */
  #writePieces(): void {
    while (this.#at < this.#piece.length && !this.#isCongested) {
      const rest = this.#piece.length - this.#at;
      this.#writePiece(rest > reserveBytes ? Math.min(largePieceBytes, rest - reserveBytes) : rest);
    }
    if (this.#isCongested) this.#listen();
    else this.resume(true);
  }

  #writePiece(byteCount: number): void {
    const end = Math.min(this.#at + byteCount, this.#piece.length);
    this.#isCongested = !this.response.write(this.#piece.subarray(this.#at, end));
    this.#at = end;
  }

  #listen(): void {
    if (this.#isListening) return;
    this.#isListening = true;
    this.response.onWritable(() => {
      // Nothing is corked here, so the outcome of a small write is the socket's own.
      if (this.#at < this.#piece.length) this.#writePiece(probeBytes);
      else this.#isCongested = false;
      if (!this.#isCongested) this.#writePieces();
      return !this.#isCongested;
    });
  }
}
