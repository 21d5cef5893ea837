import type { Config } from "../../shared/config.js";
import { MiniodbError } from "../../shared/errors.js";
import type { Logger } from "../../shared/log.js";
import { sendReply } from "../protocols/rest/send-reply.js";
import { errorReply } from "../protocols/rest/write-reply.js";
import type { HttpExchange, HttpHandler, HttpServer, ServerOptions, WebSocketRoute } from "../sockets/http-server.js";
import { openServer } from "../sockets/open-server.js";

/** What the doors lead to once the server has started. */
export interface Interior {
  readonly handler: HttpHandler;
  readonly stream: WebSocketRoute["accept"];
  readonly subscribe: WebSocketRoute["accept"];
}

export interface DoorwayOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly version: string;
}

/** Replies of one WebSocket that may wait for a client that does not read. */
const streamBufferedBytesMax = 16 * 1024 * 1024;
/** One message of a client of live queries: a filter has limits.liveFilterBytesMax. */
const subscribeMessageBytesMax = 64 * 1024;
/** A start may take long where it waits for the store. */
const retryAfterSeconds = 5;

/**
 * The socket of HTTP and WebSocket. It is there from the beginning of a start, so that whoever watches over the server
 * sees that it is starting: until then health answers 503 with `starting`, and everything else 503 with Retry-After.
 */
export class Doorway {
  readonly #version: string;
  #interior: Interior | null = null;
  #server: HttpServer | null = null;
  #waitsFor = "the folders of this machine";

  private constructor(version: string) {
    this.#version = version;
  }

  /** Rejects when the address cannot be bound. */
  static async open({ config, log, version }: DoorwayOptions): Promise<Doorway> {
    const doorway = new Doorway(version);
    const { server, fallbackReason } = await openServer(doorway.#options(config, log), config.sockets.implementation);
    if (fallbackReason !== null) {
      log.warn(
        { reason: fallbackReason },
        "uWebSockets.js does not load here: node:http and ws serve instead, more slowly",
      );
    }
    doorway.#server = server;
    return doorway;
  }

  get server(): HttpServer {
    if (this.#server === null) throw new Error("the doorway is not open");
    return this.#server;
  }

  /** For people, while the server starts. */
  set waitsFor(text: string) {
    this.#waitsFor = text;
  }

  /** From now on requests go in. */
  admit(interior: Interior): void {
    this.#interior = interior;
  }

  #options(config: Config, log: Logger): ServerOptions {
    const idleSecondsMax = Math.floor(config.http.webSocketIdleMs / 4000) * 4;
    const refusal = () => ({ status: 503, headers: ["content-type", "application/json"], body: startingReply().body });
    return {
      host: config.http.host,
      port: config.http.port,
      handler: (exchange) => {
        if (this.#interior !== null) return this.#interior.handler(exchange);
        this.#refuse(exchange);
        return null;
      },
      webSockets: {
        "/v1/stream": {
          accept: (head) => this.#interior?.stream(head) ?? refusal(),
          messageBytesMax: config.http.bodyBytesMax,
          bufferedBytesMax: streamBufferedBytesMax,
          idleSecondsMax,
        },
        "/v1/subscribe": {
          accept: (head) => this.#interior?.subscribe(head) ?? refusal(),
          messageBytesMax: subscribeMessageBytesMax,
          bufferedBytesMax: streamBufferedBytesMax,
          idleSecondsMax,
        },
      },
      bodyBytesMax: config.http.bodyBytesMax,
      bodyIdleMsMax: config.http.slowClientTimeoutMs,
      bodyBytesPerSecondMin: config.http.bodyRateMin,
      connectionsMax: config.http.connectionsMax,
      renderError: (error) => ({ headers: ["content-type", "application/json"], body: errorReply(error).body }),
      onError: (error) => log.error({ err: error }, "a request failed by a mistake of ours"),
    };
  }

  #refuse(exchange: HttpExchange): void {
    if (exchange.path !== "/v1/health") {
      sendReply(exchange, startingReply());
      return;
    }
    const details = { waits_for: this.#waitsFor };
    const body = { status: "starting", timestamp: new Date().toISOString(), version: this.#version, details };
    sendReply(exchange, { status: 503, body: JSON.stringify(body), retryAfterSeconds });
  }
}

function startingReply() {
  const error = new MiniodbError("SERVER_BUSY", "The server is starting: see GET /v1/health for what it waits for");
  return { ...errorReply(error), retryAfterSeconds };
}
