import { MiniodbError } from "../../shared/errors.js";
import type { Exchange } from "./exchange.js";
import type { ServerOptions, WebSocketListener, WebSocketRoute, RequestHead, UpgradeRefusal } from "./http-server.js";

/**
 * How long a connection may be silent between requests, in the middle of request headers, or while it does not read
 * its reply. Fixed inside uWebSockets.js, with a grain of 4 s; the fallback does the same.
 */
export const clientIdleSeconds = 10;

/** How often slow bodies are looked for, at most. */
const watchIntervalMsMax = 1_000;

/** What both implementations share: counters, limits, and the watch over bodies that come in slowly. */
export class ServerCore {
  readonly options: ServerOptions;
  connections = 0;
  webSockets = 0;
  /** Requests whose reply has not left yet. */
  pending = 0;
  requests = 0;
  /** From stopAccepting on: replies close their connections. */
  draining = false;
  /** Requests whose body is coming in. */
  readonly #receiving = new Set<Exchange>();
  /** The latest request: most have their body at once and never get into `#receiving`. */
  #latest: Exchange | null = null;
  readonly #timer: NodeJS.Timeout;
  #onIdle: (() => void) | null = null;

  constructor(options: ServerOptions) {
    this.options = options;
    const intervalMs = Math.min(watchIntervalMsMax, Math.ceil(options.bodyIdleMsMax / 4));
    this.#timer = setInterval(() => this.#lookForSlowBodies(), intervalMs).unref();
  }

  /** Runs the handler for a request. The implementation then attaches the body, if it is still wanted. */
  begin(exchange: Exchange): void {
    this.pending++;
    this.requests++;
    this.#watchLatest();
    this.#latest = exchange;
    const { bodyBytesMax, handler } = this.options;
    if (exchange.contentLength > bodyBytesMax) {
      exchange.refuseTooLarge();
      return;
    }
    try {
      exchange.listener = handler(exchange);
    } catch (error) {
      exchange.failInternally(error);
    }
  }

  /** A reply has left, or never will. */
  settle(): void {
    this.pending--;
    if (this.pending === 0) this.#onIdle?.();
  }

  /** Asks the route about a handshake; what it throws becomes a refusal with 500. */
  acceptUpgrade(route: WebSocketRoute, head: RequestHead): WebSocketListener | UpgradeRefusal {
    try {
      return route.accept(head);
    } catch (error) {
      this.options.onError(error);
      return { status: 500, ...this.options.renderError(new MiniodbError("INTERNAL", "internal error")) };
    }
  }

  /** Calls a listener, whose mistakes must not reach the event loop of the sockets. */
  guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.options.onError(error);
    }
  }

  /** Resolves when no reply is pending: true, or false once `timeoutMs` are over. */
  whenIdle(timeoutMs: number): Promise<boolean> {
    if (this.pending === 0) return Promise.resolve(true);
    return new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #watchLatest(): void {
    if (this.#latest !== null && this.#latest.isReceiving) this.#receiving.add(this.#latest);
    this.#latest = null;
  }

  #lookForSlowBodies(): void {
    this.#watchLatest();
    if (this.#receiving.size === 0) return;
    const nowMs = performance.now();
    for (const exchange of this.#receiving) {
      if (!exchange.isReceiving) this.#receiving.delete(exchange);
      else exchange.checkPace(nowMs);
    }
  }
}
