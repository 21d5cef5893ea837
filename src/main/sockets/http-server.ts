/**
 * What the rest of main sees of HTTP and WebSocket: types only. uws-server.ts and node-server.ts implement them and
 * pass one conformance suite; open-server.ts picks one.
 *
 * The life of a request:
 *
 * ```
 *  handler(exchange) ─▶ listener.onChunk ... onChunk(isLast) ─▶ exchange.reply | startReply
 *        │ headers readable        │ bytes valid during the call        │ any time later, also before the body is in
 *        └──────── or, at any time before the reply: listener.onAborted, and a reply is then refused
 * ```
 * A request that comes in while the previous one of its connection is unanswered (HTTP pipelining) closes the
 * connection: both are aborted and neither is acknowledged.
 */
import type { MiniodbError } from "../../shared/errors.js";

/** Names and values in turn: `["content-type", "text/plain", "retry-after", "1"]`. No content-length. */
export type ReplyHeaders = readonly string[];

export interface Reply {
  readonly headers: ReplyHeaders;
  readonly body: string | Uint8Array;
}

/** What a request says before its body. */
export interface RequestHead {
  /** As sent: upper case in practice. */
  readonly method: string;
  /** As sent: with percent escapes, without the query. */
  readonly path: string;
  /** As sent, without the question mark. Readable while the handler runs. */
  readonly query: string;
  /** A header by its lower-case name, "" when it is absent. Readable while the handler runs. */
  header(name: string): string;
  /** The other end's address as text, without its port. Readable while the handler runs. */
  remoteAddress(): string;
}

/** Why a request ended without a reply of its handler. */
export type AbortReason =
  /** The connection is gone. */
  | "closed"
  /** The body came too slowly; the client was told 408. */
  | "timeout"
  /** The body, or its announced length, is over the limit; the client was told 413. */
  | "too-large";

/** What a handler leaves behind to be told about the rest of its request. */
export interface RequestListener {
  /**
   * The next piece of the body, in order. `chunk` is valid only during the call and may be empty; a request without
   * a body gets one empty last chunk. Not called any more after the reply.
   */
  onChunk(chunk: Uint8Array, isLast: boolean): void;
  /** No reply can be sent any more. Called at most once, and never after the reply. */
  onAborted(reason: AbortReason): void;
}

/** One request and its reply. */
export interface HttpExchange extends RequestHead {
  /** The announced length of the body in bytes, 0 without a body, -1 when only its end will tell (chunked). */
  readonly contentLength: number;
  /**
   * Sends the whole reply; `body` is copied before it returns. A HEAD request gets the headers only. The rest of a
   * body that is still coming in is discarded. False when the exchange is over (aborted): nothing was sent.
   */
  reply(status: number, headers: ReplyHeaders, body: string | Uint8Array): boolean;
  /**
   * Begins a reply of several pieces, with `totalBytes` in content-length or, for null, chunked. Null when the
   * exchange is over.
   */
  startReply(status: number, headers: ReplyHeaders, totalBytes: number | null): ReplyStream | null;
}

export interface ReplyStream {
  /**
   * Sends a piece; resolves when the next may be written: true to go on, false when the client is gone. A client
   * that reads slowly makes it wait, so no more than about one piece is buffered. The bytes must not change until then.
   * One write at a time.
   */
  write(chunk: Uint8Array): Promise<boolean>;
  /** Ends the reply. With totalBytes, exactly so many must have been written. */
  end(): void;
  /** Cuts the connection, so that the client cannot take the reply for complete. */
  abort(): void;
}

/**
 * Called once per request, before its body. Returns the listener, or null when it has replied already. What it
 * throws is reported and answered with 500.
 */
export type HttpHandler = (exchange: HttpExchange) => RequestListener | null;

export interface WebSocketConnection {
  /** Bytes that are waiting for the client to read. */
  readonly bufferedBytes: number;
  /**
   * Sends one message (text for a string, binary for bytes); the bytes are copied before it returns. "slow": it is
   * queued, and `onDrained` follows. "closed": it was not sent; also when it does not fit into bufferedBytesMax: the
   * connection is then closed with 1013.
   */
  send(message: string | Uint8Array): "sent" | "slow" | "closed";
  /** Sends a close frame; `onClosed` follows. */
  close(code: number, reason: string): void;
}

export interface WebSocketListener {
  /** The handshake is done. */
  onOpen(connection: WebSocketConnection): void;
  /** A whole message. The bytes are valid only during the call; text arrives as UTF-8. */
  onMessage(message: Uint8Array, isBinary: boolean): void;
  /** Nothing is buffered any more, after a "slow". */
  onDrained(): void;
  /** The last call. 1006 when there was no close frame. */
  onClosed(code: number): void;
}

export interface UpgradeRefusal extends Reply {
  readonly status: number;
}

export interface WebSocketRoute {
  /** Decides about one handshake, synchronously. */
  accept(head: RequestHead): WebSocketListener | UpgradeRefusal;
  /** Largest message in bytes; a larger one closes the connection. */
  readonly messageBytesMax: number;
  /** Most bytes that may wait for a client that does not read. */
  readonly bufferedBytesMax: number;
  /** A connection that neither sends nor answers pings for so long is closed. 8 to 960, in steps of 4. */
  readonly idleSecondsMax: number;
}

export interface ServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly handler: HttpHandler;
  /** By exact path. */
  readonly webSockets: Readonly<Record<string, WebSocketRoute>>;
  /** Largest request body; 413 over it, announced or not. */
  readonly bodyBytesMax: number;
  /** Longest pause inside a body; 408 over it. At most 7,000: see `clientIdleSeconds` of server-core.ts. */
  readonly bodyIdleMsMax: number;
  /** Slowest body as a mean, once it has taken bodyIdleMsMax; 408 below it. */
  readonly bodyBytesPerSecondMin: number;
  /** Connections over this are closed at once. */
  readonly connectionsMax: number;
  /** Words the replies that the sockets layer gives by itself: 408, 413, 500. */
  readonly renderError: (error: MiniodbError) => Reply;
  /** Told what handlers and listeners threw: mistakes of the program. */
  readonly onError: (error: unknown) => void;
}

export interface ServerStats {
  /** Open now, WebSockets included. */
  readonly connections: number;
  readonly webSockets: number;
  /** Requests whose reply has not left yet. */
  readonly pending: number;
  /** Since the start. */
  readonly requests: number;
}

export interface HttpServer {
  readonly implementation: "uws" | "node";
  readonly host: string;
  readonly port: number;
  stats(): ServerStats;
  /** Takes no new connection; those that are open go on, and each is closed behind its next reply. */
  stopAccepting(): void;
  /**
   * Stops accepting, closes WebSockets with 1001, waits until all replies have left, then closes everything. False
   * when `timeoutMs` was over first: the requests still pending were then aborted.
   */
  close(timeoutMs: number): Promise<boolean>;
}
