import { assert } from "../../shared/assert.js";
import { MiniodbError } from "../../shared/errors.js";
import type { AbortReason, HttpExchange, ReplyHeaders, ReplyStream, RequestListener } from "./http-server.js";
import type { ServerCore } from "./server-core.js";

/**
 * The part of an exchange that does not depend on who reads the socket: what happens once and in which order.
 *
 * ```
 *  open ──reply──▶ over, reply leaving ──▶ settled
 *    └────abort, timeout, too large──────▶ settled
 * ```
 * `over` means that the handler can do nothing more; `settled` that the server may close without losing anything.
 */
export abstract class Exchange implements HttpExchange {
  readonly method: string;
  readonly path: string;
  readonly contentLength: number;
  listener: RequestListener | null = null;
  protected readonly core: ServerCore;
  #over = false;
  #settled = false;
  #bodyDone: boolean;
  #receivedBytes = 0;
  /** When the request began, and when its latest chunk came; set when the first look or chunk needs them. */
  #startMs = 0;
  #chunkMs = 0;

  constructor(core: ServerCore, method: string, path: string, contentLength: number) {
    this.core = core;
    this.method = method;
    this.path = path;
    this.contentLength = contentLength;
    this.#bodyDone = contentLength === 0;
  }

  abstract get query(): string;
  abstract header(name: string): string;
  abstract remoteAddress(): string;

  /** Writes the reply, then calls `settle` once it has left. */
  protected abstract sendReply(status: number, headers: ReplyHeaders, body: string | Uint8Array): void;
  protected abstract openStream(status: number, headers: ReplyHeaders, totalBytes: number | null): ReplyStream;

  get isHead(): boolean {
    return this.method === "HEAD";
  }

  /** True while the handler may still reply. */
  get isOpen(): boolean {
    return !this.#over;
  }

  /** True while a part of the body is awaited. */
  get isReceiving(): boolean {
    return !this.#over && !this.#bodyDone;
  }

  reply(status: number, headers: ReplyHeaders, body: string | Uint8Array): boolean {
    if (this.#over) return false;
    assertHeaders(headers);
    this.#over = true;
    this.sendReply(status, headers, body);
    return true;
  }

  startReply(status: number, headers: ReplyHeaders, totalBytes: number | null): ReplyStream | null {
    if (this.#over) return null;
    assertHeaders(headers);
    this.#over = true;
    return this.openStream(status, headers, totalBytes);
  }

  /** The next piece of the body, from the implementation. */
  deliver(chunk: Uint8Array, isLast: boolean): void {
    if (isLast) this.#bodyDone = true;
    if (this.#over) return;
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes > this.core.options.bodyBytesMax) {
      this.refuseTooLarge();
      return;
    }
    if (!isLast) this.#chunkMs = performance.now();
    try {
      this.listener?.onChunk(chunk, isLast);
    } catch (error) {
      this.failInternally(error);
    }
  }

  /** The connection is gone, from the implementation. */
  connectionClosed(): void {
    this.#abort("closed");
    this.settle();
  }

  refuseTooLarge(): void {
    const { bodyBytesMax } = this.core.options;
    this.#abort("too-large", new MiniodbError("BODY_TOO_LARGE", `the body is larger than ${bodyBytesMax} bytes`));
  }

  /** Answers 500 for what a handler or listener threw. */
  failInternally(cause: unknown): void {
    this.core.options.onError(cause);
    if (!this.#over) this.#replyError(new MiniodbError("INTERNAL", "internal error"));
  }

  /** Answers 408 when the body makes too little progress. */
  checkPace(nowMs: number): void {
    if (this.#startMs === 0) {
      this.#startMs = nowMs;
      if (this.#chunkMs === 0) this.#chunkMs = nowMs;
      return;
    }
    const { bodyIdleMsMax, bodyBytesPerSecondMin } = this.core.options;
    const elapsedMs = nowMs - this.#startMs;
    const isIdle = nowMs - this.#chunkMs > bodyIdleMsMax;
    const isSlow = elapsedMs > bodyIdleMsMax && this.#receivedBytes < (bodyBytesPerSecondMin * elapsedMs) / 1000;
    if (!isIdle && !isSlow) return;
    this.#abort("timeout", new MiniodbError("REQUEST_TIMEOUT", "the body arrived too slowly"));
  }

  /** The reply has left, or never will. */
  protected settle(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.core.settle();
  }

  #abort(reason: AbortReason, error?: MiniodbError): void {
    if (this.#over) return;
    const { listener } = this;
    if (error === undefined) this.#over = true;
    else this.#replyError(error);
    if (listener !== null) this.core.guard(() => listener.onAborted(reason));
  }

  #replyError(error: MiniodbError): void {
    const { headers, body } = this.core.options.renderError(error);
    this.reply(error.status, headers, body);
  }
}

/** The stream of a reply to HEAD: the headers are all of it. */
export const discardStream: ReplyStream = {
  write: () => Promise.resolve(true),
  end: () => undefined,
  abort: () => undefined,
};

const unsafeInHeader = /[\r\n\0]/;
let headersSeen: ReplyHeaders = [];

/** A line break in a header would let its value write the rest of the reply. A constant array is looked at once. */
function assertHeaders(headers: ReplyHeaders): void {
  if (headers === headersSeen) return;
  assert(headers.length % 2 === 0, "reply headers are names and values in turn");
  for (const text of headers) assert(!unsafeInHeader.test(text), "a reply header is one line");
  headersSeen = headers;
}
