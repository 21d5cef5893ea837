import type { IncomingMessage, ServerResponse } from "node:http";
import { assert } from "../../shared/assert.js";
import { discardStream, Exchange } from "./exchange.js";
import type { ReplyHeaders, ReplyStream } from "./http-server.js";
import { clientIdleSeconds, type ServerCore } from "./server-core.js";
import { isBodiless } from "./status-lines.js";

const noBytes = new Uint8Array(0);

/** One request on node:http. */
export class NodeExchange extends Exchange {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #pathEnd: number;
  /** Headers are hidden after the handler as they are in uWebSockets.js, so that one test finds such mistakes. */
  #isReadable = true;
  #receivedBytes = 0;
  #isBodyDone = false;
  #stream: NodeReplyStream | null = null;
  #lingerTimer: NodeJS.Timeout | null = null;

  constructor(core: ServerCore, request: IncomingMessage, response: ServerResponse) {
    const url = request.url ?? "/";
    const mark = url.indexOf("?");
    super(core, request.method ?? "GET", mark < 0 ? url : url.slice(0, mark), contentLengthOf(request));
    this.#pathEnd = mark < 0 ? url.length : mark;
    this.#request = request;
    this.#response = response;
  }

  /** True once the reply was handed to node:http in full, as after `end` in uWebSockets.js. */
  get hasEnded(): boolean {
    return this.#response.writableEnded;
  }

  get query(): string {
    this.#assertReadable();
    return (this.#request.url ?? "").slice(this.#pathEnd + 1);
  }

  header(name: string): string {
    this.#assertReadable();
    const value = this.#request.headers[name];
    return Array.isArray(value) ? value.join(", ") : (value ?? "");
  }

  remoteAddress(): string {
    this.#assertReadable();
    return addressText(this.#request.socket.remoteAddress);
  }

  /** Runs the handler and takes in the body. Called once, with the request. */
  run(): void {
    this.#response.on("close", () => this.#responseClosed());
    // A reset in the middle of a body; the response's close tells the rest.
    this.#request.on("error", () => undefined);
    this.core.begin(this);
    this.#isReadable = false;
    this.#request.on("data", (chunk: Buffer) => {
      this.#receivedBytes += chunk.length;
      this.#takeChunk(plainBytes(chunk), this.#receivedBytes === this.contentLength);
    });
    this.#request.on("end", () => {
      if (this.#lingerTimer !== null) clearTimeout(this.#lingerTimer);
      if (!this.#isBodyDone) this.#takeChunk(noBytes, true);
    });
  }

  protected sendReply(status: number, headers: ReplyHeaders, body: string | Uint8Array): void {
    // node:http may keep the bytes until the socket takes them.
    const bytes = typeof body === "string" ? body : Buffer.from(body);
    this.#writeHead(status, headers, Buffer.byteLength(bytes));
    this.#response.socket?.setTimeout(clientIdleSeconds * 1000);
    this.#response.end(this.isHead || isBodiless(status) ? undefined : bytes);
    this.#linger();
  }

  protected openStream(status: number, headers: ReplyHeaders, totalBytes: number | null): ReplyStream {
    this.#writeHead(status, headers, totalBytes);
    this.#linger();
    if (this.isHead) {
      this.#response.end();
      return discardStream;
    }
    this.#stream = new NodeReplyStream(this.#response, totalBytes);
    return this.#stream;
  }

  #takeChunk(chunk: Uint8Array, isLast: boolean): void {
    this.#isBodyDone = isLast;
    this.deliver(chunk, isLast);
  }

  #writeHead(status: number, headers: ReplyHeaders, totalBytes: number | null): void {
    const all = [...headers];
    if (totalBytes !== null && !isBodiless(status)) all.push("content-length", String(totalBytes));
    if (this.core.draining) all.push("connection", "close");
    this.#response.writeHead(status, all);
  }

  /** The rest of a body whose reply was sent early is discarded, but not for ever. */
  #linger(): void {
    if (this.#request.complete) return;
    this.#lingerTimer = setTimeout(() => this.#request.socket.destroy(), clientIdleSeconds * 1000).unref();
  }

  #responseClosed(): void {
    if (this.#response.writableFinished) {
      this.settle();
      return;
    }
    this.#stream?.connectionClosed();
    this.connectionClosed();
  }

  #assertReadable(): void {
    assert(this.#isReadable, "headers are read while the handler runs");
  }
}

class NodeReplyStream implements ReplyStream {
  readonly #response: ServerResponse;
  readonly #totalBytes: number | null;
  #writtenBytes = 0;
  #isOver = false;
  #resume: ((canGoOn: boolean) => void) | null = null;

  constructor(response: ServerResponse, totalBytes: number | null) {
    this.#response = response;
    this.#totalBytes = totalBytes;
    response.on("drain", () => {
      response.socket?.setTimeout(0);
      this.#finishWrite(true);
    });
  }

  write(chunk: Uint8Array): Promise<boolean> {
    assert(this.#resume === null, "one write at a time");
    this.#writtenBytes += chunk.length;
    assert(
      this.#totalBytes === null || this.#writtenBytes <= this.#totalBytes,
      "a reply is not longer than it was announced",
    );
    if (this.#isOver) return Promise.resolve(false);
    if (chunk.length === 0) return Promise.resolve(true);
    return new Promise<boolean>((resolve) => {
      this.#resume = resolve;
      // The callback comes when the socket has taken the bytes, so that the caller may use their memory again.
      const isTaken = this.#response.write(chunk, () => this.#finishWrite(true));
      if (!isTaken) this.#response.socket?.setTimeout(clientIdleSeconds * 1000);
    });
  }

  end(): void {
    if (this.#isOver) return;
    assert(this.#totalBytes === null || this.#writtenBytes === this.#totalBytes, "a reply is as long as announced");
    this.#isOver = true;
    this.#response.socket?.setTimeout(clientIdleSeconds * 1000);
    this.#response.end();
  }

  abort(): void {
    this.#response.socket?.destroy();
  }

  /** The connection is gone. */
  connectionClosed(): void {
    this.#isOver = true;
    this.#finishWrite(false);
  }

  #finishWrite(canGoOn: boolean): void {
    const resume = this.#resume;
    this.#resume = null;
    resume?.(canGoOn && !this.#response.destroyed);
  }
}

function contentLengthOf(request: IncomingMessage): number {
  const text = request.headers["content-length"];
  if (text !== undefined) return Number(text);
  return request.headers["transfer-encoding"] === undefined ? 0 : -1;
}

/** A Buffer's `slice` is a view, a Uint8Array's is a copy: listeners get the latter from both implementations. */
export function plainBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** IPv4 in its IPv6 form is cut to the IPv4 part. */
export function addressText(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:(?=\d+\.)/, "");
}
