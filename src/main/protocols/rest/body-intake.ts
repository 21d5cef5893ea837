import { MiniodbError } from "../../../shared/errors.js";
import type { SlabAllocator } from "../../../shared/ring/slab-allocator.js";
import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";
import type { WriteBody } from "../../write/write-request.js";

/** A body of one chunk up to this size goes straight into the ring; the sockets hand out chunks of at most 512 KiB. */
const inlineBytesMax = 1024 * 1024;
const firstSlabBytes = 256 * 1024;

export interface BodyIntake {
  readonly slab: SlabAllocator;
  readonly bodyBytesMax: number;
  /** The whole body; a slab is the receiver's to free. A chunk is valid during the call. */
  readonly onBody: (exchange: HttpExchange, body: WriteBody) => void;
  readonly onError: (exchange: HttpExchange, error: unknown) => void;
}

/**
 * Gathers a write's body with one copy: a single chunk is handed on as it is, more of them go into one slab. A client that
 * sends slowly holds a slab, never the ring.
 */
export class BodyListener implements RequestListener {
  readonly #exchange: HttpExchange;
  readonly #intake: BodyIntake;
  #offset = -1;
  #length = 0;
  #isOver = false;

  constructor(exchange: HttpExchange, intake: BodyIntake) {
    this.#exchange = exchange;
    this.#intake = intake;
  }

  onChunk(chunk: Uint8Array, isLast: boolean): void {
    if (this.#isOver) return;
    try {
      if (isLast && this.#length === 0 && chunk.length <= inlineBytesMax) {
        this.#isOver = true;
        this.#intake.onBody(this.#exchange, { kind: "chunk", bytes: chunk });
        return;
      }
      this.#append(chunk);
      if (isLast) this.#finish();
    } catch (error) {
      this.#drop();
      this.#intake.onError(this.#exchange, error);
    }
  }

  onAborted(): void {
    this.#drop();
  }

  #append(chunk: Uint8Array): void {
    const { slab } = this.#intake;
    const length = this.#length + chunk.length;
    if (this.#offset < 0) {
      const announced = this.#exchange.contentLength;
      const bytes = Math.max(length, announced > 0 ? announced : firstSlabBytes);
      this.#offset = slab.allocate(bytes);
      if (this.#offset < 0) throw new MiniodbError("SERVER_BUSY", "No shared memory is free for this body");
    } else if (length > slab.blockBytes(this.#offset)) {
      const grown = slab.grow(this.#offset, this.#length, length);
      if (grown < 0) throw new MiniodbError("SERVER_BUSY", "No shared memory is free for this body");
      this.#offset = grown;
    }
    slab.bytes.set(chunk, this.#offset + this.#length);
    this.#length = length;
  }

  #finish(): void {
    const body: WriteBody = { kind: "slab", offset: this.#offset, length: this.#length };
    this.#intake.onBody(this.#exchange, body);
    // Only now is the slab the receiver's: what it throws leaves it here, to be freed.
    this.#offset = -1;
    this.#isOver = true;
  }

  #drop(): void {
    this.#isOver = true;
    if (this.#offset >= 0) this.#intake.slab.free(this.#offset);
    this.#offset = -1;
  }
}
