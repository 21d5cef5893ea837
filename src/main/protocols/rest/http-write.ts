import { MiniodbError } from "../../../shared/errors.js";
import { limits } from "../../../shared/limits.js";
import type { FrameDurability, FrameEncoding, FrameFormat } from "../../../shared/ring/frame.js";
import type { SlabAllocator } from "../../../shared/ring/slab-allocator.js";
import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";
import type { Metrics } from "../../telemetry/metrics.js";
import type { WritePath } from "../../write/write-path.js";
import type { WriteAccount, WriteBody, WriteOutcome, WriteRequest } from "../../write/write-request.js";
import { sendReply } from "./send-reply.js";
import { thrownReply, type JsonReply } from "./write-reply.js";

const firstSlabBytes = 256 * 1024;
const noBytes: WriteBody = { kind: "chunk", bytes: new Uint8Array(0) };

/** What all writes over HTTP share. */
export interface WriteDoor {
  readonly writes: WritePath;
  readonly slab: SlabAllocator;
  readonly metrics: Metrics;
  readonly onInternal: (error: unknown) => void;
}

/** What the request says before its body. */
export interface WriteHead {
  readonly table: string;
  readonly format: FrameFormat;
  readonly encoding: FrameEncoding;
  readonly durability: FrameDurability;
  readonly flags: number;
  readonly batchId: string;
  /** Answers a body that is no plain write, which it may read until it returns; false: it is one. */
  readonly divert?: (body: Uint8Array) => boolean;
  /** Makes the outcome that is answered of the account of this write, which then only was its first step. Never rejects. */
  readonly goOn?: (account: WriteAccount) => Promise<WriteOutcome>;
}

export type RenderOutcome = (outcome: WriteOutcome, batchId: string) => JsonReply;

/**
 * One write over HTTP, from its head to its reply. It is the request that the write path gets, too: at tens of thousands
 * of requests a second one object of one shape is what counts.
 *
 * The body is gathered with one copy: a single chunk is handed on as it is, more of them go into one slab. A client that
 * sends slowly holds a slab, never the ring.
 */
export class HttpWrite implements RequestListener, WriteRequest {
  readonly table: string;
  readonly format: FrameFormat;
  readonly encoding: FrameEncoding;
  readonly durability: FrameDurability;
  readonly flags: number;
  readonly batchId: string;
  readonly principal = "";
  body: WriteBody = noBytes;
  readonly #door: WriteDoor;
  readonly #exchange: HttpExchange;
  readonly #render: RenderOutcome;
  #slabOffset = -1;
  #length = 0;
  readonly #divert: WriteHead["divert"];
  readonly #goOn: WriteHead["goOn"];
  #isOver = false;

  constructor(door: WriteDoor, exchange: HttpExchange, head: WriteHead, render: RenderOutcome) {
    this.#door = door;
    this.#exchange = exchange;
    this.#render = render;
    this.table = head.table;
    this.format = head.format;
    this.encoding = head.encoding;
    this.durability = head.durability;
    this.flags = head.flags;
    this.batchId = head.batchId;
    this.#divert = head.divert;
    this.#goOn = head.goOn;
  }

  onChunk(chunk: Uint8Array, isLast: boolean): void {
    if (this.#isOver) return;
    try {
      if (isLast && this.#length === 0 && chunk.length <= limits.inlineBodyBytesMax) {
        this.#submit({ kind: "chunk", bytes: chunk });
      } else {
        this.#append(chunk);
        if (isLast) this.#submit({ kind: "slab", offset: this.#slabOffset, length: this.#length });
      }
    } catch (error) {
      this.#drop();
      sendReply(this.#exchange, thrownReply(error, this.#door.onInternal));
    }
  }

  onAborted(): void {
    this.#drop();
  }

  done(outcome: WriteOutcome): void {
    if (this.#goOn === undefined || outcome.kind === "failed") this.#answer(outcome);
    else void this.#goOn(outcome).then((last) => this.#answer(last));
  }

  #answer(outcome: WriteOutcome): void {
    this.#door.metrics.wrote(outcome, this.#length);
    sendReply(this.#exchange, this.#render(outcome, this.batchId));
  }

  #submit(body: WriteBody): void {
    this.#isOver = true;
    this.#length = body.kind === "slab" ? body.length : body.bytes.length;
    if (this.#divert !== undefined && this.#divert(this.#bytesOf(body))) {
      this.#drop();
      return;
    }
    this.body = body;
    this.#door.writes.submit(this);
    // Only now is a slab the write path's: what `submit` throws leaves it here, to be freed.
    this.#slabOffset = -1;
  }

  #bytesOf(body: WriteBody): Uint8Array {
    return body.kind === "chunk" ? body.bytes : this.#door.slab.bytes.subarray(body.offset, body.offset + body.length);
  }

  #append(chunk: Uint8Array): void {
    const { slab } = this.#door;
    const length = this.#length + chunk.length;
    if (this.#slabOffset < 0) {
      const announced = this.#exchange.contentLength;
      this.#slabOffset = taken(slab.allocate(Math.max(length, announced > 0 ? announced : firstSlabBytes)));
    } else if (length > slab.blockBytes(this.#slabOffset)) {
      // A block that cannot grow is still there: `#drop` frees it.
      this.#slabOffset = taken(slab.grow(this.#slabOffset, this.#length, length));
    }
    slab.bytes.set(chunk, this.#slabOffset + this.#length);
    this.#length = length;
  }

  #drop(): void {
    this.#isOver = true;
    if (this.#slabOffset >= 0) this.#door.slab.free(this.#slabOffset);
    this.#slabOffset = -1;
  }
}

function taken(offset: number): number {
  if (offset >= 0) return offset;
  throw new MiniodbError("SERVER_BUSY", "No shared memory is free for this body");
}
