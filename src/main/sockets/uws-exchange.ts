import type { HttpRequest, HttpResponse } from "uWebSockets.js";
import { assert } from "../../shared/assert.js";
import { discardStream, Exchange } from "./exchange.js";
import type { ReplyHeaders, ReplyStream } from "./http-server.js";
import type { ServerCore } from "./server-core.js";
import { isBodiless, statusLine } from "./status-lines.js";
import { UwsChunkedStream, UwsSizedStream, type UwsStream } from "./uws-reply-stream.js";

/** A reply up to this goes out with one call; what the socket does not take of a larger one is fed as it drains. */
const replyBytesAtOnce = 65_536;

const textEncoder = new TextEncoder();

/**
 * One request on uWebSockets.js. `#request` lives on the C++ stack: it is readable until the handler returns.
 * `#response` must not be touched after it was ended or aborted, so both clear it.
 */
export class UwsExchange extends Exchange {
  #request: HttpRequest | null;
  #response: HttpResponse | null;
  #stream: UwsStream | null = null;

  constructor(core: ServerCore, response: HttpResponse, request: HttpRequest) {
    const method = request.getCaseSensitiveMethod();
    super(core, method, request.getUrl(), contentLengthOf(method, request));
    this.#request = request;
    this.#response = response;
  }

  get query(): string {
    return this.#readable().getQuery() ?? "";
  }

  header(name: string): string {
    return this.#readable().getHeader(name);
  }

  remoteAddress(): string {
    const response = this.#response;
    assert(response !== null && this.#request !== null, "an address is read while the handler runs");
    return remoteAddressText(response.getRemoteAddressAsText());
  }

  /** Runs the handler and takes in the body. Called once, synchronously with the request. */
  run(): void {
    this.core.begin(this);
    this.#request = null;
    const response = this.#response;
    if (response === null) return;
    response.onAborted(() => {
      this.#response = null;
      this.#stream?.connectionClosed();
      this.connectionClosed();
    });
    if (!this.isOpen) return;
    response.onData((chunk, isLast) => {
      // uWebSockets.js closes what brings less than 16 kB/s; this starts its clock anew, and checkPace decides.
      if (!isLast && this.isReceiving) {
        response.pause();
        response.resume();
      }
      this.deliver(new Uint8Array(chunk), isLast);
    });
  }

  protected sendReply(status: number, headers: ReplyHeaders, body: string | Uint8Array): void {
    const response = this.#response;
    assert(response !== null, "an open exchange has a response");
    if (body.length > replyBytesAtOnce && !this.isHead) {
      const bytes = typeof body === "string" ? textEncoder.encode(body) : new Uint8Array(body);
      this.#streamWhole(status, headers, bytes);
      return;
    }
    this.#response = null;
    corked.response = response;
    corked.status = status;
    corked.headers = headers;
    corked.body = body;
    corked.isHead = this.isHead;
    corked.close = this.core.draining;
    response.cork(writeCorkedReply);
    this.settle();
  }

  protected openStream(status: number, headers: ReplyHeaders, totalBytes: number | null): ReplyStream {
    const response = this.#response;
    assert(response !== null, "an open exchange has a response");
    if (this.isHead) {
      this.#response = null;
      response.cork(() => {
        writeHead(response, status, headers, this.core.draining);
        endHead(response, totalBytes);
      });
      this.settle();
      return discardStream;
    }
    response.cork(() => writeHead(response, status, headers, this.core.draining));
    const onSettled = (): void => {
      this.#response = null;
      this.settle();
    };
    this.#stream =
      totalBytes === null
        ? new UwsChunkedStream(response, onSettled)
        : new UwsSizedStream(response, onSettled, totalBytes);
    return this.#stream;
  }

  #streamWhole(status: number, headers: ReplyHeaders, bytes: Uint8Array): void {
    const stream = this.openStream(status, headers, bytes.length);
    void stream.write(bytes).then((isSent) => {
      if (isSent) stream.end();
    });
  }

  #readable(): HttpRequest {
    assert(this.#request !== null, "headers are read while the handler runs");
    return this.#request;
  }
}

/** The arguments of the next writeCorkedReply: `cork` calls at once, so one set will do for all replies. */
const corked: {
  response: HttpResponse | null;
  status: number;
  headers: ReplyHeaders;
  body: string | Uint8Array;
  isHead: boolean;
  close: boolean;
} = { response: null, status: 200, headers: [], body: "", isHead: false, close: false };

function writeCorkedReply(): void {
  const { response, status, headers, body, isHead, close } = corked;
  if (response === null) return;
  corked.response = null;
  const hasNoBody = isHead || isBodiless(status);
  writeHead(response, status, headers, close && hasNoBody);
  if (isBodiless(status)) response.endWithoutBody();
  else if (isHead) endHead(response, Buffer.byteLength(body));
  else response.end(body, close);
}

function writeHead(response: HttpResponse, status: number, headers: ReplyHeaders, close: boolean): void {
  // Without a status the first header writes "200 OK" by itself.
  if (status !== 200 || headers.length === 0) response.writeStatus(statusLine(status));
  for (let index = 0; index < headers.length; index += 2) {
    response.writeHeader(headers[index] as string, headers[index + 1] as string);
  }
  if (close) response.writeHeader("connection", "close");
}

/**
 * Ends a reply to HEAD. The length is a header of ours: `endWithoutBody(length)` would leave the response pending, and
 * the next request of the connection would then count as pipelined.
 */
function endHead(response: HttpResponse, bodyBytes: number | null): void {
  if (bodyBytes !== null) response.writeHeader("content-length", String(bodyBytes));
  response.endWithoutBody();
}

function contentLengthOf(method: string, request: HttpRequest): number {
  const text = request.getHeader("content-length");
  // A length that is none gets to the handler; the parser then refuses the body, and the exchange is aborted.
  if (text !== "") return Number(text) >= 0 ? Number(text) : -1;
  if (method === "GET" || method === "HEAD") return 0;
  return request.getHeader("transfer-encoding") === "" ? 0 : -1;
}

/** The addon gives addresses as bytes of text; IPv4 in its IPv6 form is cut to the IPv4 part. */
export function remoteAddressText(bytes: ArrayBuffer): string {
  const text = Buffer.from(bytes).toString("latin1");
  return text.startsWith("0000:0000:0000:0000:0000:ffff:") ? mappedAddress(text.slice(30)) : text;
}

function mappedAddress(groups: string): string {
  const [high = 0, low = 0] = groups.split(":").map((group) => Number.parseInt(group, 16));
  return `${high >> 8}.${high & 0xff}.${low >> 8}.${low & 0xff}`;
}
